"""Masked objects, cut out and pasted over other pictures."""

from dataclasses import dataclass
from typing import Any

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


def object_part(mask: NDArray[np.uint8], box: FloatArray) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of the masked object inside an xywh box; None where the mask hardly covers it.

    Args:
        mask: (H, W), 255 on objects.
        box: xywh in image pixels.
    """
    x, y, w, h = box
    height, width = mask.shape
    left, top = max(0, int(x)), max(0, int(y))
    right, bottom = min(width, int(np.ceil(x + w))), min(height, int(np.ceil(y + h)))
    mask = mask[top:bottom, left:right]
    if min(mask.shape, default=0) < 12 or cv2.mean(np.ascontiguousarray(mask))[0] < 255 * 0.2:
        return None
    tight = tight_box(mask)
    if tight is None:
        return None
    x, y, w, h = tight
    return left + x, top + y, left + x + w, top + y + h


def tight_box(opacity: NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
    """Left, top, width and height of what is opaque by more than a half; None where nothing is."""
    box = cv2.boundingRect(cv2.threshold(opacity, 127, 255, cv2.THRESH_BINARY)[1])
    return None if box[2] == 0 else (box[0], box[1], box[2], box[3])


def cut_out(image: NDArray[np.uint8], mask: NDArray[np.uint8], box: FloatArray) -> Cutout | None:
    """The masked object inside an xywh box; None where the mask hardly covers it.

    Args:
        image: (H, W, 3) BGR.
        mask: (H, W), 255 on objects.
        box: xywh in image pixels.
    """
    part = object_part(mask, box)
    if part is None:
        return None
    left, top, right, bottom = part
    alpha = cv2.GaussianBlur(mask[top:bottom, left:right].astype(np.float32) / 255, (3, 3), 0)
    return Cutout(image[top:bottom, left:right], alpha)


def placement(width: float, height: float, centre: FloatArray, size: float, angle: float, stretch: float) -> FloatArray:
    """Map (2, 3) that puts an object of ``width`` x ``height`` where ``paste`` does; both count from the edges."""
    scale = size / np.sqrt(width * height)
    scale_x, scale_y = scale * np.sqrt(stretch), scale / np.sqrt(stretch)
    cosine, sine = np.cos(angle), np.sin(angle)
    linear = np.array([[cosine * scale_x, -sine * scale_y], [sine * scale_x, cosine * scale_y]])
    return np.column_stack([linear, np.asarray(centre) - linear @ (np.array([width, height]) / 2)])


def reduced(pixels: NDArray[Any], matrix: FloatArray) -> tuple[NDArray[Any], FloatArray]:
    """A picture and its map, the picture made smaller first where the map makes it smaller by more than a half.

    Bilinear sampling alone would alias.
    """
    scale = np.sqrt(np.linalg.det(matrix[:, :2]))
    if scale >= 0.5:
        return pixels, matrix
    height, width = pixels.shape[:2]
    target = (max(1, round(width * 2 * scale)), max(1, round(height * 2 * scale)))
    return cv2.resize(pixels, target, interpolation=cv2.INTER_AREA), matrix * (width / target[0], height / target[1], 1)


def from_centres(matrix: FloatArray) -> FloatArray:
    """The map as OpenCV takes it, which counts pixel centres as integers."""
    shift = matrix[:, 2] + matrix[:, :2] @ (0.5, 0.5) - 0.5
    return np.column_stack([matrix[:, :2], shift])


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
    matrix = placement(width, height, centre, size, angle, stretch)
    image, _ = reduced(cutout.image, matrix)
    alpha, matrix = reduced(cutout.alpha, matrix)
    matrix = from_centres(matrix)
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
