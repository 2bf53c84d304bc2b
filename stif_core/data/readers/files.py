"""What the readers share: a part that is missing is one clear error, a frame without the object gets no row."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from stif_core.data.index_builder import IndexBuilder
from stif_core.geometry import FloatArray

READERS = 8  # threads; the time of reading goes into waiting for the disk, above all for one on a network
Item = TypeVar("Item")
Rows = tuple[NDArray[np.int64], FloatArray]  # positions in the video (n,), ascending, and boxes xywh (n, 4)


class Video(NamedTuple):
    """What is added to an index at once; a still image is a video of one frame."""

    frames: list[str]  # paths below the root of the index
    tracks: dict[str, Rows]
    group: str = ""
    absent: Sequence[int] | NDArray[np.int64] = ()  # positions at which the one object is labelled as absent


def add_all(
    builder: IndexBuilder, read: Callable[[Item], Video], items: Iterable[Item], progress: Callable[[], None]
) -> None:
    """Adds the video that ``read`` makes of each item, in their order; several are read at once."""
    with ThreadPoolExecutor(READERS) as pool:
        for video in pool.map(read, items):
            builder.add_video(video.frames, video.tracks, video.group, absent=video.absent)
            progress()


def expect_folder(path: Path, data_set: str, hint: str = "") -> Path:
    """The folder, if it is there; else ValueError names it, and ``hint`` says where it comes from."""
    if not path.is_dir():
        raise ValueError(f"{data_set} is missing or half extracted: expected the folder {path}{_remark(hint)}")
    return path


def expect_file(path: Path, data_set: str, hint: str = "") -> Path:
    """The file, if it is there; else ValueError names it, and ``hint`` says where it comes from."""
    if not path.is_file():
        raise ValueError(f"{data_set} is missing or half extracted: expected the file {path}{_remark(hint)}")
    return path


def folder_names(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())


def file_names(folder: Path, ending: str) -> list[str]:
    """Names of the files with an ending, such as ``.jpg``, sorted as text; by the listing alone, no file is touched."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.name.endswith(ending))


def numbered_files(folder: Path, ending: str) -> list[str]:
    """Names ``NUMBER.ending``, in order of the numbers; other files are none of the data set's."""
    names = [name for name in file_names(folder, ending) if name[: -len(ending)].isdigit()]
    return sorted(names, key=lambda name: int(name[: -len(ending)]))


def read_labels(path: Path) -> NDArray[np.int64]:
    """Whole numbers, one a line or separated by commas, (n,).

    Raises:
        ValueError: A value is no whole number; names the file and the line.
    """
    labels = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            labels += [int(value) for value in line.replace(",", " ").split()]
        except ValueError as error:
            raise ValueError(f"{path} line {number}: expected whole numbers, {error}") from None
    return np.array(labels, np.int64)


def check_counts(video: Path, **counts: int) -> None:
    """Raises ValueError unless a video has as many images as boxes and labels."""
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise ValueError(f"{video} is broken or half extracted: it has {found}; expected as many of each")


def rows_with_object(boxes: FloatArray, present: NDArray[np.bool_] | bool = True, first_pixel: float = 0.0) -> Rows:
    """Positions (n,) and boxes (n, 4) of the frames that show the object: finite, with an area, and ``present``.

    Args:
        boxes: Box of every frame, xywh, (N, 4).
        present: False where the labels say that the object cannot be seen, (N,).
        first_pixel: Coordinate that the data set gives to the left edge of the image; 0 in what is returned.
    """
    kept = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1) & present
    return np.flatnonzero(kept), boxes[kept] - (first_pixel, first_pixel, 0, 0)


def still(image: str, boxes: Sequence[Sequence[float]]) -> Video:
    """An image as a video of one frame; every box xywh that has an area is a track of its own."""
    _, kept = rows_with_object(np.array(boxes, np.float64).reshape(-1, 4))
    return Video([image], {str(number): (np.array([0]), box[None]) for number, box in enumerate(kept)})


def _remark(hint: str) -> str:
    return f" ({hint})" if hint else ""
