"""COCO 2017, training set (Lin et al.: ECCV 2014), in the layout of cocodataset.org."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stif_core.data.index_builder import IndexBuilder
from stif_core.data.readers.files import expect_file, expect_folder, file_names, still
from stif_core.data.track_index import TrackIndex

ANNOTATIONS = "annotations/instances_train2017.json"
IMAGES = "train2017"
WATCHED = (ANNOTATIONS, IMAGES)


def read_coco(root: Path, progress: Callable[[], None] = lambda: None) -> TrackIndex:
    """Reads about 117,000 images with boxes; each is a video of one frame, each object a track of its own.

    ``annotations/instances_train2017.json`` has the boxes, x,y,w,h as numbers with fractions, counted from 0
    ("0-indexed": cocodataset.org, data format). Boxes of crowds (``iscrowd``) are left out, and images without any
    other. An image shows objects of several categories, so all images are one group, "".

    Args:
        root: Folder that holds ``annotations`` and ``train2017``.
        progress: Called after every image.

    Raises:
        ValueError: A part is missing, or the JSON file is broken; names it.
    """
    path = expect_file(root / ANNOTATIONS, "COCO 2017")
    there = set(file_names(expect_folder(root / IMAGES, "COCO 2017"), ".jpg"))
    try:
        with path.open(encoding="utf-8") as file:
            content = json.load(file, object_hook=_without_outline)
        boxes_of_image: dict[int, list[list[float]]] = {}
        for record in content["annotations"]:
            if not record["iscrowd"]:
                boxes_of_image.setdefault(record["image_id"], []).append([float(value) for value in record["bbox"]])
        names = {image["id"]: image["file_name"] for image in content["images"] if image["id"] in boxes_of_image}
        videos = {names[number]: still(names[number], boxes) for number, boxes in boxes_of_image.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is broken: {type(error).__name__} {error}") from None
    builder = IndexBuilder("coco", root / IMAGES)
    for name in sorted(videos):
        if name not in there:
            expect_file(root / IMAGES / name, "COCO 2017")
        video = videos[name]
        builder.add_video(video.frames, video.tracks)
        progress()
    return builder.build()


def _without_outline(record: dict[str, Any]) -> dict[str, Any]:
    """Drops an object's outline as soon as it is parsed: outlines are most of the file, and of the memory."""
    record.pop("segmentation", None)
    return record
