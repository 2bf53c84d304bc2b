"""The control law of the follower: from where the target is seen to how the base moves.

Proportional and derivative on the azimuth, proportional on the apparent size and on the elevation, each with a dead
band, a limit and a bound on its change. The base moves as in REP 103: x forward, z up, yaw positive to the left.
"""

import math
from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class FollowSettings:
    """Gains and limits; SI units. A gain of zero switches its axis off.

    Attributes:
        yaw_gain: Yaw rate to an azimuth, 1/s.
        yaw_damping: Yaw rate to a rate of the azimuth, no unit.
        yaw_dead_band: Azimuth that is left alone, rad.
        max_yaw_rate: rad/s.
        max_yaw_acceleration: rad/s^2.
        forward_gain: Speed to the logarithm of wanted over apparent size, m/s; to a distance 10 % too large, a tenth.
        size_dead_band: Relative error of the size that is left alone.
        target_size: Apparent size to keep (see ``Sighting.size``); 0: the one at the moment of arming.
        turn_first: Azimuth at which the base only turns, rad; forward speed falls linearly up to it.
        max_forward_speed, max_backward_speed: m/s; 0 backward: never backs away.
        max_acceleration: m/s^2, forward and vertical.
        vertical_gain: Climb rate to an elevation, m/s a rad.
        elevation_dead_band: rad.
        max_vertical_speed: m/s.
    """

    yaw_gain: float = 2.0
    yaw_damping: float = 0.2
    yaw_dead_band: float = 0.02
    max_yaw_rate: float = 1.0
    max_yaw_acceleration: float = 3.0
    forward_gain: float = 2.0
    size_dead_band: float = 0.05
    target_size: float = 0.0
    turn_first: float = 0.5
    max_forward_speed: float = 0.8
    max_backward_speed: float = 0.3
    max_acceleration: float = 1.0
    vertical_gain: float = 0.0
    elevation_dead_band: float = 0.03
    max_vertical_speed: float = 0.5

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{field.name} is {value}, expected a finite number that is not negative")


@dataclass(frozen=True)
class Sighting:
    """Where the target is seen.

    Attributes:
        time: Of the image, s.
        azimuth: rad, positive to the right.
        elevation: rad, positive up.
        azimuth_rate: rad/s, NaN when unknown.
        size: Square root of the share of the image that the box covers.
        cut_off: The box reaches the image's border: the target may be larger, and nearer, than it looks.
        certain: False: the place is a guess, towards which the base is not moved: its speeds fall to zero.
    """

    time: float
    azimuth: float
    elevation: float
    azimuth_rate: float
    size: float
    cut_off: bool
    certain: bool


@dataclass(frozen=True)
class Command:
    """Speeds of the base: m/s forward and up, rad/s to the left."""

    forward: float = 0.0
    vertical: float = 0.0
    yaw_rate: float = 0.0


STOP = Command()


class FollowLaw:
    """Turns towards the target and keeps its apparent size; remembers only its last command and the wanted size."""

    def __init__(self, settings: FollowSettings | None = None) -> None:
        self.settings = settings or FollowSettings()
        self.wanted_size = math.nan
        self._last = STOP
        self._time: float | None = None

    def stop(self) -> None:
        """The base stands: the next command starts from there, and the wanted size stays."""
        self._last, self._time = STOP, None

    def want_size(self, size: float) -> None:
        """The apparent size to keep where the settings name none."""
        self.wanted_size = self.settings.target_size or size

    def command(self, sighting: Sighting) -> Command:
        """The speeds to drive at until the next sighting.

        The first after ``stop`` is zero: how fast the speeds may grow is a matter of the time between two sightings.
        """
        s = self.settings
        if math.isnan(self.wanted_size):
            self.want_size(sighting.size)
        elapsed = 0.0 if self._time is None else max(0.0, sighting.time - self._time)
        self._time = sighting.time
        self._last = Command(
            _approach(self._last.forward, self._forward(sighting), s.max_acceleration * elapsed),
            _approach(self._last.vertical, self._vertical(sighting), s.max_acceleration * elapsed),
            _approach(self._last.yaw_rate, self._yaw_rate(sighting), s.max_yaw_acceleration * elapsed),
        )
        return self._last

    def _yaw_rate(self, sighting: Sighting) -> float:
        s = self.settings
        if not sighting.certain:
            return 0.0
        turning = sighting.azimuth_rate if math.isfinite(sighting.azimuth_rate) else 0.0
        error = _outside(sighting.azimuth, s.yaw_dead_band)
        # The azimuth is positive to the right, yaw to the left.
        return _limited(-(s.yaw_gain * error + s.yaw_damping * turning), s.max_yaw_rate, s.max_yaw_rate)

    def _forward(self, sighting: Sighting) -> float:
        s = self.settings
        if not sighting.certain:
            return 0.0
        error = _outside(math.log(self.wanted_size / sighting.size), s.size_dead_band)
        speed = _limited(s.forward_gain * error, s.max_forward_speed, s.max_backward_speed)
        if speed > 0:
            if sighting.cut_off or not s.turn_first:  # cut off: it may be nearer than it looks
                return 0.0
            return speed * max(0.0, 1 - abs(sighting.azimuth) / s.turn_first)
        return speed

    def _vertical(self, sighting: Sighting) -> float:
        s = self.settings
        if not sighting.certain:
            return 0.0
        error = _outside(sighting.elevation, s.elevation_dead_band)
        return _limited(s.vertical_gain * error, s.max_vertical_speed, s.max_vertical_speed)


def _outside(error: float, band: float) -> float:
    """The part of an error outside the dead band: zero inside, without a step at its edge."""
    return math.copysign(max(0.0, abs(error) - band), error)


def _limited(value: float, highest: float, lowest: float) -> float:
    return float(np.clip(value, -lowest, highest))


def _approach(last: float, wanted: float, step: float) -> float:
    return last + float(np.clip(wanted - last, -step, step))
