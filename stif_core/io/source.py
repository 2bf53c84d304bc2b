"""Images from a folder, a video file or a camera, one by one."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

DEFAULT_FPS = 30.0  # where the source does not say
IMAGE_ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}


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


@dataclass
class FolderSource:
    """The images of a folder in the order of their numbers."""

    paths: list[Path]
    fps: float = DEFAULT_FPS

    @property
    def count(self) -> int | None:
        return len(self.paths)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (read_frame(path) for path in self.paths)


@dataclass
class CaptureSource:
    """A video file or a camera."""

    capture: cv2.VideoCapture
    name: str

    @property
    def fps(self) -> float:
        return self.capture.get(cv2.CAP_PROP_FPS) or DEFAULT_FPS

    @property
    def count(self) -> int | None:
        """Frames of a video as its header tells; None for a camera."""
        frames = int(self.capture.get(cv2.CAP_PROP_FRAME_COUNT))
        return frames if frames > 0 else None

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        read, image = self.capture.read()
        if not read:
            raise ValueError(f"{self.name} gives no image: is it a video that OpenCV can decode?")
        while read:
            yield image
            read, image = self.capture.read()


def open_source(source: str) -> FolderSource | CaptureSource:
    """Opens a folder of images (or a sequence folder with ``img/``), a video file, or a camera by its index.

    Raises:
        ValueError: There is no such source, or it cannot be read.
    """
    path = Path(source)
    if path.is_dir():
        return FolderSource(image_files(path / "img" if (path / "img").is_dir() else path))
    if path.is_file():
        capture = cv2.VideoCapture(str(path))
    elif source.isdigit():
        capture = cv2.VideoCapture(int(source))
    else:
        raise ValueError(f"no folder or video '{source}', and not the index of a camera")
    if not capture.isOpened():
        raise ValueError(f"OpenCV cannot open {'the video' if path.is_file() else 'camera'} {source}")
    return CaptureSource(capture, source)
