"""LaSOT (Fan et al.: CVPR 2019), the 280 test videos, in the layout of the download."""

from pathlib import Path

import numpy as np

from stif_core.data.readers.files import check_counts, expect_file, read_labels
from stif_core.data.readers.lasot import FIRST_PIXEL
from stif_core.evaluation.datasets.files import read_images, read_table, read_truth
from stif_core.evaluation.sequences import Sequence

NAME = "LaSOT"
CUT = "monkey-17"  # "we only keep the first 2260 frames": calc_seq_err_robust.m of the authors' toolkit


def read_lasot(root: Path) -> list[Sequence]:
    """Reads the test videos below the class folders (``LaSOTBenchmark`` in the download). Boxes count from 1.

    ``CLASS/CLASS-N/`` holds ``img/00000001.jpg`` and on, ``groundtruth.txt`` (x,y,w,h a line), ``full_occlusion.txt``
    and ``out_of_view.txt`` (one line of 0 and 1, separated by commas); the target is absent where either is 1. The
    attributes of the videos are those of the authors' toolkit (``annos/att``).

    Raises:
        ValueError: A part is missing, or a file is broken; names it.
    """
    return [_read_video(root, name, attributes) for name, attributes in read_table("lasot").items()]


def _read_video(root: Path, name: str, attributes: frozenset[str]) -> Sequence:
    folder = root / name.rsplit("-", 1)[0] / name
    truth = read_truth(folder / "groundtruth.txt", NAME, FIRST_PIXEL)
    hidden = read_labels(expect_file(folder / "full_occlusion.txt", NAME))
    outside = read_labels(expect_file(folder / "out_of_view.txt", NAME))
    images = read_images(folder / "img", NAME)
    if name == CUT:
        images, hidden, outside = images[: len(truth)], hidden[: len(truth)], outside[: len(truth)]
    check_counts(
        folder, images=len(images), boxes=len(truth), full_occlusion_labels=len(hidden), out_of_view_labels=len(outside)
    )
    absent = (hidden > 0) | (outside > 0)
    truth[absent] = np.nan
    return Sequence(name, images, truth, attributes=attributes, absent=absent, origin=FIRST_PIXEL)
