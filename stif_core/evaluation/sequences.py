"""Sequence folders: ``img/`` with numbered images, ``groundtruth.txt`` with a box ``x,y,w,h`` a line."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stif_core.geometry import FloatArray

IMAGE_ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True)
class Sequence:
    """Images in order, and the true boxes (N, 4) xywh; NaN where the target is absent."""

    name: str
    images: list[Path]
    truth: FloatArray

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """Decodes the images one by one; see ``read_frame`` for errors."""
        return (read_frame(path) for path in self.images)


def read_frame(path: Path) -> NDArray[np.uint8]:
    """An image as BGR, (H, W, 3). Raises ValueError naming the file when it cannot be decoded."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"cannot read the image {path}")
    return image


def image_files(folder: Path) -> list[Path]:
    """The images in a folder, in the order of the numbers in their names.

    Raises:
        ValueError: There is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise ValueError(f"no folder {folder}")

    def order(path: Path) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]

    images = sorted((path for path in folder.iterdir() if path.suffix.lower() in IMAGE_ENDINGS), key=order)
    if not images:
        raise ValueError(f"no images in {folder}")
    return images


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
