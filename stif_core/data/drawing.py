"""Draws the crops of a plan with OpenCV."""

import cv2
import numpy as np

from stif_core.crops import SearchWindow, plain_canvas
from stif_core.data.augment import apply_look
from stif_core.data.cutouts import from_centres, reduced, tight_box
from stif_core.data.images import Image, ImageReader
from stif_core.data.plans import CropPlan, Cutout, Pasted, Scenery
from stif_core.geometry import FloatArray


def draw_crop(plan: CropPlan, images: ImageReader, size: int) -> Image:
    """The finished crop, (size, size, 3) BGR."""
    canvas = _ground(plan, images, size)
    for pasted in plan.pasted:
        _paste(canvas, pasted, images)
    if plan.cover is not None:
        left, top, right, bottom = plan.cover.part
        canvas[top:bottom, left:right] = _scenery(plan.cover.scenery, images, size)[top:bottom, left:right]
    return apply_look(canvas, plan.look)


def pasted_box(pasted: Pasted, images: ImageReader, size: int) -> FloatArray | None:
    """Tight xywh box (4,) of what can be seen of a pasted object in a crop; None where that is nothing."""
    place = _warped(_mask_part(pasted.cutout, images), pasted.matrix, size)
    box = None if place is None else tight_box(place[0])
    if place is None or box is None:
        return None
    _, left, top = place
    return np.array([left + box[0], top + box[1], box[2], box[3]], dtype=np.float64)


def inside(window: SearchWindow, width: int, height: int) -> bool:
    """Whether a crop shows nothing but the picture: not its border either, nor what averaging over blocks cuts off."""
    reach = window.side / 2 + window.side / window.size + 1
    return reach <= window.x <= width - reach and reach <= window.y <= height - reach


def _ground(plan: CropPlan, images: ImageReader, size: int) -> Image:
    if plan.picture is None:
        assert plan.scenery is not None
        return _scenery(plan.scenery, images, size)
    image, window = images.image(plan.picture.image), plan.picture.window
    if inside(window, image.shape[1], image.shape[0]):
        return window.sample(image)
    canvas = plain_canvas(image, size) if plan.scenery is None else _scenery(plan.scenery, images, size)
    return window.sample(image, canvas)


def _scenery(scenery: Scenery, images: ImageReader, size: int) -> Image:
    image = images.image(scenery.image)
    return scenery.window(image.shape[1], image.shape[0], size).sample(image)


def _paste(canvas: Image, pasted: Pasted, images: ImageReader) -> None:
    left, top, right, bottom = pasted.cutout.part
    pixels = cv2.cvtColor(images.image(pasted.cutout.image)[top:bottom, left:right], cv2.COLOR_BGR2BGRA)
    pixels[..., 3] = _mask_part(pasted.cutout, images)
    # Weighed by their opacity before they are interpolated: no dark fringe.
    place = _warped(cv2.cvtColor(pixels, cv2.COLOR_RGBA2mRGBA), pasted.matrix, canvas.shape[0])
    if place is None:
        return
    drawn, left, top = place
    part = canvas[top : top + drawn.shape[0], left : left + drawn.shape[1]]
    shown = cv2.cvtColor(255 - drawn[..., 3], cv2.COLOR_GRAY2BGR)
    part[:] = cv2.add(cv2.multiply(part, shown, scale=1 / 255), drawn[..., :3])


def _mask_part(cutout: Cutout, images: ImageReader) -> Image:
    left, top, right, bottom = cutout.part
    return images.mask(cutout.mask)[top:bottom, left:right]


def _warped(pixels: Image, matrix: FloatArray, size: int) -> tuple[Image, int, int] | None:
    """The part of a crop that warped pixels cover, with its left and top; None where they lie outside."""
    pixels, matrix = reduced(pixels, matrix)
    height, width = pixels.shape[:2]
    corners = matrix[:, :2] @ np.array([[0, width, 0, width], [0, 0, height, height]]) + matrix[:, 2:]
    left, top = np.maximum(np.floor(corners.min(axis=1)).astype(int) - 1, 0).tolist()
    right, bottom = np.minimum(np.ceil(corners.max(axis=1)).astype(int) + 1, size).tolist()
    if right <= left or bottom <= top:
        return None
    moved = np.column_stack([matrix[:, :2], matrix[:, 2] - (left, top)])
    return cv2.warpAffine(pixels, from_centres(moved), (right - left, bottom - top)), left, top
