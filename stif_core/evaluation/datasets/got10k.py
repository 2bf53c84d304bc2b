"""GOT-10k (Huang, Zhao, Huang: PAMI 2021), validation and test set, in the layout that its toolkit reads."""

import re
from pathlib import Path

import numpy as np

from stif_core.data.readers.files import check_counts, expect_file, read_labels
from stif_core.evaluation.datasets.files import check_truth, read_images, read_truth
from stif_core.evaluation.sequences import Sequence

NAME = "GOT-10k"
ORIGIN = 1.0  # "All coordinate values are 1-based": the authors, issue 6 of their toolkit


def read_got10k(root: Path, split: str) -> list[Sequence]:
    """Reads ``ROOT/val`` or ``ROOT/test``, 180 sequences each, in the order of ``list.txt``. Boxes count from 1.

    ``VIDEO/`` holds ``00000001.jpg`` and on and ``groundtruth.txt`` (x,y,w,h a line); of the test set, the first box
    alone. The validation set adds ``absence.label`` (1: absent), ``cover.label`` (0: nothing of the target visible, to
    8: all) and ``meta_info.ini`` with the size of the images.

    Raises:
        ValueError: A part is missing, or a file is broken; names it.
    """
    names = expect_file(root / split / "list.txt", NAME).read_text().split()
    return [_read_sequence(root / split / name, split == "test") for name in names]


def _read_sequence(folder: Path, on_server: bool) -> Sequence:
    images = read_images(folder, NAME)
    truth = read_truth(folder / "groundtruth.txt", NAME, ORIGIN)
    check_truth(folder, images, truth, on_server)
    if on_server:
        return Sequence(folder.name, images, truth, origin=ORIGIN)
    cover = read_labels(expect_file(folder / "cover.label", NAME))
    absent = read_labels(expect_file(folder / "absence.label", NAME)) > 0
    check_counts(folder, images=len(images), cover_labels=len(cover), absence_labels=len(absent))
    truth[absent | (cover == 0)] = np.nan
    return Sequence(folder.name, images, truth, absent=absent, cover=cover, size=_image_size(folder), origin=ORIGIN)


def _image_size(folder: Path) -> tuple[int, int]:
    """From the line ``resolution: (1920, 1080)``."""
    path = expect_file(folder / "meta_info.ini", NAME)
    found = re.search(r"^resolution:\s*\(\s*(\d+)\s*,\s*(\d+)\s*\)", path.read_text(errors="replace"), re.MULTILINE)
    if found is None:
        raise ValueError(f"{path}: no line 'resolution: (WIDTH, HEIGHT)'")
    return int(found[1]), int(found[2])
