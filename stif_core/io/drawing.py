"""Boxes drawn into images, films and contact sheets."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Image = NDArray[np.uint8]

# BGR; a colour for each state, and white for the truth.
STATE_COLOURS = {"TRACKING": (80, 220, 60), "UNCERTAIN": (0, 190, 255), "LOST": (60, 60, 230)}
TRUTH_COLOUR = (255, 255, 255)


def draw_box(image: Image, box: ArrayLike, colour: tuple[int, int, int], thickness: int) -> None:
    """Draws an xywh box in place; one with NaN is left out."""
    values = np.asarray(box, dtype=np.float64)
    if np.isfinite(values).all():
        x, y, w, h = np.round(values).astype(int).tolist()
        cv2.rectangle(image, (x, y), (x + w, y + h), colour, thickness)


def draw_track(image: Image, box: ArrayLike, score: float, state: str) -> Image:
    """A copy of the image with the box, its state and score."""
    drawn = image.copy()
    mark_track(drawn, box, score, state)
    return drawn


def mark_track(image: Image, box: ArrayLike, score: float, state: str, name: str = "", line: int = 0) -> None:
    """Draws the box, its state and score in place; several targets have names and a line each."""
    scale = max(0.4, image.shape[1] / 900)
    thickness = max(1, round(image.shape[1] / 400))
    colour = STATE_COLOURS.get(state, TRUTH_COLOUR)
    draw_box(image, box, colour, thickness)
    corner = np.asarray(box, dtype=np.float64)[:2]
    text = f"{name} {state} {score:.2f}".lstrip()
    font = cv2.FONT_HERSHEY_SIMPLEX
    (width, height), below = cv2.getTextSize(text, font, scale, thickness)
    top = line * (height + below + 8)
    cv2.rectangle(image, (0, top), (width + 8, top + height + below + 8), (0, 0, 0), cv2.FILLED)
    cv2.putText(image, text, (4, top + height + 4), font, scale, colour, thickness, cv2.LINE_AA)
    if name and np.isfinite(corner).all():
        left, bottom = corner.round().astype(int).tolist()
        cv2.putText(image, name, (left, bottom - 4), font, scale, colour, thickness, cv2.LINE_AA)


def contact_sheet(images: list[Image], columns: int, tile_width: int) -> Image:
    """Equal images side by side in rows, each ``tile_width`` wide."""
    height, width = images[0].shape[:2]
    size = (tile_width, round(height * tile_width / width))
    tiles = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])


class VideoFile:
    """An mp4 file, opened at the first image."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path = path
        self._fps = fps
        self._writer: cv2.VideoWriter | None = None

    def write(self, image: Image) -> None:
        if self._writer is None:
            size = (image.shape[1], image.shape[0])
            self._writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter_fourcc(*"mp4v"), self._fps, size)
            if not self._writer.isOpened():
                raise ValueError(f"cannot write the video {self._path}: use a folder that exists and the ending .mp4")
        self._writer.write(image)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()
