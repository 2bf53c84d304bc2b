"""Folders of the VOT challenges, as the VOT toolkit downloads them: one target a sequence, colour images."""

from pathlib import Path

import numpy as np

from stif_core.data.readers.files import expect_file
from stif_core.evaluation.datasets.files import check_truth, read_images
from stif_core.evaluation.sequences import Sequence

NAME = "VOT"


def read_vot(root: Path) -> list[Sequence]:
    """Reads the sequences in the order of ``list.txt``. Coordinates count from 0.

    ``SEQUENCE/color/`` (before 2017 ``SEQUENCE`` itself) holds ``00000001.jpg`` and on, ``SEQUENCE/groundtruth.txt`` a
    region a line: a rectangle x,y,w,h; the corners of a polygon; a mask, m and then x,y,w,h and the lengths of its runs
    of 0 and 1 in turn, row by row; NaN or a single number where there is no target. Regions become rectangles as in the
    toolkit: the least and greatest coordinate of the corners, and of the pixels of a mask, whose box so is one pixel
    less wide and high than the pixels cover. Tags of frames (``occlusion.tag`` ...) are not read: they belong to
    frames, and ``Sequence.attributes`` to sequences.

    Raises:
        ValueError: A part is missing, or a file is broken; names it.
    """
    names = expect_file(root / "list.txt", NAME).read_text().split()
    if not names:
        raise ValueError(f"{root / 'list.txt'} names no sequence")
    return [_read_sequence(root / name) for name in names]


def _read_sequence(folder: Path) -> Sequence:
    path = expect_file(folder / "groundtruth.txt", NAME)
    lines = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    truth = np.empty((len(lines), 4))
    for number, line in enumerate(lines, 1):
        try:
            truth[number - 1] = region_to_box(line)
        except ValueError as error:
            raise ValueError(f"{path} line {number}: {error}") from None
    if not lines or np.isnan(truth[0]).any():
        raise ValueError(f"{path}: expected a region with an area in the first line, tracking starts from it")
    images = read_images(folder / "color" if (folder / "color").is_dir() else folder, NAME)
    check_truth(folder, images, truth)
    return Sequence(folder.name, images, truth)


def region_to_box(text: str) -> tuple[float, float, float, float]:
    """A line of ``groundtruth.txt`` as xywh; NaN where it holds no target.

    Raises:
        ValueError: It is no rectangle, polygon, mask or single number.
    """
    is_mask = text.startswith("m")
    try:
        values = [float(value) for value in text.removeprefix("m").split(",")]
    except ValueError:
        values = []
    if is_mask and len(values) > 4 and np.isfinite(values).all():
        left, top, right, bottom = _mask_bounds([int(value) for value in values])
    elif is_mask or not (len(values) in (1, 4) or (len(values) >= 6 and len(values) % 2 == 0)):
        raise ValueError(f"expected a rectangle, a polygon, a mask or a single number, got '{text[:40]}'")
    elif len(values) == 4:
        left, top, right, bottom = values[0], values[1], values[0] + values[2], values[1] + values[3]
    elif len(values) == 1 or not np.isfinite(values).all():
        left = top = right = bottom = np.nan
    else:
        left, right = min(values[::2]), max(values[::2])
        top, bottom = min(values[1::2]), max(values[1::2])
    if not (right > left and bottom > top):
        return np.nan, np.nan, np.nan, np.nan
    return left, top, right - left, bottom - top


def _mask_bounds(values: list[int]) -> tuple[float, float, float, float]:
    """Least and greatest column and row of the pixels set; NaN without any.

    Raises:
        ValueError: The runs do not fit into the mask's rectangle.
    """
    x, y, width, height, *runs = values
    if width < 0 or height < 0 or min(runs) < 0 or sum(runs) > width * height:
        raise ValueError(f"the mask's runs cover {sum(runs)} pixels, but its rectangle {width} x {height}")
    mask = np.zeros(width * height, bool)
    ends = np.cumsum(runs)
    for start, end in zip(ends[0::2], ends[1::2], strict=False):
        mask[start:end] = True
    rows, columns = np.nonzero(mask.reshape(height, width))
    if not len(rows):
        return np.nan, np.nan, np.nan, np.nan
    return x + columns.min(), y + rows.min(), x + columns.max(), y + rows.max()
