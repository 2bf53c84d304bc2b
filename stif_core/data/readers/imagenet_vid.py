"""ILSVRC VID: object detection from video, training set (Russakovsky et al.: IJCV 2015)."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from stif_core.data.index_builder import IndexBuilder
from stif_core.data.readers.files import Video, add_all, expect_folder, folder_names, numbered_files, rows_with_object
from stif_core.data.readers.ilsvrc import ilsvrc_folders, read_objects
from stif_core.data.track_index import TrackIndex

WATCHED = tuple(f"{home}{part}/VID/train/*" for home in ("", "ILSVRC*/") for part in ("Annotations", "Data"))
SUBSETS = [f"ILSVRC2015_VID_train_{number:04d}" for number in range(4)]


def read_imagenet_vid(root: Path, progress: Callable[[], None] = lambda: None) -> TrackIndex:
    """Reads 3,862 snippets; every object in them is a track.

    ``Annotations/VID/train/ILSVRC2015_VID_train_0000/SNIPPET/000000.xml`` belongs to the frame of the same name in
    ``Data``, ``.JPEG``. ``trackid`` numbers the objects; a frame that an object has left holds no box of it. Boxes of
    partly hidden objects (``occluded``) and interpolated boxes (``generated``) are rows like any other. The group of a
    snippet is the WordNet id of its objects, or "" where they are of several classes.

    Args:
        root: Folder that holds ``Annotations`` and ``Data``, or the one that holds ``ILSVRC2015`` or ``ILSVRC``.
        progress: Called after every snippet.

    Raises:
        ValueError: A part is missing, or a file is broken; names it.
    """
    annotations, images = ilsvrc_folders(root, "VID")
    builder = IndexBuilder("imagenet_vid", images)
    for subset in SUBSETS:
        names = folder_names(expect_folder(annotations / subset, "ILSVRC VID"))
        add_all(builder, partial(_read_snippet, annotations, images), [f"{subset}/{name}" for name in names], progress)
    return builder.build()


def _read_snippet(annotations: Path, images: Path, snippet: str) -> Video:
    frames = numbered_files(expect_folder(images / snippet, "ILSVRC VID"), ".JPEG")
    files = numbered_files(annotations / snippet, ".xml")
    if [Path(name).stem for name in frames] != [Path(name).stem for name in files]:
        raise ValueError(
            f"{images / snippet} is broken or half extracted: its {len(frames)} images do not go with the "
            f"{len(files)} XML files in {annotations / snippet}"
        )
    classes: set[str] = set()
    tracks: dict[str, dict[int, list[float]]] = {}
    for position, name in enumerate(files):
        for item in read_objects(annotations / snippet / name):
            classes.add(item.wordnet_id)
            tracks.setdefault(item.track, {}).setdefault(position, item.box)
    rows = {}
    for track, box_at in tracks.items():
        kept, boxes = rows_with_object(np.array(list(box_at.values())))
        rows[track] = (np.array(list(box_at))[kept], boxes)
    group = classes.pop() if len(classes) == 1 else ""
    return Video([f"{snippet}/{name}" for name in frames], rows, group)
