"""Clips with exact truth in which the target leaves and comes back, the same in every run with the same seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stif_core.data.cutouts import Cutout, paste
from stif_core.evaluation.lost.pictures import Cast, FolderCasts, photograph_cast
from stif_core.evaluation.lost.scripts import SCRIPTS, Script, Stage
from stif_core.geometry import FloatArray

Image = NDArray[np.uint8]

FPS = 30.0
SEEN = 0.25  # share of the target's area from which on it counts as present
SCENERY_SCALE = 1.3
NOISE = 4.0  # grey values, standard deviation
SIZES = ((640, 480), (640, 480), (640, 480), (1280, 720))  # of every fourth clip
SEEDS = {"development": 1000, "report": 5000}


@dataclass(frozen=True)
class LostClip:
    """Frames and true boxes of one clip.

    Attributes:
        name: Script and seed.
        script: What happens.
        cast: What is seen.
        width, height: Of the images.
        seed: Of the noise.
    """

    name: str
    script: Script
    cast: Cast
    width: int
    height: int
    seed: int

    def __len__(self) -> int:
        return len(self.script.target)

    def __iter__(self) -> Iterator[tuple[Image, FloatArray]]:
        """Images (H, W, 3) and true boxes xywh of the part that is seen, NaN while the target is absent."""
        return (self.render(i) for i in range(len(self)))

    def render(self, index: int) -> tuple[Image, FloatArray]:
        """The image and the true box of one frame."""
        script = self.script
        if not np.isnan(script.flash[index]):
            return np.full((self.height, self.width, 3), script.flash[index], np.uint8), np.full(4, np.nan)
        image = self._background(index)
        shift = script.camera[index] if script.walls or self._turns else np.zeros(2)
        seen = np.zeros((self.height, self.width), np.float32)
        area = 0.0
        for number, (cutout, course) in enumerate(self._actors):
            x, y, size = course[index]
            if np.isnan(x):
                continue
            angle = 0.2 * np.sin(0.05 * index + number)
            part, opacity = _draw(image, cutout, np.array([x, y]) - shift, size, angle)
            if part is None:
                continue
            if number == self._target_number:
                seen[part] = opacity
                area = float(cutout.alpha.mean() * size * size)
            else:
                seen[part] *= 1 - opacity
        for left, right in script.walls:
            columns = slice(max(0, round(left - shift[0])), max(0, round(right - shift[0])))
            image[:, columns] = self._wall[:, : image[:, columns].shape[1]]
            seen[:, columns] = 0
        noise = np.roll(self._noise, (index * 37 % self.height, index * 91 % self.width), (0, 1))
        image = cv2.add(image, noise, dtype=cv2.CV_8U)
        return image, _seen_box(seen, area)

    @cached_property
    def _turns(self) -> bool:
        return bool(np.ptp(self.script.camera[:, 0]) > self.width / 2)

    @cached_property
    def _actors(self) -> list[tuple[Cutout, FloatArray]]:
        """In the order in which they are drawn: the first look-alike behind the target, the others in front."""
        others = list(zip(self.cast.lookalikes, self.script.lookalikes, strict=False))
        return [*others[:1], (self.cast.target, self.script.target), *others[1:]]

    @cached_property
    def _target_number(self) -> int:
        return min(1, len(self.script.lookalikes))

    @cached_property
    def _noise(self) -> NDArray[np.int16]:
        rng = np.random.default_rng(self.seed)
        return rng.normal(0, NOISE, (self.height, self.width, 3)).round().astype(np.int16)

    @cached_property
    def _wall(self) -> Image:
        brick = cv2.resize(self.cast.wall, (self.height, self.height), interpolation=cv2.INTER_AREA)
        return np.tile(brick, (1, 1 + self.width // self.height, 1))

    @cached_property
    def _sceneries(self) -> tuple[list[Image], FloatArray]:
        """Both sceneries, mirrored at their edges until every view of the camera fits, and their origin."""
        first = np.floor(self.script.camera.min(axis=0)).astype(int) - 2
        last = np.ceil(self.script.camera.max(axis=0)).astype(int) + 2
        width, height = (last - first + (self.width, self.height)).tolist()
        worlds = []
        for picture in self.cast.scenery:
            scale = max(SCENERY_SCALE, 240 / min(picture.shape[:2]))
            photo = cv2.resize(picture, None, fx=scale, fy=scale)
            top, left = max(0, height - photo.shape[0]) // 2, max(0, width - photo.shape[1]) // 2
            bottom, right = max(0, height - photo.shape[0] - top), max(0, width - photo.shape[1] - left)
            worlds.append(cv2.copyMakeBorder(photo, top, bottom, left, right, cv2.BORDER_REFLECT))
        return worlds, first.astype(np.float64)

    def _background(self, index: int) -> Image:
        worlds, first = self._sceneries
        x, y = self.script.camera[index] - first
        matrix = np.array([[1, 0, x], [0, 1, y]], np.float64)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(worlds[int(self.script.scenery[index])], matrix, (self.width, self.height), flags=flags)


def make_clips(split: str, count: int, root: Path | None = None, seed: int = 0) -> list[LostClip]:
    """``count`` clips, all scripts in turn; every fourth is larger.

    Args:
        split: ``development`` (parameters are chosen on it) or ``report`` (it is only reported).
        count: How many.
        root: Folder of training data; every second clip is made from its masked objects.
        seed: Other clips of the same kind.

    Raises:
        ValueError: ``root`` is not such a folder, or scikit-image is missing.
    """
    folder = FolderCasts(root, split) if root is not None else None
    clips = []
    names = list(SCRIPTS)
    for i in range(count):
        number = SEEDS[split] + 100 * seed + i
        width, height = SIZES[(i + i // len(names)) % len(SIZES)]
        cast = folder.cast(number) if folder is not None and i % 2 else photograph_cast(split, number)
        script = SCRIPTS[names[i % len(names)]](Stage(width, height, np.random.default_rng(number)))
        clips.append(LostClip(f"{names[i % len(names)]}-{number}", script, cast, width, height, number))
    return clips


def _draw(
    image: Image, cutout: Cutout, centre: FloatArray, size: float, angle: float
) -> tuple[tuple[slice, slice] | None, NDArray[np.float32]]:
    """Pastes into the part of the image that the object can touch; that part and its opacity there."""
    height, width = cutout.alpha.shape
    reach = 0.5 * size * (np.sqrt(width / height) + np.sqrt(height / width)) + 2
    left, top = np.floor(centre - reach).astype(int).clip(0)
    right, bottom = np.ceil(centre + reach).astype(int).clip(0, (image.shape[1], image.shape[0]))
    if right - left < 2 or bottom - top < 2:
        return None, np.empty((0, 0), np.float32)
    part = (slice(int(top), int(bottom)), slice(int(left), int(right)))
    _, opacity = paste(image[part], cutout, centre - (left, top), size, angle, 1.0)
    return part, opacity


def _seen_box(seen: NDArray[np.float32], area: float) -> FloatArray:
    """The tight box of what is seen of the target; NaN where that is too little of its area."""
    if area == 0 or float(seen.sum()) < SEEN * area:
        return np.full(4, np.nan)
    mask = seen > 0.5
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.full(4, np.nan)
    return np.array([columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]], dtype=np.float64)
