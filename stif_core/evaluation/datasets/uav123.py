"""UAV123 (Mueller, Smith, Ghanem: ECCV 2016), in the layout of the download."""

from pathlib import Path

from stif_core.data.readers.files import expect_file, read_labels
from stif_core.evaluation.datasets.files import check_truth, read_images, read_truth
from stif_core.evaluation.sequences import Sequence

NAME = "UAV123"
ORIGIN = 1.0  # Matlab's
ATTRIBUTES = ("SV", "ARC", "LR", "FM", "FOC", "POC", "OV", "BC", "IV", "VC", "CM", "SOB")  # order in anno/UAV123/att
# Folders of images that hold several sequences, FOLDER_1 and on: first and last image of each, from configSeqs.m.
PARTS = {
    "bird1": ((1, 253), (775, 1477), (1573, 2437)),
    "car1": ((1, 751), (751, 1627), (1627, 2629)),
    "car6": ((1, 487), (487, 1807), (1807, 2953), (2953, 3925), (3925, 4861)),
    "car8": ((1, 1357), (1357, 2575)),
    "car16": ((1, 415), (415, 1993)),
    "group1": ((1, 1333), (1333, 2515), (2515, 3925), (3925, 4873)),
    "group2": ((1, 907), (907, 1771), (1771, 2683)),
    "group3": ((1, 1567), (1567, 2827), (2827, 4369), (4369, 5527)),
    "person2": ((1, 1189), (1189, 2623)),
    "person4": ((1, 1501), (1501, 2743)),
    "person5": ((1, 877), (877, 2101)),
    "person7": ((1, 1249), (1249, 2065)),
    "person8": ((1, 1075), (1075, 1525)),
    "person12": ((1, 601), (601, 1621)),
    "person14": ((1, 847), (847, 1813), (1813, 2923)),
    "person17": ((1, 1501), (1501, 2347)),
    "person19": ((1, 1243), (1243, 2791), (2791, 4357)),
    "truck4": ((1, 577), (577, 1261)),
    "uav1": ((1, 1555), (1555, 2377), (2473, 3469)),
}
FOLDERS_OF_GROUP = {"bike": 3, "bird": 1, "boat": 9, "building": 5, "car": 18, "group": 3, "person": 23, "truck": 4}
FOLDERS_OF_GROUP |= {"uav": 8, "wakeboard": 10}
RENDERED = ("car1_s", "car2_s", "car3_s", "car4_s", "person1_s", "person2_s", "person3_s")


def read_uav123(root: Path) -> list[Sequence]:
    """Reads 123 sequences. Boxes count from 1; a line of NaN says that the target is absent.

    ``data_seq/UAV123/FOLDER/`` holds ``000001.jpg`` and on; ``anno/UAV123/SEQUENCE.txt`` a box x,y,w,h a line. A folder
    may hold several sequences (``PARTS``). ``anno/UAV123/att/SEQUENCE.txt`` has twelve flags, the attributes.

    Raises:
        ValueError: A part is missing, or a file is broken; names it.
    """
    return [_read_sequence(root, name, *place) for name, place in sequence_places().items()]


def sequence_places() -> dict[str, tuple[str, int | None, int | None]]:
    """Of each sequence, the folder of its images, and the first and last one, where not all are meant."""
    places: dict[str, tuple[str, int | None, int | None]] = {}
    for group, count in FOLDERS_OF_GROUP.items():
        for folder in (f"{group}{number}" for number in range(1, count + 1)):
            if folder in PARTS:
                for i, (first, last) in enumerate(PARTS[folder], 1):
                    places[f"{folder}_{i}"] = (folder, first, last)
            else:
                places[folder] = (folder, None, None)
    return places | {name: (name, None, None) for name in RENDERED}


def _read_sequence(root: Path, name: str, folder: str, first: int | None, last: int | None) -> Sequence:
    home = root / "anno" / "UAV123"
    truth = read_truth(home / f"{name}.txt", NAME, ORIGIN)
    images = read_images(root / "data_seq" / "UAV123" / folder, NAME, first, last)
    check_truth(home / f"{name}.txt", images, truth)
    path = expect_file(home / "att" / f"{name}.txt", NAME)
    flags = read_labels(path)
    if len(flags) != len(ATTRIBUTES):
        raise ValueError(f"{path}: expected {len(ATTRIBUTES)} flags, got {len(flags)}")
    attributes = frozenset(attribute for attribute, flag in zip(ATTRIBUTES, flags, strict=True) if flag)
    return Sequence(name, images, truth, attributes=attributes, origin=ORIGIN)
