"""From scores and boxes of all cells to one box (SiamRPN's penalties, as STMTrack and STIF use them)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stif_core.geometry import FloatArray
from stif_core.tracking.settings import TrackerSettings

NEARLY = 0.5  # of the best score from which on another peak counts
SAME = 0.3  # IoU from which on two boxes are of one thing
MOST_OTHERS = 4


@dataclass(frozen=True)
class Peak:
    """The chosen cell.

    Attributes:
        box_xyxy: In crop pixels.
        score: Its score, without penalty and window.
        penalty: Its penalty, 0 to 1.
    """

    box_xyxy: FloatArray
    score: float
    penalty: float


def scale_penalty(size: FloatArray, previous: FloatArray, strength: float) -> FloatArray:
    """``exp(-(r s - 1) k)``: r the change of aspect ratio, s that of the padded size, both taken as >= 1.

    Args:
        size: Width and height of the candidates, (N, 2).
        previous: Width and height before, (2,), in the same unit.
        strength: k.
    """

    def change(ratio: FloatArray) -> FloatArray:
        return np.maximum(ratio, 1 / ratio)

    def padded(width: FloatArray, height: FloatArray) -> FloatArray:
        margin = (width + height) / 2
        return np.sqrt((width + margin) * (height + margin))

    width, height = size[:, 0], size[:, 1]
    shape = change((width / height) / (previous[0] / previous[1]))
    scale = change(padded(width, height) / padded(previous[0], previous[1]))
    return np.exp(-(shape * scale - 1) * strength)


def cosine_window(offset: FloatArray, reach: float) -> FloatArray:
    """Hann window of an offset (N, 2) from the crop's centre; 0 from ``reach`` on, in each axis."""
    window = 0.5 + 0.5 * np.cos(np.pi * np.minimum(np.abs(offset) / reach, 1))
    return window[:, 0] * window[:, 1]


def best_cell(
    score: NDArray[np.float32],
    box_xyxy: NDArray[np.float32],
    previous: FloatArray,
    crop_size: int,
    settings: TrackerSettings,
) -> Peak:
    """Picks the cell with the highest penalised and windowed score.

    Args:
        score: (N,).
        box_xyxy: (N, 4), crop pixels.
        previous: Width and height of the target before, (2,), crop pixels.
        crop_size: S.
        settings: ``penalty`` and ``window`` are used.
    """
    boxes = box_xyxy.astype(np.float64)
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    penalty = scale_penalty(size, previous, settings.penalty)
    # The window weighs where a box lies rather than which cell proposes it.
    window = cosine_window((boxes[:, :2] + boxes[:, 2:] - crop_size) / 2, crop_size / 2)
    best = int(np.argmax(score * penalty * (1 - settings.window) + window * settings.window))
    return Peak(boxes[best], float(score[best]), float(penalty[best]))


def other_peaks(
    score: NDArray[np.float32],
    box_xyxy: NDArray[np.float32],
    best: Peak,
    previous: FloatArray,
    settings: TrackerSettings,
) -> list[Peak]:
    """Others that score nearly as well as the best peak, whose boxes hardly overlap with each other; best first.

    Arguments as for ``best_cell``.
    """
    near = np.flatnonzero(score >= NEARLY * best.score)
    boxes, scores = box_xyxy[near].astype(np.float64), score[near]
    found: list[Peak] = []
    last = best.box_xyxy
    while len(found) < MOST_OTHERS:
        size = np.clip(np.minimum(boxes[:, 2:], last[2:]) - np.maximum(boxes[:, :2], last[:2]), 0, None)
        overlap = size.prod(axis=1)
        union = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (last[2:] - last[:2]).prod() - overlap
        apart = overlap < SAME * union
        boxes, scores = boxes[apart], scores[apart]
        if not len(boxes):
            break
        i = int(np.argmax(scores))
        last = boxes[i]
        penalty = scale_penalty(np.maximum(last[None, 2:] - last[None, :2], 1e-3), previous, settings.penalty)
        found.append(Peak(last, float(scores[i]), float(penalty[0])))
    return found
