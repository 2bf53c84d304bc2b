"""Finds a model's tracking parameters on the validation clips: ``stif calibrate``.

Post-processing and memory are searched one value at a time for the best success AUC; the calibration of the score is
fitted on the frames of the same clips, and of the same frames with the target painted out.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stif_core.evaluation.run import StifBoxes, evaluate
from stif_core.evaluation.sequences import Sequence
from stif_core.evaluation.validation import NETWORK_ALONE
from stif_core.geometry import FloatArray, iou
from stif_core.runtime.backend import Backend
from stif_core.tracking import Tracker, TrackerSettings, TrackState
from stif_core.training.calibrate import (
    ReliabilityBin,
    ScoredFrames,
    expected_calibration_error,
    fit,
    held_out_probabilities,
    reliability,
)

SEARCHED: dict[str, tuple[float, ...]] = {
    "window": (0.1, 0.2, 0.3, 0.4),
    "penalty": (0.06, 0.15, 0.25),
    "size_rate": (0.45, 0.6, 0.8, 1.0),
}
MEMORIES: tuple[dict[str, Any], ...] = (
    {"memory_capacity": 1},
    {"memory_interval": 10},
    {"memory_interval": 25},
)
# Bounds of the usual score: quantiles of the scores of frames in which the target was found.
QUANTILES = {"usual_low": 0.08, "usual_high": 0.95}


@dataclass(frozen=True)
class Selection:
    """What was found, and how far it can be trusted.

    Attributes:
        settings: Parameters that differ from the defaults, as they stand in a model's JSON file.
        table: Reliability on clips that the calibration was not fitted on.
        error: Expected calibration error of that table.
        aucs: Success AUC of each memory policy with states.
    """

    settings: dict[str, Any]
    table: list[ReliabilityBin]
    error: float
    aucs: dict[str, float]


def select_settings(backend: Backend, sequences: list[Sequence], report: Callable[[str], None]) -> Selection:
    """Searches on the sequences; ``report`` takes a line for every value tried.

    Raises:
        ValueError: The sequences hold no frame in which the box is wrong, or none in which it is right.
    """
    settings = _search(backend, sequences, report)
    chosen: dict[str, Any] = {name: getattr(settings, name) for name in SEARCHED}
    frames = collect_scores(backend, sequences, settings)
    found = frames.score[frames.right]
    if not len(found):
        raise ValueError("the model finds no target in the validation clips: there is nothing to calibrate")
    chosen |= {name: round(float(np.quantile(found, share)), 3) for name, share in QUANTILES.items()}
    # What is usual depends on the states, and these on the calibration: once more with the first one.
    for _ in range(2):
        chosen["calibration"] = asdict(fit(frames))
        frames = collect_scores(backend, sequences, TrackerSettings.from_dict({**chosen, "memory_capacity": 1}))
    chosen["calibration"] = asdict(fit(frames))
    aucs = {}
    for memory in MEMORIES:
        candidate = TrackerSettings.from_dict({**chosen, **memory})
        auc = evaluate("stif", StifBoxes(Tracker(backend, candidate)), sequences).success_auc
        name = ", ".join(f"{key} {value}" for key, value in memory.items())
        report(f"{name}: success AUC {auc:.4f} with states")
        aucs[name] = auc
    best = max(aucs, key=lambda name: aucs[name])
    chosen |= MEMORIES[list(aucs).index(best)]
    frames = collect_scores(backend, sequences, TrackerSettings.from_dict(chosen))
    chosen["calibration"] = asdict(fit(frames))
    table = reliability(held_out_probabilities(frames), frames.right, frames.weights())
    return Selection(chosen, table, expected_calibration_error(table), aucs)


def _search(backend: Backend, sequences: list[Sequence], report: Callable[[str], None]) -> TrackerSettings:
    """The post-processing with the best mean success AUC on the initial frame alone."""
    settings = NETWORK_ALONE
    best = 0.0
    for name, values in SEARCHED.items():
        for value in values:
            changed: dict[str, Any] = {name: value}
            candidate = replace(settings, **changed)
            auc = evaluate("stif", StifBoxes(Tracker(backend, candidate)), sequences).success_auc
            report(f"{name} {value}: success AUC {auc:.4f}")
            if auc > best:
                best, settings = auc, candidate
    return settings


def painted_out(image: NDArray[np.uint8], box: FloatArray) -> NDArray[np.uint8]:
    """The image with the surroundings of an xywh box drawn over it."""
    x, y, w, h = box
    margin = 0.1 * np.sqrt(w * h)
    corners = np.round([x - margin, y - margin, x + w + margin, y + h + margin]).astype(int)
    left, top, right, bottom = np.clip(corners, 0, None).tolist()
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[top:bottom, left:right] = 255
    return cv2.inpaint(image, mask, 3, cv2.INPAINT_TELEA)


def collect_scores(backend: Backend, sequences: list[Sequence], settings: TrackerSettings) -> ScoredFrames:
    """Every frame with a true box, and those in which the target was found once more with it painted out."""
    tracker, other = Tracker(backend, settings), Tracker(backend, settings)
    rows: list[tuple[int, float, float, bool, bool]] = []
    for number, sequence in enumerate(sequences):
        frames = sequence.frames()
        first = next(frames)
        tracker.init(first, sequence.truth[0])
        before = sequence.truth[0]
        usual = None
        for image, truth in zip(frames, sequence.truth[1:], strict=True):
            result = tracker.track(image)
            if usual is None:  # the first score is the first to be usual
                usual = tracker.usual_score
            # While LOST the score is that of a candidate elsewhere, not of the box.
            if not np.isnan(truth).any() and result.state != TrackState.LOST:
                right = bool(iou(result.box, truth) >= 0.5)
                rows.append((number, result.raw_score, usual, right, False))
                if right:
                    # Where the target was a frame ago, with the memory of the initial frame.
                    other.init(first, sequence.truth[0])
                    other.move_to(before)
                    score = other.track(painted_out(image, truth)).raw_score
                    rows.append((number, score, usual, False, True))
            before, usual = result.box, tracker.usual_score
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return ScoredFrames(*columns)
