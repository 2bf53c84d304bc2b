"""What the readers share: files of truth counted from 0, images chosen by number, tables of attributes."""

from pathlib import Path

import numpy as np

from stif_core.data.readers.files import check_counts, expect_file, expect_folder, numbered_files
from stif_core.evaluation.sequences import read_boxes
from stif_core.geometry import FloatArray


def read_truth(path: Path, data_set: str, origin: float) -> FloatArray:
    """Boxes xywh counted from 0, (N, 4); NaN where the file has no box: not four finite numbers, or no area.

    Args:
        path: A box x,y,w,h a line.
        data_set: Name for the error.
        origin: Coordinate that the file gives to the left and top edge of the image.

    Raises:
        ValueError: The file is missing or broken, or its first box cannot be tracked.
    """
    truth = read_boxes(expect_file(path, data_set)) - (origin, origin, 0, 0)
    truth[~(np.isfinite(truth).all(axis=1) & (truth[:, 2:] > 0).all(axis=1))] = np.nan
    if not len(truth) or np.isnan(truth[0]).any():
        raise ValueError(f"{path}: expected a box with an area in the first line, tracking starts from it")
    return truth


def read_images(folder: Path, data_set: str, first: int | None = None, last: int | None = None) -> list[Path]:
    """Files ``NUMBER.jpg`` (or ``.png`` where there is no jpg) in order of the numbers, from ``first`` to ``last``.

    Raises:
        ValueError: The folder or the images are missing; names the path.
    """
    expect_folder(folder, data_set)
    names = numbered_files(folder, ".jpg") or numbered_files(folder, ".png")
    kept = [name for name in names if (first or 0) <= int(Path(name).stem) <= (last or int(Path(name).stem))]
    if not kept:
        raise ValueError(f"{data_set} is missing or half extracted: no numbered .jpg or .png in {folder}")
    return [folder / name for name in kept]


def check_truth(folder: Path, images: list[Path], truth: FloatArray, on_server: bool = False) -> None:
    """Raises ValueError unless there is a box for each image; one box alone will do where a server keeps the others."""
    if not (on_server and len(truth) == 1):
        check_counts(folder, images=len(images), boxes=len(truth))


def read_table(name: str) -> dict[str, frozenset[str]]:
    """Attributes of each sequence from ``NAME.txt`` beside this module: a line is a sequence and its attributes."""
    lines = (Path(__file__).parent / f"{name}.txt").read_text().splitlines()
    return {line.split()[0]: frozenset(line.split()[1:]) for line in lines}
