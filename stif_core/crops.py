"""Square crops around a target, sampled with sub-pixel precision.

One affine map serves both directions: what ``sample`` reads at crop pixel (u, v) lies at
``centre + (u - S / 2) * side / S`` in the image, and ``to_image`` maps boxes back by the same formula.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from stif_core.geometry import FloatArray

CONTEXT = 4.0  # side of a crop in units of sqrt(w h) of the target


@dataclass(frozen=True)
class SearchWindow:
    """A square of the image that becomes a crop of ``size`` x ``size`` pixels.

    Attributes:
        x, y: Centre in image coordinates.
        side: Side in image pixels.
        size: Side of the crop in pixels.
    """

    x: float
    y: float
    side: float
    size: int

    @classmethod
    def around(cls, box: ArrayLike, size: int, context: float = CONTEXT) -> "SearchWindow":
        """The window with the centre of an xywh box, ``context * sqrt(w h)`` wide."""
        x, y, w, h = np.asarray(box, dtype=np.float64)
        return cls(float(x + w / 2), float(y + h / 2), float(context * np.sqrt(w * h)), size)

    @property
    def scale(self) -> float:
        """Crop pixels per image pixel."""
        return self.size / self.side

    def within(self, width: int, height: int) -> bool:
        """Whether an image of this size has all that a crop shows, interpolated at its edges too."""
        reach = self.side / 2 + max(1.0, self.side / self.size)
        return reach <= self.x <= width - reach and reach <= self.y <= height - reach

    def to_crop(self, box: ArrayLike) -> FloatArray:
        """xywh boxes (..., 4) of the image -> xywh in crop pixels."""
        box = np.array(box, dtype=np.float64)
        box[..., :2] = (box[..., :2] - (self.x, self.y)) * self.scale + self.size / 2
        box[..., 2:] *= self.scale
        return box

    def to_image(self, box: ArrayLike) -> FloatArray:
        """xywh boxes (..., 4) in crop pixels -> xywh in the image."""
        box = np.array(box, dtype=np.float64)
        box[..., :2] = (box[..., :2] - self.size / 2) / self.scale + (self.x, self.y)
        box[..., 2:] /= self.scale
        return box

    def sample(self, image: NDArray[np.uint8], canvas: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Draws the window's part of ``image`` (H, W, 3) over ``canvas`` (size, size, 3), and returns the canvas.

        What lies outside the image keeps the canvas's content; without a canvas the image's last pixels go on there.
        """
        source, left, top, shrink = self._shrunk(image)
        scale = self.scale * shrink
        # warpAffine counts pixel centres as integers, we count edges: half a pixel on both sides.
        shift_x = self.size / 2 - 0.5 - scale * ((self.x - left) / shrink - 0.5)
        shift_y = self.size / 2 - 0.5 - scale * ((self.y - top) / shrink - 0.5)
        matrix = np.array([[scale, 0, shift_x], [0, scale, shift_y]])
        # OpenCV 5 warps four channels more than twice as fast as three, to the same values.
        drawn = cv2.warpAffine(
            cv2.cvtColor(source, cv2.COLOR_BGR2BGRA),
            matrix,
            (self.size, self.size),
            dst=None if canvas is None else cv2.cvtColor(canvas, cv2.COLOR_BGR2BGRA),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE if canvas is None else cv2.BORDER_TRANSPARENT,
        )
        return cv2.cvtColor(drawn, cv2.COLOR_BGRA2BGR, dst=canvas)

    def _shrunk(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int, int, int]:
        """The part of the image that is needed, its offset, and the whole factor by which it was shrunk.

        A window much larger than the crop is averaged over blocks first: bilinear sampling alone would alias.
        """
        shrink = max(1, int(self.side / self.size))
        height, width = image.shape[:2]
        if shrink == 1 and height * width <= 4 * self.size**2:  # cutting would cost more than it saves
            return image, 0, 0, 1
        margin = self.side / 2 + 2 * shrink
        left, top = max(0, int(self.x - margin)), max(0, int(self.y - margin))
        right, bottom = min(width, int(self.x + margin)), min(height, int(self.y + margin))
        columns, rows = (right - left) // shrink, (bottom - top) // shrink
        if columns < 1 or rows < 1:
            return image, 0, 0, 1
        part = image[top : top + rows * shrink, left : left + columns * shrink]
        if shrink > 1:
            part = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
        return part, left, top, shrink


def plain_canvas(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """A canvas in the mean colour of the image, for what a crop shows beyond the border."""
    colour = np.round(cv2.mean(np.ascontiguousarray(image[::16, ::16]))[:3])
    canvas = np.empty((size, size, 3), np.uint8)
    return cv2.rectangle(canvas, (0, 0), (size, size), colour.tolist(), cv2.FILLED)  # many times as fast as np.full


def foreground_map(box: ArrayLike, size: int) -> NDArray[np.uint8]:
    """1 inside the xywh box in crop pixels, else 0; (size, size)."""
    x, y, w, h = np.asarray(box, dtype=np.float64)
    left, top = np.clip(np.round([x, y]), 0, size - 1).astype(int)
    right, bottom = np.clip(np.round([x + w, y + h]), (left + 1, top + 1), size).astype(int)
    foreground = np.zeros((size, size), dtype=np.uint8)
    foreground[top:bottom, left:right] = 1
    return foreground
