"""Running trackers over sequences, one pass from the first box."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stif_core.evaluation.metrics import accuracy
from stif_core.evaluation.peers import OPENCV_TRACKERS, PEERS, OpenCvTracker
from stif_core.evaluation.sequences import Sequence
from stif_core.geometry import FloatArray
from stif_core.tracking import Tracker


class BoxTracker(Protocol):
    """What can be evaluated."""

    def init(self, image: NDArray[np.uint8], box: ArrayLike) -> None: ...

    def track(self, image: NDArray[np.uint8]) -> FloatArray:
        """The box xywh in this image."""


class StifBoxes:
    """Our tracker, giving its boxes alone."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def init(self, image: NDArray[np.uint8], box: ArrayLike) -> None:
        self._tracker.init(image, box)

    def track(self, image: NDArray[np.uint8]) -> FloatArray:
        return self._tracker.track(image).box


@dataclass(frozen=True)
class Track:
    """Boxes xywh (N, 4) of a sequence, the first being the true one, and the seconds of each later frame."""

    boxes: FloatArray
    seconds: list[float]


@dataclass(frozen=True)
class Summary:
    """Means over sequences, each counting alike, and the median frames per second."""

    tracker: str
    success_auc: float
    precision: float
    success_50: float
    fps: float
    auc_by_sequence: dict[str, float]


def make_tracker(name: str, model: str, backend: str, threads: int, nanotrack: Path | None = None) -> BoxTracker:
    """``stif``, the same with the initial frame as its only memory (``stif-initial``), or a peer.

    ``nanotrack`` is the folder of that peer's files. Raises ValueError when the tracker is not there.
    """
    if name == "stif":
        return StifBoxes(Tracker.load(model, backend, threads))
    if name == "stif-initial":
        tracker = Tracker.load(model, backend, threads)
        return StifBoxes(Tracker(tracker.backend, replace(tracker.settings, memory_capacity=1)))
    if name in OPENCV_TRACKERS:
        return OpenCvTracker(name)
    if name == "nanotrack":
        from stif_core.evaluation.nanotrack import NanoTrack  # needs onnxruntime, which the others can do without

        return NanoTrack(nanotrack, threads)
    raise ValueError(f"unknown tracker '{name}': use stif, stif-initial, {', '.join(PEERS)}")


def run_sequence(tracker: BoxTracker, sequence: Sequence) -> Track:
    """Tracks from the first true box to the end; decoding the images is not timed."""
    frames = sequence.frames()
    tracker.init(next(frames), sequence.truth[0])
    boxes, seconds = [sequence.truth[0]], []
    for image in frames:
        start = time.perf_counter()
        boxes.append(tracker.track(image))
        seconds.append(time.perf_counter() - start)
    return Track(np.array(boxes), seconds)


def evaluate(
    name: str, tracker: BoxTracker, sequences: list[Sequence], progress: Callable[[], None] = lambda: None
) -> Summary:
    """Runs a tracker over all sequences; ``progress`` is called when one is done."""
    results, seconds = {}, []
    for sequence in sequences:
        track = run_sequence(tracker, sequence)
        results[sequence.name] = accuracy(track.boxes, sequence.truth)
        seconds += track.seconds
        progress()
    values = list(results.values())
    return Summary(
        name,
        statistics.fmean(value.success_auc for value in values),
        statistics.fmean(value.precision for value in values),
        statistics.fmean(value.success_50 for value in values),
        1 / statistics.median(seconds),
        {sequence: value.success_auc for sequence, value in results.items()},
    )
