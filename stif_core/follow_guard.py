"""When the follower may move: armed by a person, the target in view, and the clock as it should be."""

import math
from dataclasses import dataclass
from enum import Enum


class Mode(Enum):
    DISARMED = "disarmed"  # nothing is commanded
    HOLDING = "holding"  # armed and standing, until the target is seen
    FOLLOWING = "following"


@dataclass(frozen=True)
class GuardSettings:
    """Seconds, all of them.

    Attributes:
        track_timeout: Age of the last track at which the base is stopped.
        uncertain_timeout: Image time without a sure sight of the target at which the base is stopped.
        disarm_timeout: Standing longer than this disarms; 0: never.
        clock_jump: Disagreement of the clock and the steady clock, between two looks, that disarms.
    """

    track_timeout: float = 0.5
    uncertain_timeout: float = 0.5
    disarm_timeout: float = 10.0
    clock_jump: float = 1.0


class FollowGuard:
    """Keeps the mode. Times called ``now`` are of a steady clock, s; ``clock`` is the node's time, s."""

    def __init__(self, settings: GuardSettings | None = None) -> None:
        self.settings = settings or GuardSettings()
        self.mode = Mode.DISARMED
        self.reason = "not armed since the start"
        self._obstacle: str | None = "no track has come"  # why the last track cannot be followed; None: it can
        self._last_track = -math.inf
        self._last_stamp: float | None = None
        self._target_id = ""
        self._last_clock: tuple[float, float] | None = None  # now, clock
        self._holding_since = 0.0

    def track_age(self, now: float) -> float:
        """Seconds since the last track; infinite before the first."""
        return now - self._last_track

    def arm(self, now: float) -> None:
        """From here on the base may move.

        Raises:
            ValueError: The target is not in view now; says why.
        """
        if self.track_age(now) > self.settings.track_timeout:
            raise ValueError(self._silence(now))
        if self._obstacle is not None:
            raise ValueError(self._obstacle)
        self.mode, self.reason = Mode.FOLLOWING, "armed"

    def disarm(self, reason: str) -> None:
        """Nothing moves until somebody arms again."""
        if self.mode != Mode.DISARMED:
            self.mode, self.reason = Mode.DISARMED, reason

    def on_track(self, now: float, stamp: float, target_id: str, obstacle: str | None) -> None:
        """Takes a track with the stamp of its image, s, and why it cannot be followed, or None."""
        self._last_track, self._obstacle = now, obstacle
        if target_id != self._target_id:
            self.disarm(f"the target is another one: '{target_id}' after '{self._target_id}'")
        self._target_id = target_id
        if self._last_stamp is not None and stamp < self._last_stamp:
            self.disarm(f"the images' time ran backwards by {self._last_stamp - stamp:.3f} s")
        self._last_stamp = stamp
        if obstacle is not None:
            self._hold(now, obstacle)
        elif self.mode == Mode.HOLDING:
            self.mode, self.reason = Mode.FOLLOWING, "the target is seen again"

    def look(self, now: float, clock: float) -> None:
        """To be called regularly, tracks or not."""
        if self._last_clock is not None:
            steady, shown = now - self._last_clock[0], clock - self._last_clock[1]
            if shown < 0 or abs(shown - steady) > self.settings.clock_jump:
                self.disarm(f"the clock jumped by {shown - steady:+.3f} s")
        self._last_clock = now, clock
        if self.track_age(now) > self.settings.track_timeout:
            self._hold(now, self._silence(now))
        stood = now - self._holding_since
        if self.mode == Mode.HOLDING and 0 < self.settings.disarm_timeout < stood:
            self.disarm(f"stood for {stood:.1f} s: {self.reason}")

    def _hold(self, now: float, reason: str) -> None:
        if self.mode == Mode.FOLLOWING:
            self.mode, self._holding_since = Mode.HOLDING, now
        if self.mode == Mode.HOLDING:
            self.reason = reason

    def _silence(self, now: float) -> str:
        age = self.track_age(now)
        return "no track has come" if math.isinf(age) else f"no track for {age:.1f} s"
