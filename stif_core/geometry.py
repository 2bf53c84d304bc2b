"""Boxes. Public borders use xywh: top-left corner, width, height; float pixels, pixel c covers [c, c + 1)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def xywh_to_xyxy(box: ArrayLike) -> FloatArray:
    """(..., 4) top-left corner and size -> both corners."""
    box = np.asarray(box, dtype=np.float64)
    return np.concatenate([box[..., :2], box[..., :2] + box[..., 2:]], axis=-1)


def xyxy_to_xywh(box_xyxy: ArrayLike) -> FloatArray:
    """(..., 4) both corners -> top-left corner and size."""
    box_xyxy = np.asarray(box_xyxy, dtype=np.float64)
    return np.concatenate([box_xyxy[..., :2], box_xyxy[..., 2:] - box_xyxy[..., :2]], axis=-1)


def iou(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Intersection over union of xywh boxes (..., 4), broadcast; NaN where a box holds NaN, 0 without overlap."""
    a, b = xywh_to_xyxy(a), xywh_to_xyxy(b)
    size = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    overlap = np.clip(size, 0, None).prod(axis=-1)
    union = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1) - overlap
    return np.where(union > 0, overlap / np.where(union > 0, union, 1), np.where(np.isnan(union), np.nan, 0.0))


def centre(box: ArrayLike) -> FloatArray:
    """Centre (..., 2) of xywh boxes."""
    box = np.asarray(box, dtype=np.float64)
    return box[..., :2] + box[..., 2:] / 2


def clip_box(box: ArrayLike, width: int, height: int, smallest: float) -> FloatArray:
    """Moves an xywh box so that at least ``smallest`` pixels of it lie in the image, and bounds its size."""
    x, y, w, h = np.asarray(box, dtype=np.float64)
    w, h = np.clip(w, smallest, 2.0 * width), np.clip(h, smallest, 2.0 * height)
    x = np.clip(x, smallest - w, width - smallest)
    y = np.clip(y, smallest - h, height - smallest)
    return np.array([x, y, w, h])


def inside(box: ArrayLike, width: float, height: float) -> bool:
    """Whether all of an xywh box lies in the image."""
    x, y, w, h = np.asarray(box, dtype=np.float64)
    return bool(x >= 0 and y >= 0 and x + w <= width and y + h <= height)


def check_target_box(box: ArrayLike, width: float, height: float) -> FloatArray:
    """The box as four floats, if it can be tracked in an image of this size.

    Raises:
        ValueError: Not four finite numbers, no area, or no overlap with the image; says which.
    """
    values = np.asarray(box, dtype=np.float64)
    if values.shape != (4,):
        raise ValueError(f"a box is four numbers x,y,w,h, got {values.size}")
    text = "({})".format(", ".join(f"{value:g}" for value in values))
    if not np.isfinite(values).all():
        raise ValueError(f"box {text} holds a value that is not a finite number")
    x, y, w, h = values
    if w <= 0 or h <= 0:
        raise ValueError(f"box {text} has no area: width and height must be positive")
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        size = f" of {width}x{height} pixels" if np.isfinite(width) else ""
        raise ValueError(f"box {text} lies outside the image{size}")
    return values
