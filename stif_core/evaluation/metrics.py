"""Success and precision of one-pass evaluation, as OTB defines them (Wu et al., 2013, 2015)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from stif_core.geometry import FloatArray, centre, iou

SUCCESS_THRESHOLDS = np.linspace(0, 1, 21)
PRECISION_PIXELS = 20.0


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
    return _overlap(*_counted(predicted, truth))


def accuracy(predicted: ArrayLike, truth: ArrayLike) -> Accuracy:
    """Scores a track; arguments and errors as for ``frame_ious``."""
    predicted, truth = _counted(predicted, truth)
    if not len(truth):
        raise ValueError("no frame counts: the truth holds no box after the first frame")
    overlap = _overlap(predicted, truth)
    distance = np.linalg.norm(centre(predicted) - centre(truth), axis=1)
    return Accuracy(
        success_auc=float((overlap[:, None] > SUCCESS_THRESHOLDS).mean()),
        precision=float((distance <= PRECISION_PIXELS).mean()),
        success_50=float((overlap > 0.5).mean()),
        mean_iou=float(overlap.mean()),
        frames=len(overlap),
    )


def _overlap(predicted: FloatArray, truth: FloatArray) -> FloatArray:
    return np.nan_to_num(iou(predicted, truth), nan=0.0)


def _counted(predicted: ArrayLike, truth: ArrayLike) -> tuple[FloatArray, FloatArray]:
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if predicted.shape != truth.shape or truth.ndim != 2 or truth.shape[1] != 4:
        raise ValueError(f"expected two arrays (N, 4) of equal length, got {predicted.shape} and {truth.shape}")
    counts = ~np.isnan(truth).any(axis=1)
    counts[:1] = False
    return predicted[counts], truth[counts]
