"""How fast a bearing turns, from the bearings of successive images."""

from collections import deque

import numpy as np

WINDOW = 0.25  # seconds of bearings that a rate is taken from; it lags by half of that
LONGEST_GAP = 0.5  # seconds between two bearings beyond which the earlier ones say nothing about now
LEAST_BEARINGS = 3
LEAST_SPAN = 0.04  # seconds; over less, the noise of the box outweighs its motion


class BearingRate:
    """The slope of the line of least squares through the bearings of the last quarter of a second.

    The rates are those of the angles in the camera's frame: they hold the camera's own turning.
    """

    def __init__(self) -> None:
        self._stamps_ns: deque[int] = deque()
        self._angles: deque[tuple[float, float]] = deque()

    def restart(self) -> None:
        """Forgets the bearings: of another target, or of a target set anew."""
        self._stamps_ns.clear()
        self._angles.clear()

    def add(self, stamp_ns: int, azimuth: float, elevation: float) -> tuple[float, float]:
        """Takes a bearing, rad, of the image with this stamp; returns both rates, rad/s, NaN while unknown."""
        if self._stamps_ns and not 0 < stamp_ns - self._stamps_ns[-1] <= LONGEST_GAP * 1e9:
            self.restart()
        self._stamps_ns.append(stamp_ns)
        self._angles.append((azimuth, elevation))
        while stamp_ns - self._stamps_ns[0] > WINDOW * 1e9 and len(self._stamps_ns) > LEAST_BEARINGS:
            self._stamps_ns.popleft()
            self._angles.popleft()
        times = np.array([stamp - stamp_ns for stamp in self._stamps_ns]) / 1e9
        if len(times) < LEAST_BEARINGS or times[-1] - times[0] < LEAST_SPAN:
            return float("nan"), float("nan")
        from_mean = times - times.mean()
        weights = from_mean / (from_mean @ from_mean)
        azimuths, elevations = np.array(self._angles).T
        return float(weights @ np.unwrap(azimuths)), float(weights @ elevations)
