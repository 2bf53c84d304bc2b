"""Where in the whole image a LOST target is looked for next: a few windows a frame, the most promising first."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stif_core.crops import SearchWindow
from stif_core.geometry import FloatArray
from stif_core.tracking.settings import TrackerSettings

TARGET_PIXELS = 8.0  # sqrt(w h) of the target in the small image on which windows are compared
SMALL_IMAGE = 200 * 150  # pixels that it has at most
COLOUR_BITS = 4  # of each channel, in the colour histograms
COLOUR_FLOOR = 0.05  # likeness of a colour that the target does not have
UNLIKE = 0.05  # weight of a window that resembles the target in nothing
FAR = 0.3  # weight of a window far from where the target is expected
MOST_WINDOWS = 2000  # of one scale; those of a tiny target lie further apart then
NOTHING_NEW = 12.0  # frames in which what a window shows becomes new again


@dataclass(frozen=True)
class TargetSketch:
    """What can be compared without the network: a tiny picture of the target, and which colours set it apart.

    Attributes:
        picture: (h, w, 3) BGR.
        colours: (4096,) share of the target among the pixels of a colour, 0 to 1; 4 bits of blue, green and red.
        size: Width and height of the target's box, (2,), image pixels.
        factor: Image pixels per pixel of the picture.
    """

    picture: NDArray[np.uint8]
    colours: NDArray[np.float32]
    size: FloatArray
    factor: float

    @classmethod
    def of(cls, image: NDArray[np.uint8], box: FloatArray) -> "TargetSketch":
        """From an image and the target's xywh box in it."""
        target = float(np.sqrt(box[2] * box[3]))
        factor = max(1.0, target / TARGET_PIXELS, float(np.sqrt(image.shape[0] * image.shape[1] / SMALL_IMAGE)))
        small = _shrunk(image, factor)
        height, width = small.shape[:2]
        corners = np.round(np.concatenate([box[:2], box[:2] + box[2:]]) / factor).astype(int)
        left, top = corners[:2].clip(0, (width - 2, height - 2)).tolist()
        right, bottom = corners[2:].clip((left + 2, top + 2), (width, height)).tolist()
        colour = _colour_index(small)
        outside = np.ones((height, width), bool)
        outside[top:bottom, left:right] = False
        trim_x, trim_y = (right - left) // 6, (bottom - top) // 6  # corners of a box show what is behind the target
        inside = colour[top + trim_y : bottom - trim_y, left + trim_x : right - trim_x]
        own, other = _histogram(inside), _histogram(colour[outside])
        return cls(small[top:bottom, left:right].copy(), own / (own + other + 1e-4), box[2:].copy(), factor)

    def likeness(self, small: NDArray[np.uint8]) -> NDArray[np.float32]:
        """How much the surroundings of each pixel of an image, shrunk by ``factor``, resemble the target, (h, w).

        From 0 to about 1: normalised cross-correlation with the picture, times the share of the target's colours in a
        box of its size.
        """
        height, width = self.picture.shape[:2]
        x, y = width // 2, height // 2
        padded = cv2.copyMakeBorder(small, y, height - 1 - y, x, width - 1 - x, cv2.BORDER_REPLICATE)
        pattern = cv2.matchTemplate(padded, self.picture, cv2.TM_CCOEFF_NORMED)
        colour = cv2.boxFilter(self.colours[_colour_index(small)], -1, (width, height))
        # A patch without contrast correlates with anything: OpenCV gives it infinity or 1.
        pattern = np.where(np.abs(pattern) <= 1, pattern, 0)
        return np.clip(pattern, 0, None) * (colour + COLOUR_FLOOR)


