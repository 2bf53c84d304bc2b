"""WATB, wild animals (Wang et al.: IJCV 2023), in the layout of the download: a folder a video, as in OTB."""

from pathlib import Path

from stif_core.data.readers.files import expect_folder, folder_names
from stif_core.evaluation.datasets.files import check_truth, read_images, read_table, read_truth
from stif_core.evaluation.sequences import Sequence

NAME = "WATB"
SEQUENCES = 206
ORIGIN = 1.0  # nowhere stated; its toolkit is OTB's and LaSOT's Matlab code


def read_watb(root: Path) -> list[Sequence]:
    """Reads 206 sequences in alphabetical order. Boxes are taken to count from 1.

    ``VIDEO/img/`` holds the images, ``VIDEO/groundtruth_rect.txt`` a box a line. Attributes are those of the
    benchmark's page (w-1995.github.io/Benchmark.html), found by the name of the folder.

    Raises:
        ValueError: There are not as many sequences, or a part is missing or broken; names it.
    """
    names = [
        name for name in folder_names(expect_folder(root, NAME)) if (root / name / "groundtruth_rect.txt").is_file()
    ]
    if len(names) != SEQUENCES:
        raise ValueError(
            f"{NAME} is missing or half extracted: {root} has {len(names)} of {SEQUENCES} folders with "
            "groundtruth_rect.txt (WATB_part1.zip to WATB_part3.zip hold them)"
        )
    table = read_table("watb")
    return [_read_sequence(root / name, table.get(name, frozenset())) for name in names]


def _read_sequence(folder: Path, attributes: frozenset[str]) -> Sequence:
    truth = read_truth(folder / "groundtruth_rect.txt", NAME, ORIGIN)
    images = read_images(folder / "img", NAME)
    check_truth(folder, images, truth)
    return Sequence(folder.name, images, truth, attributes=attributes, origin=ORIGIN)
