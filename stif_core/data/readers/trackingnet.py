"""TrackingNet (Müller et al.: ECCV 2018), in the layout of its development kit (SilvioGiancola/TrackingNet-devkit)."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from stif_core.data.index_builder import IndexBuilder
from stif_core.data.readers.files import (
    Video,
    add_all,
    check_counts,
    expect_folder,
    file_names,
    numbered_files,
    rows_with_object,
)
from stif_core.data.track_index import TrackIndex
from stif_core.evaluation.sequences import read_boxes

WATCHED = ("TRAIN_*/anno", "TRAIN_*/frames")
CHUNKS = 12
FIRST_PIXEL = 1.0  # nowhere stated; keyframe boxes in the development kit start at 1 and end at height + 1


def read_trackingnet(
    root: Path, progress: Callable[[], None] = lambda: None, chunks: Sequence[int] | None = None
) -> TrackIndex:
    """Reads chunks of 2,511 videos, one object each; all that are there unless ``chunks`` says which.

    ``TRAIN_N/anno/VIDEO.txt`` has a line x,y,w,h per frame of ``TRAIN_N/frames/VIDEO/0.jpg`` and on, which
    ``TRAIN_N/zips/VIDEO.zip`` holds as downloaded. Boxes were annotated once a second and tracked in between, so they
    may reach over the image's border. The data set tells neither absence nor class: all videos are one group, "".

    Args:
        root: Folder that holds ``TRAIN_0`` to ``TRAIN_11``, or some of them.
        progress: Called after every video.
        chunks: Numbers of the chunks to read, 0 to 11; protocols of other trackers take 0 to 3.

    Raises:
        ValueError: A chunk or a video is missing or not extracted, or a file is broken; names it.
    """
    if chunks is None:
        chunks = [number for number in range(CHUNKS) if (root / f"TRAIN_{number}").is_dir()] or [0]
    builder = IndexBuilder("trackingnet", root)
    for chunk in (root / f"TRAIN_{number}" for number in chunks):
        videos = [
            name.removesuffix(".txt") for name in file_names(expect_folder(chunk / "anno", "TrackingNet"), ".txt")
        ]
        add_all(builder, partial(_read_video, chunk), videos, progress)
    return builder.build()


def _read_video(chunk: Path, video: str) -> Video:
    folder = chunk / "frames" / video
    zipped = chunk / "zips" / f"{video}.zip"
    hint = f"extract {zipped} into it" if not folder.is_dir() and zipped.is_file() else ""
    images = numbered_files(expect_folder(folder, "TrackingNet", hint), ".jpg")
    boxes = read_boxes(chunk / "anno" / f"{video}.txt")
    check_counts(folder, images=len(images), boxes=len(boxes))
    rows = rows_with_object(boxes, first_pixel=FIRST_PIXEL)
    return Video([f"{chunk.name}/frames/{video}/{name}" for name in images], {"": rows})
