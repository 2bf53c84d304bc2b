"""Pictures for the page: frames with the boxes of all trackers, and lines of overlap over time."""

import base64
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stif_core.evaluation.report.plots import colour_of
from stif_core.evaluation.scoring import ScoredTracker
from stif_core.evaluation.sequences import Sequence
from stif_core.geometry import FloatArray
from stif_core.io.drawing import TRUTH_COLOUR, Image, draw_box
from stif_core.io.source import read_frame

TILES = 6  # frames of a sequence
TILE_WIDTH = 420
JPEG_QUALITY = 82
SMALL = 0.09  # of the image's width: a target that starts smaller is shown magnified too
INSET = 0.36  # of the tile's height
SPARK_POINTS = 60
SPARK_WIDTH, SPARK_HEIGHT = 120, 22


@dataclass(frozen=True)
class Tile:
    """One frame of a contact sheet: its number, from 1, and the picture as a data URI."""

    number: int
    picture: str


def tiles(sequence: Sequence, trackers: list[ScoredTracker]) -> list[Tile]:
    """Frames evenly spread over the sequence, the last among them, with the boxes of truth and trackers."""
    chosen = np.unique(np.linspace(0, len(sequence.images) - 1, TILES + 1).round().astype(int)[1:])
    return [Tile(int(i) + 1, _data_uri(draw_frame(sequence, int(i), trackers))) for i in chosen]


def draw_frame(sequence: Sequence, index: int, trackers: list[ScoredTracker]) -> Image:
    """A frame, ``TILE_WIDTH`` wide, with the true box in white, those of trackers in colour, and its number."""
    image = read_frame(sequence.images[index])
    scale = TILE_WIDTH / image.shape[1]
    truth = sequence.truth[index]
    boxes = [(tracker.tracks[sequence.name].boxes[index], _bgr(i)) for i, tracker in enumerate(trackers)]
    size = (TILE_WIDTH, round(image.shape[0] * scale))
    tile = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    _draw_boxes(tile, truth, boxes, scale, np.zeros(2))
    small = np.sqrt(sequence.truth[0, 2:].prod()) < SMALL * image.shape[1]
    if small and np.isfinite(truth).all():
        _draw_inset(tile, image, truth, boxes)
    cv2.rectangle(tile, (0, 0), (66, 24), (0, 0, 0), cv2.FILLED)
    cv2.putText(tile, f"#{index + 1:04d}", (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (80, 230, 255), 1, cv2.LINE_AA)
    return tile


def sparkline(overlap: FloatArray, colour: str) -> str:
    """Overlap over time as a small SVG, 0 at the bottom and 1 at the top; gaps where frames do not count."""
    parts = np.array_split(overlap, min(len(overlap), SPARK_POINTS))
    means = [float(np.mean(part[~np.isnan(part)])) if (~np.isnan(part)).any() else None for part in parts]
    step = SPARK_WIDTH / max(1, len(means) - 1)
    path, pen_down = [], False
    for i, value in enumerate(means):
        if value is not None:
            path.append(f"{'L' if pen_down else 'M'}{i * step:.1f} {1 + (SPARK_HEIGHT - 2) * (1 - value):.1f}")
        pen_down = value is not None
    return (
        f'<svg class="spark" viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" aria-hidden="true">'
        f'<path class="half" d="M0 {SPARK_HEIGHT / 2}H{SPARK_WIDTH}"/>'
        f'<path d="{"".join(path)}" stroke="{colour}"/></svg>'
    )


def _draw_boxes(
    tile: Image,
    truth: FloatArray,
    boxes: list[tuple[FloatArray, tuple[int, int, int]]],
    scale: float,
    corner: FloatArray,
) -> None:
    """Draws boxes of the image into a part of it that starts at ``corner`` and was enlarged by ``scale``."""
    for box, colour in ((truth, TRUTH_COLOUR), *boxes):
        moved = np.concatenate([box[:2] - corner, box[2:]]) * scale
        draw_box(tile, moved, colour, 2)


def _draw_inset(
    tile: Image, image: Image, truth: FloatArray, boxes: list[tuple[FloatArray, tuple[int, int, int]]]
) -> None:
    """Puts the surroundings of a small target, magnified, into the lower corner that is farther from it."""
    side = int(tile.shape[0] * INSET)
    span = max(16.0, 3 * float(np.sqrt(truth[2] * truth[3])))
    corner = truth[:2] + truth[2:] / 2 - span / 2
    scale = side / span
    part = cv2.warpAffine(
        image,
        np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]]),
        (side, side),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    _draw_boxes(part, truth, boxes, scale, corner)
    cv2.rectangle(part, (0, 0), (side - 1, side - 1), (255, 255, 255), 1)
    on_the_left = truth[0] + truth[2] / 2 > image.shape[1] / 2
    left = 6 if on_the_left else tile.shape[1] - side - 6
    tile[-side - 6 : -6, left : left + side] = part


def _bgr(index: int) -> tuple[int, int, int]:
    text = colour_of(index)
    return int(text[5:7], 16), int(text[3:5], 16), int(text[1:3], 16)


def _data_uri(image: NDArray[np.uint8]) -> str:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
