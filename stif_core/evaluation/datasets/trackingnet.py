"""TrackingNet (Müller et al.: ECCV 2018), the test set, in the layout of its development kit."""

from pathlib import Path

from stif_core.data.readers.files import expect_folder, file_names
from stif_core.data.readers.trackingnet import FIRST_PIXEL
from stif_core.evaluation.datasets.files import check_truth, read_images, read_truth
from stif_core.evaluation.sequences import Sequence

NAME = "TrackingNet"


def read_trackingnet(root: Path) -> list[Sequence]:
    """Reads the 511 sequences of ``ROOT/TEST``, in alphabetical order. Boxes are taken to count from 1.

    ``frames/VIDEO/0.jpg`` and on are the images, ``anno/VIDEO.txt`` holds the box of the first one; the server keeps
    the others. Who has a file of all boxes may put it there: the sequence can then be scored.

    Raises:
        ValueError: A part is missing, or a file is broken; names it.
    """
    home = root / "TEST"
    names = [name.removesuffix(".txt") for name in file_names(expect_folder(home / "anno", NAME), ".txt")]
    if not names:
        raise ValueError(f"{NAME} is missing or half extracted: no VIDEO.txt in {home / 'anno'}")
    return [_read_video(home, name) for name in names]


def _read_video(home: Path, name: str) -> Sequence:
    images = read_images(home / "frames" / name, NAME)
    truth = read_truth(home / "anno" / f"{name}.txt", NAME, FIRST_PIXEL)
    check_truth(home / "frames" / name, images, truth, on_server=True)
    return Sequence(name, images, truth, origin=FIRST_PIXEL)
