"""Real-time evaluation: images that arrive while a tracker works are skipped, and its last box stands for them.

The rule is that of the VOT toolkit (``RealtimeTrackerRuntime``). Its charge for slowness is mild: the box of an image
counts for that image however late it is, what a step takes beyond whole frame intervals is forgiven, and so are the
first few slow steps (the grace). A tracker needs more than two intervals for a step before an image is skipped.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stif_core.geometry import FloatArray

GRACE = 3  # slow steps forgiven after the start, as in VOT's short-term challenges


@dataclass
class RealtimeClock:
    """Tells for each image in turn whether the tracker is still busy with an earlier one.

    Args:
        fps: Images a second.
        grace: How many steps that take longer than one frame interval are forgiven.
        seconds_per_frame: Time that every step takes, as on some other machine; None: what is measured.
    """

    fps: float
    grace: int = GRACE
    seconds_per_frame: float | None = None
    _debt: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if not self.fps > 0:
            raise ValueError(f"expected a positive number of images a second, got {self.fps:g}")

    def worked(self, seconds: float) -> float:
        """Accounts for a step that was measured to take this long; returns the time that counts."""
        seconds = seconds if self.seconds_per_frame is None else self.seconds_per_frame
        self._debt = 0.0
        if seconds > 1 / self.fps:
            if self.grace > 0:
                self.grace -= 1
            else:
                self._debt = seconds - 1 / self.fps
        return seconds

    def skips(self) -> bool:
        """Whether the next image passes while the tracker still works; to be asked once for each image."""
        if self._debt > 1 / self.fps:
            self._debt -= 1 / self.fps
            return True
        return False


def seen_frames(seconds: ArrayLike, fps: float, grace: int = GRACE) -> NDArray[np.bool_]:
    """Which images a tracker sees that would take ``seconds`` (N,) for each of them, the first one included; (N,)."""
    seconds = np.asarray(seconds, np.float64)
    clock = RealtimeClock(fps, grace)
    seen = np.zeros(len(seconds), bool)
    for i, taken in enumerate(seconds):
        seen[i] = not clock.skips()
        if seen[i]:
            clock.worked(float(taken))
    return seen


def hold(boxes: ArrayLike, seen: ArrayLike) -> FloatArray:
    """Boxes (N, 4) with those of images that were not seen replaced by the last seen one before; the first is seen."""
    latest = np.maximum.accumulate(np.where(np.asarray(seen, bool), np.arange(len(np.asarray(seen))), 0))
    return np.asarray(boxes, np.float64)[latest]
