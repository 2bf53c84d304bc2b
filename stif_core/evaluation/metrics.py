"""Success and precision of one-pass evaluation, as OTB defines them (Wu et al., 2013, 2015)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from stif_core.evaluation.curves import frame_errors, three_curves
from stif_core.geometry import FloatArray


@dataclass(frozen=True)
class Accuracy:
    """Of one tracker on one sequence; frames without a true box, and the first, do not count.

    Attributes:
        success_auc: Mean over 21 thresholds of the share of frames with an IoU strictly above.
        precision: Share of frames whose centres are at most 20 pixels apart.
        success_50: Share of frames with an IoU above 0.5.
        mean_iou: Mean IoU.
        frames: How many frames counted.
    """

    success_auc: float
    precision: float
    success_50: float
    mean_iou: float
    frames: int


def frame_ious(predicted: ArrayLike, truth: ArrayLike) -> FloatArray:
    """IoU of each frame that counts, (M,): a predicted NaN box scores 0.

    Args:
        predicted: xywh, (N, 4), the first being the initial box.
        truth: xywh, (N, 4); a row of NaN where the target is absent.

    Raises:
        ValueError: The lengths differ.
    """
    return np.nan_to_num(frame_errors(*_counted(predicted, truth))[0], nan=0.0)


def accuracy(predicted: ArrayLike, truth: ArrayLike) -> Accuracy:
    """Scores a track as the protocol ``folder`` does; arguments and errors as for ``frame_ious``."""
    predicted, truth = _counted(predicted, truth)
    if not len(truth):
        raise ValueError("no frame counts: the truth holds no box after the first frame")
    overlap, distance, normalised = frame_errors(predicted, truth)
    figures, _ = three_curves(np.nan_to_num(overlap, nan=0.0), distance, normalised, len(truth))
    return Accuracy(
        success_auc=figures["success_auc"],
        precision=figures["precision"],
        success_50=figures["success_50"],
        mean_iou=figures["mean_iou"],
        frames=len(truth),
    )


def _counted(predicted: ArrayLike, truth: ArrayLike) -> tuple[FloatArray, FloatArray]:
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if predicted.shape != truth.shape or truth.ndim != 2 or truth.shape[1] != 4:
        raise ValueError(f"expected two arrays (N, 4) of equal length, got {predicted.shape} and {truth.shape}")
    counts = ~np.isnan(truth).any(axis=1)
    counts[:1] = False
    return predicted[counts], truth[counts]
