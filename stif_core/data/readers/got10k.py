"""GOT-10k (Huang, Zhao, Huang: PAMI 2021), in the layout that its toolkit reads (github.com/got-10k/toolkit)."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from stif_core.data.index_builder import IndexBuilder
from stif_core.data.readers.files import (
    Video,
    add_all,
    check_counts,
    expect_file,
    expect_folder,
    folder_names,
    numbered_files,
    read_labels,
    rows_with_object,
)
from stif_core.data.track_index import TrackIndex
from stif_core.evaluation.sequences import read_boxes

WATCHED = ("train", "train/list.txt", "train/GOT-10k_Train_split_*", "val", "val/list.txt")
FIRST_PIXEL = 1.0  # "All coordinate values are 1-based": the authors, issue 6 of their toolkit
LISTS = "https://github.com/visionml/pytracking/tree/master/ltr/data_specs"


def read_got10k(
    root: Path,
    progress: Callable[[], None] = lambda: None,
    split: str = "train",
    videos: Path | None = None,
    exclude: Path | None = None,
) -> TrackIndex:
    """Reads ``ROOT/train`` (9,335 videos, one object each, 10 frames a second) or ``ROOT/val`` (180).

    ``list.txt`` names the videos; ``VIDEO/`` holds ``00000001.jpg`` and on, and a line per frame in
    ``groundtruth.txt`` (x,y,w,h), ``absence.label`` (1: absent) and ``cover.label`` (0: hidden, to 8: all visible).
    Frames with the object absent or hidden get no row, and are noted as such. The group of a video is ``object_class``
    in ``meta_info.ini``. The training set comes as 19 zips; extracted into folders of their own,
    ``train/GOT-10k_Train_split_01/VIDEO``, they are found too.

    Args:
        root: Folder that holds ``train`` and ``val``.
        progress: Called after every video.
        split: ``train`` or ``val``.
        videos: List of the videos to read, by name or by position in ``list.txt`` from 0, one a line; pytracking's
            ``got10k_train_split.txt`` and ``got10k_val_split.txt`` divide the training set like that.
        exclude: List of the videos to leave out; pytracking's ``got10k_vot_exclude.txt`` names the 1,000 that the
            organisers of VOT exclude from training.

    Raises:
        ValueError: A part is missing, or a file is broken; names it.
    """
    expect_file(root / split / "list.txt", "GOT-10k")
    listed = (root / split / "list.txt").read_text().split()
    wanted = listed if videos is None else _read_list(videos, listed)
    left_out = set() if exclude is None else set(_read_list(exclude, listed))
    in_split_folder = {
        video: f"{split}/{folder}/{video}"
        for folder in folder_names(root / split)
        if folder.startswith("GOT-10k_Train_split_")
        for video in folder_names(root / split / folder)
    }
    builder = IndexBuilder("got10k", root)
    places = [in_split_folder.get(video, f"{split}/{video}") for video in wanted if video not in left_out]
    add_all(builder, partial(_read_video, root), places, progress)
    return builder.build()


def _read_list(path: Path, listed: list[str]) -> list[str]:
    """Names in a list of names or positions."""
    if not path.is_file():
        raise ValueError(f"no list of videos {path}: pytracking's are at {LISTS}")
    known, names = set(listed), []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        entry = line.strip()
        if not entry:
            continue
        if entry.isdigit() and int(entry) < len(listed):
            entry = listed[int(entry)]
        if entry not in known:
            raise ValueError(f"{path} line {number}: '{entry}' is no video, and no position, in list.txt of GOT-10k")
        names.append(entry)
    return names


def _read_video(root: Path, video: str) -> Video:
    folder = expect_folder(root / video, "GOT-10k", "GOT-10k_Train_split_01.zip to _19.zip hold the videos")
    boxes = read_boxes(expect_file(folder / "groundtruth.txt", "GOT-10k"))
    absent = read_labels(expect_file(folder / "absence.label", "GOT-10k"))
    cover = read_labels(expect_file(folder / "cover.label", "GOT-10k"))
    images = numbered_files(folder, ".jpg")
    check_counts(folder, images=len(images), boxes=len(boxes), absence_labels=len(absent), cover_labels=len(cover))
    present = (absent == 0) & (cover > 0)
    rows = rows_with_object(boxes, present, FIRST_PIXEL)
    return Video([f"{video}/{name}" for name in images], {"": rows}, _object_class(folder), np.flatnonzero(~present))


def _object_class(folder: Path) -> str:
    """Lines such as ``object_class: ctenophore``; no class where there is no such line."""
    path = expect_file(folder / "meta_info.ini", "GOT-10k")
    for line in path.read_text(errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "object_class":
            return value.strip()
    return ""
