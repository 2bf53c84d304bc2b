"""How each benchmark scores a track. They differ in small things that move the figures: docs/evaluation.md lists them.

Figures are shares, never percent. Where a benchmark's code works in the coordinates of its files, which may count from
1, so does this module.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from stif_core.evaluation.curves import SUCCESS_THRESHOLDS, Curve, frame_errors, three_curves
from stif_core.evaluation.sequences import Sequence
from stif_core.geometry import FloatArray, iou

DESCRIPTIONS = {
    "folder": "OTB's metrics over the frames with a true box, the first one left out; a missing box scores 0",
    "otb": "OTB toolkit: first frame counted, divided by all frames; without a true box a miss in success, a hit in "
    "precision; a missing box is the one before",
    "uav": "UAV123 toolkit: as otb",
    "lasot": "LaSOT toolkit: as otb, but frames without the target are misses in precision too",
    "got10k": "GOT-10k toolkit: frames of all sequences pooled, without the first ones and those where nothing of the "
    "target is visible; boxes clipped to the image",
    "trackingnet": "TrackingNet devkit: boxes rounded to whole pixels, IoU >= threshold, areas by the trapezoid rule",
}
PROTOCOLS = tuple(DESCRIPTIONS)

POOLED_THRESHOLDS = np.linspace(0, 1, 101)  # GOT-10k
COARSE_PIXELS, COARSE_SHARES = np.linspace(0, 50, 21), np.linspace(0, 0.5, 21)  # TrackingNet
TINY = float(np.finfo(float).eps)


@dataclass(frozen=True)
class SequenceScore:
    """Of one track on one sequence.

    Attributes:
        figures: Name to value; the first one ranks.
        curves: ``success``, ``precision``, ``normalised precision``, as far as the protocol has them.
        overlap: IoU of each frame as the protocol takes it, (N,); NaN in frames that do not count.
        attributes: Of the sequence.
    """

    figures: dict[str, float]
    curves: dict[str, Curve]
    overlap: FloatArray
    attributes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ProtocolSummary:
    """Of one tracker on a data set.

    Attributes:
        protocol: Its name.
        figures: Name to value; the first one ranks.
        curves: As in ``SequenceScore``, over all sequences.
        by_attribute: Attribute to the figures over the sequences that have it; attributes in alphabetical order.
        sequences_of_attribute: Attribute to the number of its sequences.
    """

    protocol: str
    figures: dict[str, float]
    curves: dict[str, Curve]
    by_attribute: dict[str, dict[str, float]]
    sequences_of_attribute: dict[str, int]


def describe_protocol(protocol: str) -> str:
    """One line to print beside figures: what counts and how. Raises ValueError when there is no such protocol."""
    if protocol not in DESCRIPTIONS:
        raise ValueError(f"unknown protocol '{protocol}': use one of {', '.join(PROTOCOLS)}")
    return DESCRIPTIONS[protocol]


def score(protocol: str, sequence: Sequence, boxes: ArrayLike) -> SequenceScore:
    """Scores a track.

    Figures of ``folder``, ``otb``, ``uav`` and ``lasot``: ``success_auc`` (mean of the curve's 21 values),
    ``precision`` (20 pixels), ``normalised_precision`` (0.20, where LaSOT ranks), ``normalised_precision_auc`` (mean of
    the 51 values from 0 to 0.5), ``success_50`` and ``mean_iou`` (over the frames with a true box). ``got10k``: ``ao``,
    ``sr_50``, ``sr_75``. ``trackingnet``: ``success``, ``precision``, ``normalised_precision`` and ``coverage``.

    Args:
        protocol: One of ``PROTOCOLS``.
        sequence: With the truth of every frame.
        boxes: Boxes xywh counted from 0, (N, 4), the first being the initial box; NaN where the tracker gave none.

    Raises:
        ValueError: The protocol is unknown, the lengths differ, the sequence has no truth, or no frame counts.
    """
    describe_protocol(protocol)
    boxes = np.asarray(boxes, np.float64)
    if not sequence.has_truth:
        raise ValueError(f"{sequence.name} cannot be scored here: its test server keeps all but the first true box")
    if boxes.shape != sequence.truth.shape:
        raise ValueError(
            f"{sequence.name} has {len(sequence.truth)} frames, but its result is an array {boxes.shape}: expected a "
            "box x,y,w,h for each frame, the initial box first"
        )
    if protocol == "got10k":
        figures, curves, overlap = _got10k(sequence, boxes)
    elif protocol == "trackingnet":
        figures, curves, overlap = _trackingnet(sequence, boxes)
    elif protocol == "folder":
        figures, curves, overlap = _folder(sequence, boxes)
    else:
        figures, curves, overlap = _matlab_toolkit(sequence, boxes, drop_absent=protocol == "lasot")
    return SequenceScore(figures, curves, overlap, sequence.attributes)


def summarise(protocol: str, scores: Mapping[str, SequenceScore]) -> ProtocolSummary:
    """Joins the scores of sequences (by name) as the protocol does: means over sequences, or over all frames.

    Raises:
        ValueError: The protocol is unknown, or there is no score.
    """
    describe_protocol(protocol)
    if not scores:
        raise ValueError("no scores to summarise")
    values = list(scores.values())
    figures, curves = _join(protocol, values)
    groups = {
        name: [value for value in values if name in value.attributes]
        for name in sorted(frozenset().union(*(value.attributes for value in values)))
    }
    return ProtocolSummary(
        protocol,
        figures,
        curves,
        {name: _join(protocol, group)[0] for name, group in groups.items()},
        {name: len(group) for name, group in groups.items()},
    )


Parts = tuple[dict[str, float], dict[str, Curve], FloatArray]


def _folder(sequence: Sequence, boxes: FloatArray) -> Parts:
    counts = sequence.present
    counts[0] = False
    if not counts.any():
        raise ValueError(f"{sequence.name}: no frame counts, the truth holds no box after the first frame")
    overlap, distance, normalised = frame_errors(boxes, sequence.truth)
    overlap = np.where(counts, np.nan_to_num(overlap, nan=0.0), np.nan)
    return (*three_curves(overlap, distance[counts], normalised[counts], int(counts.sum())), overlap)


def _matlab_toolkit(sequence: Sequence, boxes: FloatArray, drop_absent: bool) -> Parts:
    """OTB's ``calcSeqErrRobust.m``, which the toolkits of UAV123 and LaSOT keep, the latter dropping absent frames.

    A frame is valid where all four numbers of its true box, as the file has them, are positive. Elsewhere the toolkit
    sets overlap and distances to -1: a miss in success, and below every threshold of the two precisions.
    """
    truth = sequence.truth
    boxes = _hold_last(np.concatenate([truth[:1], boxes[1:]]), truth)
    truth, boxes = sequence.as_in_files(truth), sequence.as_in_files(boxes)
    valid = (truth > 0).all(axis=1)
    # Its own order of operations, so that a distance that equals a threshold falls to the same side.
    found, true = (array[:, :2] + (array[:, 2:] - 1) / 2 for array in (boxes, truth))
    with np.errstate(divide="ignore", invalid="ignore"):
        normalised = np.linalg.norm(found / truth[:, 2:] - true / truth[:, 2:], axis=1)
    distance = np.where(valid, np.linalg.norm(found - true, axis=1), -1)
    normalised = np.where(valid, normalised, -1)
    kept = np.ones(len(truth), bool)
    if drop_absent:
        kept = sequence.present if sequence.absent is None else ~sequence.absent
    overlap = np.where(valid & kept, np.nan_to_num(iou(boxes, truth), nan=0.0), np.nan)
    return (*three_curves(overlap, distance[kept], normalised[kept], len(truth)), overlap)


def _got10k(sequence: Sequence, boxes: FloatArray) -> Parts:
    """``ExperimentGOT10k`` of the toolkit, where a NaN box makes the whole result NaN; here it scores 0."""
    size = sequence.image_size()
    found, true = (_clip(sequence.as_in_files(array), size) for array in (boxes, sequence.truth))
    corner = np.maximum(found[:, :2], true[:, :2])
    far = np.minimum(found[:, :2] + found[:, 2:], true[:, :2] + true[:, 2:])
    common = np.clip(far - corner, 0, None).prod(axis=1)
    union = found[:, 2:].prod(axis=1) + true[:, 2:].prod(axis=1) - common
    overlap = np.clip(common / (union + TINY), 0, 1)
    counts = sequence.present if sequence.cover is None else sequence.cover > 0
    counts[0] = False
    if not counts.any():
        raise ValueError(f"{sequence.name}: no frame counts, the target is not visible after the first frame")
    overlap = np.where(counts, np.nan_to_num(overlap, nan=0.0), np.nan)
    return (*_pooled(overlap[counts]), overlap)


def _trackingnet(sequence: Sequence, boxes: FloatArray) -> Parts:
    """``metrics.py`` of the development kit. Its +1 in corners and centres cancels once the boxes are whole pixels."""
    true = np.round(sequence.as_in_files(sequence.truth))
    found = np.round(sequence.as_in_files(boxes))
    found[0] = true[0]
    overlap, distance, normalised = frame_errors(found, true)
    covered = found.sum(axis=1) > 0
    success = Curve(SUCCESS_THRESHOLDS, (overlap[:, None] >= SUCCESS_THRESHOLDS).mean(axis=0), "success")
    curves = {
        "success": success,
        "precision": Curve(COARSE_PIXELS, (distance[:, None] <= COARSE_PIXELS).mean(axis=0), "precision"),
        "normalised precision": Curve(
            COARSE_SHARES, (normalised[:, None] <= COARSE_SHARES).mean(axis=0), "normalised_precision"
        ),
    }
    figures = {curve.figure: _trapezoid(curve.values) for curve in curves.values()}
    return figures | {"coverage": float(covered.mean())}, curves, np.nan_to_num(overlap, nan=0.0)


def _join(protocol: str, scores: list[SequenceScore]) -> tuple[dict[str, float], dict[str, Curve]]:
    if protocol == "got10k":
        return _pooled(np.concatenate([score.overlap[~np.isnan(score.overlap)] for score in scores]))
    figures = {name: float(np.mean([score.figures[name] for score in scores])) for name in scores[0].figures}
    if protocol == "trackingnet":  # over frames, unlike the rest of its figures
        frames = [len(score.overlap) for score in scores]
        figures["coverage"] = float(np.average([score.figures["coverage"] for score in scores], weights=frames))
    curves = {
        name: Curve(curve.thresholds, np.mean([score.curves[name].values for score in scores], axis=0), curve.figure)
        for name, curve in scores[0].curves.items()
    }
    return figures, curves


def _pooled(overlap: FloatArray) -> tuple[dict[str, float], dict[str, Curve]]:
    success = Curve(POOLED_THRESHOLDS, (overlap[:, None] > POOLED_THRESHOLDS).mean(axis=0), "ao")
    figures = {
        "ao": float(overlap.mean()),
        "sr_50": float((overlap > 0.5).mean()),
        "sr_75": float((overlap > 0.75).mean()),
    }
    return figures, {"success": success}


def _trapezoid(values: FloatArray) -> float:
    """Area under a curve whose thresholds are spread evenly over 0 to 1."""
    return float((values[1:] + values[:-1]).sum() / 2 / (len(values) - 1))


def _hold_last(boxes: FloatArray, truth: FloatArray) -> FloatArray:
    """Boxes without an area become the one before, except where the truth is NaN."""
    boxes = boxes.copy()
    broken = ~(boxes[:, 2:] > 0).all(axis=1) | np.isnan(boxes).any(axis=1)
    for i in np.flatnonzero(broken & ~np.isnan(truth).any(axis=1)):
        if i > 0:
            boxes[i] = boxes[i - 1]
    return boxes


def _clip(boxes: FloatArray, size: tuple[int, int]) -> FloatArray:
    """GOT-10k's clipping: a box that starts outside to the left or above is moved in, not cut."""
    corner = np.clip(boxes[:, :2], 0, size)
    return np.concatenate([corner, np.clip(boxes[:, 2:], 0, size - corner)], axis=1)
