"""ILSVRC DET: object detection in images, training set (Russakovsky et al.: IJCV 2015)."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from stif_core.data.index_builder import IndexBuilder
from stif_core.data.readers.files import (
    Video,
    add_all,
    expect_file,
    expect_folder,
    file_names,
    folder_names,
    still,
)
from stif_core.data.readers.ilsvrc import ilsvrc_folders, read_objects
from stif_core.data.track_index import TrackIndex

WATCHED = tuple(f"{home}{part}/DET/train/*" for home in ("", "ILSVRC*/") for part in ("Annotations", "Data"))
BY_CLASS = "ILSVRC2013_train"
BATCHES = [f"ILSVRC2014_train_{number:04d}" for number in range(7)]


def read_imagenet_det(root: Path, progress: Callable[[], None] = lambda: None) -> TrackIndex:
    """Reads about 349,000 images with boxes; each is a video of one frame, each object a track of its own.

    ``Annotations/DET/train/ILSVRC2013_train/WORDNET_ID/*.xml`` and ``ILSVRC2014_train_000N/*.xml`` belong to the images
    of the same names in ``Data``, ``.JPEG``. Images without XML show none of the classes and are left out, and with
    them ``ILSVRC2013_train_extraN``. An image shows objects of several classes, so all images are one group, "".

    Args:
        root: Folder that holds ``Annotations`` and ``Data``, or the one that holds ``ILSVRC2015`` or ``ILSVRC``.
        progress: Called after every image.

    Raises:
        ValueError: A part is missing, or a file is broken; names it.
    """
    annotations, images = ilsvrc_folders(root, "DET")
    builder = IndexBuilder("imagenet_det", images)
    classes = folder_names(expect_folder(annotations / BY_CLASS, "ILSVRC DET"))
    for folder in [f"{BY_CLASS}/{name}" for name in classes] + BATCHES:
        files = file_names(expect_folder(annotations / folder, "ILSVRC DET"), ".xml")
        names = [f"{folder}/{name.removesuffix('.xml')}" for name in files]
        there = set(file_names(expect_folder(images / folder, "ILSVRC DET"), ".JPEG"))
        for name in names:
            if f"{Path(name).name}.JPEG" not in there:
                expect_file(images / f"{name}.JPEG", "ILSVRC DET")
        add_all(builder, partial(_read_image, annotations), names, progress)
    return builder.build()


def _read_image(annotations: Path, name: str) -> Video:
    return still(f"{name}.JPEG", [item.box for item in read_objects(annotations / f"{name}.xml")])
