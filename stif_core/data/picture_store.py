"""The pictures of a data set where the training runs, to draw crops from many of them at once."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stif_core.crops import plain_canvas
from stif_core.data.images import read_mask
from stif_core.data.track_index import TrackIndex
from stif_core.io.source import read_frame

FILLING, PICTURE, MASKED = range(3)  # kinds of layers: goes on beyond its border, ends there, ends with its mask


class PictureStore:
    """Pictures and masks in two flat arrays.

    Attributes:
        numbers: Number of each picture by its path.
        sizes: Width and height of the files, (n, 2).
        stored: Width and height as they are kept, (n, 2).
    """

    def __init__(
        self, pictures: Iterable[tuple[Path, Path | None]], longest_side: int, most_bytes: int, device: torch.device
    ) -> None:
        """Decodes everything.

        Args:
            pictures: Path of each picture, and of its mask if it has one.
            longest_side: Larger ones are made smaller to it.
            most_bytes: What all of them may take.
            device: Where they are kept.

        Raises:
            ValueError: A file cannot be read, or they do not fit.
        """
        self.numbers: dict[str, int] = {}
        pixels: list[Tensor] = []
        opacities: list[Tensor] = []
        sizes: list[tuple[int, int]] = []
        stored, colours, first, mask_first = [], [], [], []
        kept = masked = 0
        for path, mask_path in pictures:
            image = read_frame(path)
            height, width = image.shape[:2]
            share = min(1.0, longest_side / max(height, width))
            target = (max(1, round(width * share)), max(1, round(height * share)))
            colours.append(plain_canvas(image, 1)[0, 0])
            sizes.append((width, height))
            stored.append(target)
            first.append(kept)
            mask_first.append(masked if mask_path else -1)
            self.numbers[str(path)] = len(sizes) - 1
            kept += target[0] * target[1]
            masked += target[0] * target[1] if mask_path else 0
            if 3 * kept + masked > most_bytes:
                raise ValueError(
                    f"the data set does not fit in {most_bytes / 1e9:g} GB of the device: give it more "
                    "(--data.store.gigabytes), keep smaller pictures (--data.store.side), or draw the samples in the "
                    "loader (--data.draw_on loader)"
                )
            pixels.append(torch.from_numpy(_resized(image, target).reshape(-1, 3)))
            if mask_path:
                opacities.append(torch.from_numpy(_resized(read_mask(mask_path), target).reshape(-1)))
        self.sizes = np.array(sizes)
        self.stored = np.array(stored)
        self._pixels = _joined(pixels, torch.empty(kept, 3, dtype=torch.uint8, device=device))
        self._opacities = _joined(opacities, torch.empty(masked, dtype=torch.uint8, device=device))
        self._colours = torch.from_numpy(np.array(colours)).to(device)
        self._first = torch.tensor(first, device=device)
        self._mask_first = torch.tensor(mask_first, device=device)
        self._stored = torch.from_numpy(self.stored).to(device)

    @property
    def bytes(self) -> int:
        """Memory of the pictures and masks."""
        return self._pixels.nbytes + self._opacities.nbytes

    def colours(self, pictures: Tensor) -> Tensor:
        """Mean colour of pictures (n,), (n, 3)."""
        return self._colours[pictures].float()

    def sample(self, pictures: Tensor, places: Tensor, parts: Tensor, kind: int) -> tuple[Tensor, Tensor]:
        """Colours weighed by their opacity (n, S, S, 3), and opacities (n, S, S, 1), between the pixels.

        Args:
            pictures: Numbers, (n,).
            places: x and y in stored pixels, counted from the edges, (n, S, S, 2).
            parts: Left, top, right and bottom of what is shown of each, (n, 4).
            kind: ``FILLING``, ``PICTURE`` or ``MASKED``.
        """
        x, y = (places - 0.5).unbind(dim=-1)
        left, top, right, bottom = (parts - torch.tensor([0, 0, 1, 1], device=parts.device)).T[..., None, None]
        column, row = x.floor(), y.floor()
        first, mask_first = self._first[pictures][:, None, None], self._mask_first[pictures][:, None, None]
        width = self._stored[pictures, 0][:, None, None]
        colour, opacity = torch.zeros(*x.shape, 3, device=x.device), torch.zeros(*x.shape, 1, device=x.device)
        for right_tap, lower_tap in ((0, 0), (1, 0), (0, 1), (1, 1)):
            weight = (1 - (x - column - right_tap).abs()) * (1 - (y - row - lower_tap).abs())
            tap_x, tap_y = column + right_tap, row + lower_tap
            held_x = torch.minimum(torch.maximum(tap_x, left), right)
            held_y = torch.minimum(torch.maximum(tap_y, top), bottom)
            index = held_y.long() * width + held_x.long()
            if kind != FILLING:
                weight = weight * ((held_x == tap_x) & (held_y == tap_y))
            if kind == MASKED:
                weight = weight * self._opacities[mask_first + index] / 255
            colour += weight[..., None] * self._pixels[first + index]
            opacity += weight[..., None]
        return colour, opacity


def pictures_of(indices: Sequence[TrackIndex], backgrounds: Sequence[Path]) -> list[tuple[Path, Path | None]]:
    """Every picture that a plan over these data sets can show, with its mask."""
    frames = [(index.path(i), index.mask_path(i)) for index in indices for i in range(len(index.frames))]
    return frames + [(path, None) for path in backgrounds]


def _joined(parts: list[Tensor], flat: Tensor) -> Tensor:
    """Parts after one another, copied one by one into what holds them all: the device never holds them twice."""
    start = 0
    for part in parts:
        flat[start : start + len(part)] = part
        start += len(part)
    return flat


def _resized(image: NDArray[np.uint8], target: tuple[int, int]) -> NDArray[np.uint8]:
    same = (image.shape[1], image.shape[0]) == target
    return image if same else cv2.resize(image, target, interpolation=cv2.INTER_AREA)