class WholeImageSearch:
    """Windows over the whole image at some scales of the target, and when each was last looked at."""

    def __init__(self, sketch: TargetSketch, size: FloatArray, crop_size: int, settings: TrackerSettings) -> None:
        """For a target of this size (w, h), in image pixels."""
        self._sketch = sketch
        self._size = size
        self._crop_size = crop_size
        self._settings = settings
        self._image_size: tuple[int, int] | None = None
        self._turn = 0  # windows chosen so far

    def next_windows(
        self, image: NDArray[np.uint8], expected: FloatArray, reach: float, count: int
    ) -> list[tuple[SearchWindow, FloatArray]]:
        """The windows to look at in this image, each with the size (w, h) at which the target is expected there.

        The first has the best weight: likeness to the target, nearness to where it is expected, time since the window
        was last looked at. Every second one is among those not looked at for longest, so that all get their turn.

        Args:
            image: (H, W, 3).
            expected: Centre (x, y) where the target is expected.
            reach: How far from there it may well be, in pixels.
            count: How many.
        """
        if self._image_size != (image.shape[1], image.shape[0]):
            self._lay_out(image.shape[1], image.shape[0])
        if count < 1:
            return []
        weight = self._weight(image, expected, reach)
        self._age += 1
        chosen = []
        for _ in range(min(count, len(weight))):
            fresh = 1 - np.exp(-self._age / NOTHING_NEW)
            # The oldest windows, those of one age by their weight.
            value = weight * fresh if self._turn % 2 == 0 else self._age + weight / (weight.max() + 1e-9)
            best = int(np.argmax(value))
            self._age[best] = 0
            self._turn += 1
            x, y, scale = self._windows[best]
            size = self._size * scale
            chosen.append((SearchWindow.around((x - size[0] / 2, y - size[1] / 2, *size), self._crop_size), size))
        return chosen

    def _lay_out(self, width: int, height: int) -> None:
        windows = []
        for scale in self._settings.search_scales:
            size = self._size * scale
            step = SearchWindow.around((0, 0, *size), self._crop_size).side * self._settings.search_step
            step = max(step, float(np.sqrt(width * height / MOST_WINDOWS)))
            columns, rows = max(1, int(np.ceil(width / step))), max(1, int(np.ceil(height / step)))
            x, y = (np.arange(columns) + 0.5) * width / columns, (np.arange(rows) + 0.5) * height / rows
            grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
            windows.append(np.column_stack([grid, np.full(len(grid), scale)]))
        self._windows = np.concatenate(windows)
        self._age = np.full(len(self._windows), 1e3)
        self._image_size = (width, height)

    def _weight(self, image: NDArray[np.uint8], expected: FloatArray, reach: float) -> FloatArray:
        like = np.empty(len(self._windows))
        # The picture shows the target as it was at first; it may have another size now.
        growth = float(np.sqrt(self._size.prod() / self._sketch.size.prod()))
        usual_factor = self._sketch.factor * float(np.clip(growth, 0.5, 2))
        small, factor = image, 1.0
        for scale in sorted(self._settings.search_scales):
            mine = self._windows[:, 2] == scale
            small = _shrunk(small, usual_factor * scale / factor)
            factor = image.shape[1] / small.shape[1]
            likeness = self._sketch.likeness(small)
            side = SearchWindow.around((0, 0, *(self._size * scale)), self._crop_size).side
            reached = max(1, int(side * self._settings.search_step / factor))
            best = cv2.dilate(likeness, np.ones((reached, reached), np.uint8))
            place = (self._windows[mine, :2] / factor).astype(int)
            rows = place[:, 1].clip(0, best.shape[0] - 1)
            columns = place[:, 0].clip(0, best.shape[1] - 1)
            like[mine] = best[rows, columns] * np.exp(-2 * np.log(scale) ** 2)
        distance = np.linalg.norm(self._windows[:, :2] - expected, axis=1)
        near = np.exp(-((distance / reach) ** 2) / 2)
        return (like / (like.max() + 1e-9) + UNLIKE) * (FAR + near)


def _shrunk(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """The image, smaller by about the factor; averaged over blocks of at most every second pixel."""
    size = (max(8, round(image.shape[1] / factor)), max(8, round(image.shape[0] / factor)))
    step = max(1, int(factor / 2.5))
    image = image[::step, ::step]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _colour_index(image: NDArray[np.uint8]) -> NDArray[np.int32]:
    """One number for the leading bits of a pixel's three channels, (H, W)."""
    bits = (image >> (8 - COLOUR_BITS)).astype(np.int32)
    return (bits[..., 0] << 2 * COLOUR_BITS) + (bits[..., 1] << COLOUR_BITS) + bits[..., 2]


def _histogram(colour: NDArray[np.int32]) -> NDArray[np.float32]:
    """Shares of the colours, smoothed over their neighbours, (4096,)."""
    levels = 1 << COLOUR_BITS
    counts = np.bincount(colour.ravel(), minlength=levels**3).reshape(levels, levels, levels).astype(np.float32)
    for axis in range(3):
        before, after = np.roll(counts, 1, axis), np.roll(counts, -1, axis)
        counts = 0.25 * before + 0.5 * counts + 0.25 * after
    return (counts / max(float(counts.sum()), 1.0)).ravel()
