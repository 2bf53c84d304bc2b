"""Several targets through one stream of images; their passes through the network go in common batches."""

from collections.abc import Iterable

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

    def warm_up(self, most: int) -> None:
        """Runs the network once for every number of targets up to ``most``: the first time takes many times as long."""
        trial = TargetSet(self.backend, self.settings)
        image = np.zeros((240, 320, 3), np.uint8)
        for i in range(most):
            trial.init(str(i), image, (140, 100, 40, 40))
            trial.track(image)

    @property
    def names(self) -> list[str]:
        return list(self._trackers)

    def init(self, name: str, image: NDArray[np.uint8], box: ArrayLike) -> TrackResult:
        """Sets a target, or sets it anew; errors as for ``Tracker.init``, what was tracked before then stays."""
        tracker = Tracker(self.backend, self.settings)
        result = tracker.init(image, box)
        self._trackers[name] = tracker
        return result

    def track(self, image: NDArray[np.uint8], names: Iterable[str] | None = None) -> dict[str, TrackResult]:
        """Finds targets in the next image, all unless they are named; errors as for ``Tracker.track``."""
        wanted = list(self._trackers if names is None else names)
        steps = [self._trackers[name].track_steps(image) for name in wanted]
        return dict(zip(wanted, run_together(self.backend, steps), strict=True))

    def remove(self, name: str) -> None:
        """Forgets a target, if it is there."""
        self._trackers.pop(name, None)

    def clear(self) -> None:
        """Forgets all."""
        self._trackers.clear()
