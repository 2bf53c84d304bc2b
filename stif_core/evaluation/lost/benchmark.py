"""Runs trackers over the clips, all of them on the same frames; clips run side by side in processes of their own."""

import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np

from stif_core.evaluation.lost.clips import LostClip
from stif_core.evaluation.lost.metrics import ClipRun, LostFigures, figures, score_clip
from stif_core.evaluation.peers import OPENCV_TRACKERS
from stif_core.evaluation.run import BoxTracker
from stif_core.evaluation.trackers import TrackerChoice
from stif_core.geometry import FloatArray

TRACKERS = ("stif", "stif-off", *OPENCV_TRACKERS)


def run_clip(trackers: dict[str, BoxTracker], clip: LostClip) -> tuple[dict[str, ClipRun], FloatArray]:
    """What each tracker says of the clip, and the truth (N, 4)."""
    boxes: dict[str, list[FloatArray]] = {name: [] for name in trackers}
    confidence: dict[str, list[float]] = {name: [] for name in trackers}
    states: dict[str, list[str]] = {name: [] for name in trackers}
    truth = []
    for index, (image, true_box) in enumerate(clip):
        truth.append(true_box)
        for name, tracker in trackers.items():
            if index == 0:
                tracker.init(image, true_box)
            boxes[name].append(true_box if index == 0 else tracker.track(image))
            confidence[name].append(1.0 if math.isnan(tracker.confidence) else tracker.confidence)
            states[name].append(tracker.state)
    runs = {name: ClipRun(np.array(boxes[name]), np.array(confidence[name]), states[name]) for name in trackers}
    return runs, np.array(truth)


@dataclass(frozen=True)
class LostResult:
    """Of one benchmark.

    Attributes:
        figures: By tracker.
        runs: By clip and tracker.
        truths: By clip, (N, 4).
    """

    figures: dict[str, LostFigures]
    runs: dict[str, dict[str, ClipRun]]
    truths: dict[str, FloatArray]


def run_benchmark(
    choices: list[TrackerChoice], clips: list[LostClip], workers: int, progress: Callable[[], None] = lambda: None
) -> LostResult:
    """Runs all trackers on all clips; ``progress`` is called when a clip is done.

    Raises:
        ValueError: A tracker is not there.
    """
    for choice in choices:
        choice.make()  # a mistake shows here, not in a process
    runs, truths = {}, {}
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        jobs = {pool.submit(_run_in_process, choices, clip): clip.name for clip in clips}
        for job in as_completed(jobs):
            runs[jobs[job]], truths[jobs[job]] = job.result()
            progress()
    scored = {
        choice.name: figures([score_clip(runs[clip.name][choice.name], truths[clip.name]) for clip in clips])
        for choice in choices
    }
    return LostResult(scored, runs, truths)


def _run_in_process(choices: list[TrackerChoice], clip: LostClip) -> tuple[dict[str, ClipRun], FloatArray]:
    return run_clip({choice.name: choice.make() for choice in choices}, clip)
