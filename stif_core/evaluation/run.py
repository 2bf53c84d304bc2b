"""Running trackers over sequences, one pass from the first box."""

import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stif_core.evaluation.external import ExternalTracker
from stif_core.evaluation.metrics import accuracy
from stif_core.evaluation.peers import OPENCV_TRACKERS, PEERS, OpenCvTracker
from stif_core.evaluation.realtime import RealtimeClock
from stif_core.evaluation.sequences import Sequence
from stif_core.geometry import FloatArray
from stif_core.tracking import Tracker

# Our tracker, and what is changed in its settings to show what a part of it is worth.
OURS: dict[str, dict[str, Any]] = {
    "stif": {},
    "stif-initial": {"memory_capacity": 1},  # the initial frame is its only memory
    # A lost target is searched around its last place alone, and others beside it are not followed.
    "stif-off": {"reacquire": False, "distractors": False},
}


class BoxTracker(Protocol):
    """What can be evaluated.

    Attributes:
        confidence: Of the latest box, 0 to 1; NaN from a tracker that gives none.
        state: Of the latest box, as ``TrackState`` names them; empty from a tracker that gives none.
    """

    confidence: float
    state: str

    def init(self, image: NDArray[np.uint8], box: ArrayLike) -> None: ...

    def track(self, image: NDArray[np.uint8]) -> FloatArray:
        """The box xywh in this image; NaN from a tracker that sees no target."""


class StifBoxes:
    """Our tracker as a ``BoxTracker``."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.confidence = math.nan
        self.state = ""

    def init(self, image: NDArray[np.uint8], box: ArrayLike) -> None:
        result = self.tracker.init(image, box)
        self.confidence, self.state = result.score, result.state.name

    def track(self, image: NDArray[np.uint8]) -> FloatArray:
        result = self.tracker.track(image)
        self.confidence, self.state = result.score, result.state.name
        return result.box


@dataclass(frozen=True)
class Track:
    """What a tracker said of a sequence of N frames.

    Attributes:
        boxes: xywh (N, 4); the first is the true one.
        seconds: Of each frame after the first, N - 1; NaN in a frame that was skipped.
        initial_seconds: Of the first frame.
        confidence: (N,); None from a tracker that gives none.
        states: N names; None from a tracker that gives none.
    """

    boxes: FloatArray
    seconds: list[float]
    initial_seconds: float = math.nan
    confidence: FloatArray | None = None
    states: list[str] | None = None


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
    """One of ``OURS``, or a peer.

    ``nanotrack`` is the folder of that peer's files. Raises ValueError when the tracker is not there.
    """
    if name in OURS:
        tracker = Tracker.load(model, backend, threads)
        return StifBoxes(Tracker(tracker.backend, replace(tracker.settings, **OURS[name])))
    if name in OPENCV_TRACKERS:
        return OpenCvTracker(name)
    if name == "nanotrack":
        from stif_core.evaluation.nanotrack import NanoTrack  # needs onnxruntime, which the others can do without

        return NanoTrack(nanotrack, threads)
    raise ValueError(f"unknown tracker '{name}': use {', '.join([*OURS, *PEERS])}, or NAME=COMMAND for a program")


def frames_for(tracker: BoxTracker, sequence: Sequence) -> Iterator[Any]:
    """What the tracker takes as images: decoded ones, or for a program of its own the files."""
    return iter(sequence.images) if isinstance(tracker, ExternalTracker) else sequence.frames()


def run_sequence(tracker: BoxTracker, sequence: Sequence, clock: RealtimeClock | None = None) -> Track:
    """Tracks from the first true box to the end; decoding the images is not timed, unless the tracker does it.

    With a clock the tracker is given the first image and then only those for which it is free; a skipped image gets the
    box, confidence and state before it, and NaN seconds.
    """
    frames = frames_for(tracker, sequence)
    charge = (lambda taken: taken) if clock is None else clock.worked
    first = next(frames)
    start = time.perf_counter()
    tracker.init(first, sequence.truth[0])
    initial_seconds = charge(time.perf_counter() - start)
    boxes, seconds = [sequence.truth[0]], []
    confidence, states = [tracker.confidence], [tracker.state]
    for image in frames:
        if clock is not None and clock.skips():
            boxes.append(boxes[-1])
            seconds.append(math.nan)
        else:
            start = time.perf_counter()
            boxes.append(tracker.track(image))
            seconds.append(charge(time.perf_counter() - start))
        confidence.append(tracker.confidence)
        states.append(tracker.state)
    return Track(
        np.array(boxes),
        seconds,
        initial_seconds,
        None if np.isnan(confidence).all() else np.array(confidence),
        states if any(states) else None,
    )


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
