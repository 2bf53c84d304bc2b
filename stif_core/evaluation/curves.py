"""The curves of one-pass evaluation: success over IoU, precision over pixels and over shares of the target's size."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stif_core.geometry import FloatArray, centre, iou

SUCCESS_THRESHOLDS = np.linspace(0, 1, 21)
PIXELS = np.arange(51.0)
SHARES = np.arange(51) / 100  # of the true box's width and height


@dataclass(frozen=True)
class Curve:
    """Shares of frames over thresholds, both (K,); ``figure`` names the figure that belongs into its legend."""

    thresholds: FloatArray
    values: FloatArray
    figure: str


def frame_errors(boxes: FloatArray, truth: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """IoU, distance of the centres in pixels, and the same in widths and heights of the true box; (N,) each."""
    offset = centre(boxes) - centre(truth)
    with np.errstate(divide="ignore", invalid="ignore"):
        normalised = np.linalg.norm(offset / truth[:, 2:], axis=1)
    return iou(boxes, truth), np.linalg.norm(offset, axis=1), normalised


def three_curves(
    overlap: FloatArray, distance: FloatArray, normalised: FloatArray, divisor: int
) -> tuple[dict[str, float], dict[str, Curve]]:
    """Figures by name, the one that ranks first, and the curves that they are read from.

    Args:
        overlap: IoU; NaN where a frame is no hit at any threshold.
        distance, normalised: Of the frames that count.
        divisor: The number of frames of which the values are shares.
    """
    success = Curve(SUCCESS_THRESHOLDS, _share(overlap[:, None] > SUCCESS_THRESHOLDS, divisor), "success_auc")
    precision = Curve(PIXELS, _share(distance[:, None] <= PIXELS, divisor), "precision")
    shares = Curve(SHARES, _share(normalised[:, None] <= SHARES, divisor), "normalised_precision")
    figures = {
        "success_auc": float(success.values.mean()),
        "precision": float(precision.values[20]),
        "normalised_precision": float(shares.values[20]),
        "normalised_precision_auc": float(shares.values.mean()),
        "success_50": float(success.values[10]),
        "mean_iou": float(np.nanmean(overlap)) if not np.isnan(overlap).all() else 0.0,
    }
    return figures, {"success": success, "precision": precision, "normalised precision": shares}


def _share(hits: NDArray[np.bool_], divisor: int) -> FloatArray:
    return hits.sum(axis=0) / divisor
