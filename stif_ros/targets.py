"""The targets that the node follows: their trackers, and when each was last seen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stif_core.geometry import FloatArray
from stif_core.tracking import TrackResult, TrackState
from stif_core.tracking.target_set import TargetSet


@dataclass(frozen=True)
class TargetTrack:
    """What the tracker found of one target in one image.

    Attributes:
        target_id: Its name.
        result: Box, score and state.
        unseen_ns: Time between the stamps of the last image in which it was seen and this one.
        setting: How many times a target had been set; the same number: still the same box followed on.
    """

    target_id: str
    result: TrackResult
    unseen_ns: int
    setting: int


class Targets:
    """Used by the worker's thread alone, except for ``tracks``, which may be read from any."""

    def __init__(self, trackers: TargetSet) -> None:
        self._trackers = trackers
        self._settings = 0  # times that a target was set
        self._setting: dict[str, int] = {}  # of each target the last of them
        self._last_seen_ns: dict[str, int] = {}
        self.tracks: tuple[TargetTrack, ...] = ()  # of all targets, in the order in which they were set

    @property
    def ids(self) -> list[str]:
        return [track.target_id for track in self.tracks]

    def set(self, target_id: str, image: NDArray[np.uint8], box: FloatArray, stamp_ns: int, alone: bool) -> None:
        """Takes up a target, or sets it anew; ``alone``: in the place of all others. Errors as for ``Tracker.init``."""
        result = self._trackers.init(target_id, image, box)
        if alone:
            for other in set(self._trackers.names) - {target_id}:
                self.remove(other)
        self._settings += 1
        self._setting[target_id] = self._settings
        self._note({target_id: result}, stamp_ns)

    def track(self, image: NDArray[np.uint8], stamp_ns: int, ids: list[str] | None = None) -> None:
        """Finds all targets in the next image, or some of them."""
        self._note(self._trackers.track(image, ids), stamp_ns)

    def remove(self, target_id: str) -> None:
        """Forgets a target, if it is there."""
        self._trackers.remove(target_id)
        self._setting.pop(target_id, None)
        self._last_seen_ns.pop(target_id, None)
        self.tracks = tuple(track for track in self.tracks if track.target_id != target_id)

    def clear(self) -> None:
        for target_id in self.ids:
            self.remove(target_id)

    def _note(self, results: dict[str, TrackResult], stamp_ns: int) -> None:
        found = {track.target_id: track for track in self.tracks}
        for target_id, result in results.items():
            if result.state == TrackState.TRACKING:
                self._last_seen_ns[target_id] = stamp_ns
            unseen_ns = max(0, stamp_ns - self._last_seen_ns[target_id])
            found[target_id] = TargetTrack(target_id, result, unseen_ns, self._setting[target_id])
        self.tracks = tuple(found.values())
