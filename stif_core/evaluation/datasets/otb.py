"""OTB100 (Wu, Lim, Yang: PAMI 2015), in the layout of the download: a folder a video."""

from pathlib import Path

from stif_core.evaluation.datasets.files import check_truth, read_images, read_table, read_truth
from stif_core.evaluation.sequences import Sequence

NAME = "OTB100"
ORIGIN = 1.0  # Matlab's
# Numbers of the first and last image that have a box, where these are not all images of the folder.
FRAMES = {
    "BlurCar1": (247, 988),
    "BlurCar3": (3, 359),
    "BlurCar4": (18, 397),
    "David": (300, 770),
    "Diving": (1, 215),
    "Football1": (1, 74),
    "Freeman3": (1, 460),
    "Freeman4": (1, 283),
}


def read_otb100(root: Path) -> list[Sequence]:
    """Reads 100 sequences of 98 videos, in alphabetical order. Boxes count from 1.

    ``VIDEO/img/`` holds ``0001.jpg`` and on, ``VIDEO/groundtruth_rect.txt`` a box a line, with commas, tabs or blanks
    between its numbers. Jogging and Skating2 show two targets each, ``groundtruth_rect.1.txt`` and ``.2.txt``: the
    sequences Jogging.1, Jogging.2 and so on. Of Human4 the benchmark takes the second target, Human4.2 (the file of the
    first is empty). Of eight videos a part of the images counts (``FRAMES``). Tiger1 is taken whole; pytracking leaves
    out its first five frames. Attributes are those of the benchmark's page.

    Raises:
        ValueError: A part is missing, or a file is broken; names it.
    """
    return [_read_sequence(root, name, attributes) for name, attributes in read_table("otb100").items()]


def _read_sequence(root: Path, name: str, attributes: frozenset[str]) -> Sequence:
    video, _, target = name.partition(".")
    folder = root / video
    truth = read_truth(folder / (f"groundtruth_rect.{target}.txt" if target else "groundtruth_rect.txt"), NAME, ORIGIN)
    images = read_images(folder / "img", NAME, *FRAMES.get(video, (None, None)))
    check_truth(folder, images, truth)
    return Sequence(name, images, truth, attributes=attributes, origin=ORIGIN)
