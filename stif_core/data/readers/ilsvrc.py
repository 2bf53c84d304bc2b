"""What ILSVRC VID and DET (Russakovsky et al.: IJCV 2015) share: the root, and the XML of the boxes."""

from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from stif_core.data.readers.files import expect_folder

SIDES = ("xmin", "ymin", "xmax", "ymax")


class LabelledObject(NamedTuple):
    """An object in an XML file."""

    track: str  # number within the video; empty in DET
    wordnet_id: str
    box: list[float]  # xywh


def ilsvrc_folders(root: Path, task: str) -> tuple[Path, Path]:
    """``Annotations/TASK/train`` and ``Data/TASK/train``, below the root or the folder that the archives make there.

    Raises:
        ValueError: One of them is missing; names it.
    """
    # ILSVRC2015 is the folder in the archives of that year, ILSVRC in those of 2017 and after.
    places = (root, root / "ILSVRC2015", root / "ILSVRC")
    home = next((place for place in places if (place / "Annotations" / task).is_dir()), root)
    name = f"ILSVRC {task}"
    return (
        expect_folder(home / "Annotations" / task / "train", name),
        expect_folder(home / "Data" / task / "train", name),
    )


def read_objects(path: Path) -> list[LabelledObject]:
    """Objects in an XML file of the PASCAL VOC form.

    ``xmin`` to ``ymax`` are whole pixels counted from 0 (boxes at the left border start there) and the last one is
    inside: the development kit's ``eval_detection.m`` and ``eval_vid_detection.m`` take ``xmax - xmin + 1`` for the
    width. So a box covers [xmin, xmax + 1).

    Raises:
        ValueError: The file is no XML, or an object in it has no whole box; names the file.
    """
    try:
        nodes = list(ElementTree.XML(path.read_bytes()).iter("object"))
    except ElementTree.ParseError as error:
        raise ValueError(f"{path}: {error}") from None
    objects = []
    for number, node in enumerate(nodes, 1):
        try:
            x_min, y_min, x_max, y_max = (float(node.findtext(f"bndbox/{side}", "")) for side in SIDES)
        except ValueError:
            raise ValueError(f"{path}: object {number} has no bndbox with numbers {', '.join(SIDES)}") from None
        box = [x_min, y_min, x_max - x_min + 1, y_max - y_min + 1]
        objects.append(LabelledObject(node.findtext("trackid", ""), node.findtext("name", ""), box))
    return objects
