"""Sequence folders: ``img/`` with numbered images, ``groundtruth.txt`` with a box ``x,y,w,h`` a line."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stif_core.geometry import FloatArray
from stif_core.io.source import image_files, read_frame


@dataclass(frozen=True)
class Sequence:
    """Images in order with the true boxes.

    Attributes:
        name: Name of the sequence.
        images: Files of the frames.
        truth: Boxes xywh counted from 0, (N, 4); NaN where the target is absent. (1, 4) where a test server keeps all
            but the first box.
        canvas: (width, height) that smaller images are extended to, to the right and below.
        attributes: Names of what makes it hard, as the data set gives them.
        absent: (N,) True where the data set says that the target is hidden or out of view; None where it does not say.
        cover: (N,) GOT-10k's visible share of the target, 0 (none) to 8 (all); None elsewhere.
        size: (width, height) of the images where the data set says; ``image_size`` gives it in any case.
        origin: Coordinate that the data set's files give to the left and top edge of the image, 0 or 1.
    """

    name: str
    images: list[Path]
    truth: FloatArray
    canvas: tuple[int, int] | None = None
    attributes: frozenset[str] = frozenset()
    absent: NDArray[np.bool_] | None = None
    cover: NDArray[np.int64] | None = None
    size: tuple[int, int] | None = None
    origin: float = 0.0

    @property
    def has_truth(self) -> bool:
        """Whether every frame's truth is known, so that a result can be scored here."""
        return len(self.truth) == len(self.images)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Whether the truth has a box in the frame, (N,)."""
        return ~np.isnan(self.truth.sum(axis=1))

    def as_in_files(self, boxes: FloatArray) -> FloatArray:
        """Boxes xywh (N, 4) of ours in the coordinates of the data set's files, which may count from 1."""
        return boxes + np.array([self.origin, self.origin, 0, 0])

    def image_size(self) -> tuple[int, int]:
        """(width, height) of the frames; decodes the first one where the data set does not say."""
        size = self.size or self.canvas
        if size is None:
            height, width = read_frame(self.images[0]).shape[:2]
            size = (width, height)
        return size

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """Decodes the images one by one; an image that cannot be decoded raises ValueError."""
        for path in self.images:
            image = read_frame(path)
            if self.canvas is not None:
                right, bottom = self.canvas[0] - image.shape[1], self.canvas[1] - image.shape[0]
                image = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
            yield image


def read_boxes(path: Path) -> FloatArray:
    """A box a line, separated by commas or white space; (N, 4).

    Raises:
        ValueError: The file is missing, or a line is not four numbers; names the line.
    """
    if not path.is_file():
        raise ValueError(f"no file {path}")
    boxes = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip():
            continue
        try:
            box = [float(value) for value in re.split(r"[,\s]+", line.strip())]
        except ValueError:
            box = []
        if len(box) != 4:
            raise ValueError(f"{path} line {number}: expected x,y,w,h, got '{line.strip()}'")
        boxes.append(box)
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def read_sequence(folder: Path) -> Sequence:
    """Raises ValueError when the folder is not a sequence, or when images and boxes differ in number."""
    images = image_files(folder / "img")
    truth = read_boxes(folder / "groundtruth.txt")
    if len(images) != len(truth):
        raise ValueError(f"{folder} has {len(images)} images but {len(truth)} boxes")
    if np.isnan(truth[0]).any():
        raise ValueError(f"{folder / 'groundtruth.txt'}: the first box is NaN, but tracking starts from it")
    return Sequence(folder.name, images, truth)


def read_sequences(root: Path) -> list[Sequence]:
    """All sequence folders under ``root``, or ``root`` itself if it is one.

    Raises:
        ValueError: There is none, or one is broken.
    """
    if (root / "groundtruth.txt").is_file():
        return [read_sequence(root)]
    folders = sorted(path.parent for path in root.glob("*/groundtruth.txt"))
    if not folders:
        raise ValueError(f"no sequences in {root}: expected folders with img/ and groundtruth.txt")
    return [read_sequence(folder) for folder in folders]
