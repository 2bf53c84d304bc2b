"""Masked objects, cut out and pasted over other pictures."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stif_core.geometry import FloatArray


@dataclass(frozen=True)
class Cutout:
    """An object with its opacity.

    Attributes:
        image: (h, w, 3) BGR.
        alpha: (h, w), 0 to 1.
    """

    image: NDArray[np.uint8]
    alpha: NDArray[np.float32]


def cut_out(image: NDArray[np.uint8], mask: NDArray[np.uint8], box: FloatArray) -> Cutout | None:
    """The masked object inside an xywh box; None where the mask hardly covers it.

    Args:
        image: (H, W, 3) BGR.
        mask: (H, W), 255 on objects.
        box: xywh in image pixels.
    """
    x, y, w, h = box
    height, width = image.shape[:2]
    left, top = max(0, int(x)), max(0, int(y))
    right, bottom = min(width, int(np.ceil(x + w))), min(height, int(np.ceil(y + h)))
    mask = mask[top:bottom, left:right]
    if min(mask.shape, default=0) < 12 or mask.mean() < 255 * 0.2:
        return None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    alpha = cv2.GaussianBlur(mask[part].astype(np.float32) / 255, (3, 3), 0)
    return Cutout(image[top:bottom, left:right][part], alpha)


def paste(
    canvas: NDArray[np.uint8], cutout: Cutout, centre: FloatArray, size: float, angle: float, stretch: float
) -> tuple[FloatArray, NDArray[np.float32]]:
    """Draws the object into ``canvas``.

    Args:
        canvas: (H, W, 3), changed in place.
        cutout: What to draw.
        centre: Where its centre comes to lie, (x, y) in canvas pixels.
        size: sqrt(w h) of the drawn object before rotation, in canvas pixels.
        angle: Rotation in radians.
        stretch: Factor on the aspect ratio w / h.

    Returns:
        The tight box of what was drawn (xywh, NaN where nothing is visible) and its opacity (H, W).
    """
    height, width = cutout.alpha.shape
    scale = size / np.sqrt(width * height)
    scale_x, scale_y = scale * np.sqrt(stretch), scale / np.sqrt(stretch)
    image, alpha = cutout.image, cutout.alpha
    if scale < 0.5:  # bilinear sampling alone would alias
        target = (max(1, round(width * 2 * scale)), max(1, round(height * 2 * scale)))
        image = cv2.resize(image, target, interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(alpha, target, interpolation=cv2.INTER_AREA)
        scale_x, scale_y = scale_x * width / target[0], scale_y * height / target[1]
        width, height = target
    cosine, sine = np.cos(angle), np.sin(angle)
    linear = np.array([[cosine * scale_x, -sine * scale_y], [sine * scale_x, cosine * scale_y]])
    shift = np.asarray(centre) - 0.5 - linear @ (np.array([width, height]) / 2 - 0.5)
    matrix = np.column_stack([linear, shift])
    output = (canvas.shape[1], canvas.shape[0])
    opacity = cv2.warpAffine(alpha, matrix, output)
    drawn = cv2.warpAffine(image, matrix, output, borderMode=cv2.BORDER_REPLICATE)
    rows, columns = np.flatnonzero((opacity > 0.5).any(axis=1)), np.flatnonzero((opacity > 0.5).any(axis=0))
    if not len(rows):
        return np.full(4, np.nan), opacity
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    margin = np.s_[max(0, top - 3) : bottom + 3, max(0, left - 3) : right + 3]
    weight = opacity[margin][..., None]
    canvas[margin] = (canvas[margin] * (1 - weight) + drawn[margin] * weight + 0.5).astype(np.uint8)
    return np.array([left, top, right - left, bottom - top], dtype=np.float64), opacity
