"""Decoded training images, kept in memory up to a bound."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from stif_core.io.source import read_frame

Image = NDArray[np.uint8]


def _bytes(image: Image) -> int:
    return image.nbytes


class ImageReader:
    """Decodes images and keeps the latest."""

    def __init__(self, kept_bytes: int) -> None:
        self._kept: LRUCache[str, Image] = LRUCache(kept_bytes, getsizeof=_bytes)

    def image(self, path: Path) -> Image:
        """An image as BGR, (H, W, 3); do not write into it, it is kept.

        Raises:
            ValueError: The file is missing or no image.
        """
        return self._get(path, read_frame)

    def mask(self, path: Path) -> Image:
        """(H, W), 255 on objects, their edges soft by a pixel; do not write into it, it is kept.

        Raises:
            ValueError: As for ``image``.
        """
        return self._get(path, read_mask)

    def read_ahead(self, pictures: Iterable[tuple[Path, Path | None]]) -> Iterator[None]:
        """Decodes images, each with its mask, until no more can be kept; processes forked afterwards share them.

        Yields after each picture.

        Raises:
            ValueError: A file is missing or no image.
        """
        with ThreadPoolExecutor() as threads:
            reads = threads.map(_read_picture, pictures)
            try:
                for files in reads:
                    for path, image in files:
                        if self._kept.currsize + image.nbytes > self._kept.maxsize:
                            return
                        self._kept[str(path)] = image
                    yield
            finally:
                threads.shutdown(cancel_futures=True)  # no thread may be at work when processes are forked

    def _get(self, path: Path, read: Callable[[Path], Image]) -> Image:
        key = str(path)  # hashed once, a path in every look-up
        image = self._kept.get(key)
        if image is None:
            image = read(path)
            if image.nbytes <= self._kept.maxsize:
                self._kept[key] = image
        return image


def _read_picture(picture: tuple[Path, Path | None]) -> list[tuple[Path, Image]]:
    image, mask = picture
    return [(image, read_frame(image))] + ([] if mask is None else [(mask, read_mask(mask))])


def read_mask(path: Path) -> Image:
    """A mask as ``ImageReader.mask`` gives it."""
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise ValueError(f"cannot read the image {path}")
    return cv2.GaussianBlur(cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY)[1], (3, 3), 0)
