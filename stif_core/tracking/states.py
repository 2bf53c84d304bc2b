"""When a target counts as tracked, doubtful or lost: hysteresis on the probability that the box is right."""

from dataclasses import dataclass
from enum import IntEnum

from stif_core.tracking.settings import TrackerSettings


class TrackState(IntEnum):
    """Values as in ``stif_ros/msg/Track.msg``; a tracker without a target (IDLE, 0) gives no result."""

    TRACKING = 1
    UNCERTAIN = 2
    LOST = 3


@dataclass
class StateMachine:
    """The state of one target, and for how long it was not seen.

    Attributes:
        state: The state.
        unseen: Frames without it since the last one in TRACKING.
        absent: The newest of them, in a row, in which it was clearly not where it was looked for.
        seen: The newest frames, in a row, in which it seemed to be there again.
    """

    state: TrackState = TrackState.TRACKING
    unseen: int = 0
    absent: int = 0
    seen: int = 0

    def see(
        self, probability: float, settings: TrackerSettings, absent: bool = False, doubted: bool = False
    ) -> TrackState:
        """UNCERTAIN when the box is likely wrong; LOST when that lasts; TRACKING when the target is seen again.

        Args:
            probability: That the box is right.
            settings: Thresholds.
            absent: The target is clearly not there; for ``absent_after`` frames in a row this is LOST.
            doubted: What is seen may be another: the longer the target was away, the more frames in a row must show
                it, up to ``confirm_frames``. Otherwise one does.
        """
        if self.state == TrackState.TRACKING and probability >= settings.uncertain_probability:
            return self.state
        if probability >= settings.tracking_probability:
            self.seen, self.absent = self.seen + 1, 0
            if self.seen >= (min(self.unseen, settings.confirm_frames) if doubted else 1):
                self.found()
            return self.state
        self.unseen, self.seen = self.unseen + 1, 0
        self.absent = self.absent + 1 if absent else 0
        if self.state == TrackState.TRACKING:
            self.state = TrackState.UNCERTAIN
        if self.unseen >= settings.lost_after or self.absent >= settings.absent_after:
            self.state = TrackState.LOST
        return self.state

    def unsure(self) -> TrackState:
        """The target is there or another that hides it: UNCERTAIN, and no step nearer to LOST."""
        if self.state == TrackState.TRACKING:
            self.state = TrackState.UNCERTAIN
        return self.state

    def found(self) -> None:
        """The target is there beyond doubt."""
        self.state, self.unseen, self.absent, self.seen = TrackState.TRACKING, 0, 0, 0
