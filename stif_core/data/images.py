"""Decoded training images, kept in memory up to a bound."""

from pathlib import Path

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from stif_core.io.source import read_frame

Image = NDArray[np.uint8]


def _bytes(image: Image) -> int:
    return image.nbytes


class ImageReader:
    """Decodes images and keeps the latest; every loader process has one of its own."""

    def __init__(self, kept_bytes: int) -> None:
        self._kept: LRUCache[Path, Image] = LRUCache(kept_bytes, getsizeof=_bytes)

    def image(self, path: Path) -> Image:
        """An image as BGR, (H, W, 3); do not write into it, it is kept.

        Raises:
            ValueError: The file is missing or no image.
        """
        image = self._kept.get(path)
        if image is None:
            image = read_frame(path)
            if image.nbytes <= self._kept.maxsize:
                self._kept[path] = image
        return image

    def mask(self, path: Path) -> Image:
        """(H, W), 255 on objects."""
        return np.where(self.image(path)[..., 0] > 0, 255, 0).astype(np.uint8)
