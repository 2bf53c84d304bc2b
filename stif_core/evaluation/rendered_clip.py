"""A clip rendered from the photographs inside the scikit-image wheel: every pixel's truth is known.

A face moves, grows, turns and passes behind a brick pillar, over a garage that the camera pans across.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stif_core.crops import SearchWindow
from stif_core.data.cutouts import Cutout, paste
from stif_core.geometry import FloatArray
from stif_core.io.source import DEFAULT_FPS, read_frame

Image = NDArray[np.uint8]

FACE = (165, 5, 120, 175)  # xywh of the head in astronaut.png
COVERED = 0.4  # share of the target's width that the pillar hides at most


def photograph(name: str) -> Image:
    """One of scikit-image's pictures, BGR. Raises ValueError when the package is not installed."""
    try:
        import skimage
    except ModuleNotFoundError:
        raise ValueError("the rendered clip needs scikit-image: pip install scikit-image") from None
    return read_frame(Path(skimage.__file__).parent / "data" / name)


@dataclass(frozen=True)
class RenderedClip:
    """Frame ``i`` and its true box are the same in every run with the same values."""

    frames: int = 150
    width: int = 640
    height: int = 480
    fps: float = DEFAULT_FPS
    seed: int = 0

    def __iter__(self) -> Iterator[Image]:
        return (self.render(i)[0] for i in range(self.frames))

    @property
    def count(self) -> int:
        return self.frames

    def truth(self) -> FloatArray:
        """True boxes of the whole target, its hidden part included, xywh (N, 4)."""
        return np.array([self.render(i)[1] for i in range(self.frames)])

    @cached_property
    def _phases(self) -> FloatArray:
        return np.random.default_rng(self.seed).uniform(0, 2 * np.pi, 6)

    @cached_property
    def _target(self) -> Cutout:
        x, y, w, h = FACE
        image = photograph("astronaut.png")[y : y + h, x : x + w]
        alpha = np.zeros((h, w), np.float32)
        cv2.ellipse(alpha, (w // 2, h // 2), (w // 2 - 1, h // 2 - 1), 0, 0, 360, 1.0, -1)
        return Cutout(image, cv2.GaussianBlur(alpha, (3, 3), 0))

    @cached_property
    def _scenery(self) -> Image:
        return photograph("motorcycle_left.png")

    @cached_property
    def _pillar(self) -> Image:
        brick = cv2.resize(photograph("brick.png"), (self.height, self.height), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(brick[:, : self.width // 8])

    def render(self, index: int) -> tuple[Image, FloatArray]:
        """The image (H, W, 3) and the true box xywh of one frame."""
        if not 0 <= index < self.frames:
            raise IndexError(f"frame {index} of a clip of {self.frames}")
        time = index / self.fps
        phase = self._phases
        image = self._background(time)
        x = self.width * (0.5 + 0.3 * np.sin(0.9 * time + phase[0]))
        y = self.height * (0.5 + 0.22 * np.sin(1.3 * time + phase[1]))
        size = self.height * (0.17 + 0.04 * np.sin(0.7 * time + phase[2]))
        angle = 0.25 * np.sin(1.1 * time + phase[3])
        box, _ = paste(image, self._target, np.array([x, y]), size, angle, 1.0)
        self._hide(image, box, index)
        return image, box

    def _background(self, time: float) -> Image:
        """A square window that pans over the photograph, cut to the clip's shape."""
        height, width = self._scenery.shape[:2]
        side = 0.86 * height
        sway = np.array([np.sin(0.5 * time + self._phases[4]), np.sin(0.8 * time + self._phases[5])])
        x, y = np.array([width, height]) / 2 + sway * (0.12 * width, 0.06 * height)
        square = max(self.width, self.height)
        canvas = np.zeros((square, square, 3), np.uint8)
        window = SearchWindow(float(x), float(y), side, square)
        top = (square - self.height) // 2
        left = (square - self.width) // 2
        return np.ascontiguousarray(
            window.sample(self._scenery, canvas)[top : top + self.height, left : left + self.width]
        )

    def _hide(self, image: Image, box: FloatArray, index: int) -> None:
        """Slides a pillar over the target's side and back, in the middle third of the clip."""
        share = COVERED * np.sin(np.pi * np.clip((index / self.frames - 0.4) / 0.25, 0, 1))
        if share > 0:
            x, _, w, _ = box
            right = int(x + w * share)
            left = max(0, right - self._pillar.shape[1])
            if right > left:
                image[:, left:right] = self._pillar[:, -(right - left) :]
