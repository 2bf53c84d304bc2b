"""Several targets through one stream of images; their passes through the network go in common batches."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stif_core.runtime.backend import Backend
from stif_core.tracking.passes import run_together
from stif_core.tracking.settings import TrackerSettings
from stif_core.tracking.tracker import Tracker, TrackResult


class TargetSet:
    """Trackers by the names of their targets, in the order in which these were set; boxes xywh in pixels."""

    def __init__(self, backend: Backend, settings: TrackerSettings) -> None:
        self.backend = backend
        self.settings = settings
        self._trackers: dict[str, Tracker] = {}

    @property
    def names(self) -> list[str]:
        return list(self._trackers)

    def init(self, name: str, image: NDArray[np.uint8], box: ArrayLike) -> TrackResult:
        """Sets a target, or sets it anew; errors as for ``Tracker.init``, what was tracked before then stays."""
        tracker = Tracker(self.backend, self.settings)
        result = tracker.init(image, box)
        self._trackers[name] = tracker
        return result

    def track(self, image: NDArray[np.uint8]) -> dict[str, TrackResult]:
        """Finds all targets in the next image; errors as for ``Tracker.track``."""
        steps = [tracker.track_steps(image) for tracker in self._trackers.values()]
        return dict(zip(self._trackers, run_together(self.backend, steps), strict=True))

    def track_one(self, name: str, image: NDArray[np.uint8]) -> TrackResult:
        """Finds one target; the others do not see the image."""
        return self._trackers[name].track(image)

    def remove(self, name: str) -> None:
        """Forgets a target. Raises KeyError for one that is not there."""
        del self._trackers[name]

    def clear(self) -> None:
        """Forgets all."""
        self._trackers.clear()
