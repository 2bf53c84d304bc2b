"""Reader for data in folders: ``stills/SOURCE``, ``videos/SOURCE/CLIP`` and ``backgrounds``."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stif_core.data.index_builder import IndexBuilder
from stif_core.data.track_index import TrackIndex

VALIDATION_CLIPS = Path("config/train/validation_clips.txt")  # of our own data, in this repository's folder


@dataclass(frozen=True)
class FolderData:
    """Stills and clips, grouped by source, and photographs without boxes."""

    stills: TrackIndex
    videos: TrackIndex
    backgrounds: list[Path]


@dataclass(frozen=True)
class LabelledFrame:
    """A frame of a clip: paths below the clip, the mask's "" without one, and boxes xywh by the object's id."""

    image: str
    mask: str
    boxes: dict[str, list[float]]


def read_folder(root: Path, held_out: set[str]) -> FolderData:
    """Reads the index files under ``root``; images are decoded when they are needed.

    Args:
        root: Folder with ``stills/``, ``videos/`` and ``backgrounds/``.
        held_out: Clips ``SOURCE/CLIP`` kept for validation; they are left out.

    Raises:
        ValueError: A folder or a held-out clip is missing, or an index file is broken; names it.
    """
    for name in ("stills", "videos", "backgrounds"):
        if not (root / name).is_dir():
            raise ValueError(f"no training data at {root}: expected the folder {root / name}")
    for clip in sorted(held_out):
        if not (root / "videos" / clip).is_dir():
            raise ValueError(f"held-out clip {clip} is not in {root / 'videos'}")
    stills = IndexBuilder("folder_stills", root / "stills")
    for index in sorted(root.glob("stills/*/boxes.jsonl")):
        _add_stills(stills, index)
    videos = IndexBuilder("folder_videos", root / "videos")
    for index in sorted(root.glob("videos/*/*/tracks.jsonl")):
        if f"{index.parent.parent.name}/{index.parent.name}" not in held_out:
            _add_clip(videos, index)
    return FolderData(stills.build(), videos.build(), sorted(root.glob("backgrounds/**/*.jpg")))


def read_tracks(index: Path) -> list[LabelledFrame]:
    """The frames of a clip in order, from its ``tracks.jsonl``; boxes without an area are left out.

    Raises:
        ValueError: The file is missing, or a line of it is broken; names it.
    """
    if not index.is_file():
        raise ValueError(f"no file {index}")
    return [
        LabelledFrame(
            _field(where, record, "frame"), record.get("mask") or "", _boxes(where, _field(where, record, "boxes"))
        )
        for where, record in _records(index)
    ]


def read_clip_list(path: Path) -> set[str]:
    """Clip names, one a line; ``#`` starts a comment. Raises ValueError when the file is missing."""
    if not path.is_file():
        raise ValueError(f"no list of validation clips {path}")
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return {line for line in lines if line}


def _add_stills(builder: IndexBuilder, index: Path) -> None:
    """Every picture is a video of one frame, every box in it a track."""
    source = index.parent.name
    for where, record in _records(index):
        boxes = _boxes(where, {str(i): box for i, box in enumerate(_field(where, record, "boxes"))})
        mask = record.get("mask")
        builder.add_video(
            [f"{source}/{_field(where, record, 'file')}"],
            {name: ([0], [box]) for name, box in boxes.items()},
            source,
            [f"{source}/{mask}" if mask else ""],
        )


def _add_clip(builder: IndexBuilder, index: Path) -> None:
    clip = index.parent.relative_to(builder.root)
    frames, masks = [], []
    tracks: dict[str, tuple[list[int], list[list[float]]]] = {}
    for position, frame in enumerate(read_tracks(index)):
        frames.append(f"{clip}/{frame.image}")
        masks.append(f"{clip}/{frame.mask}" if frame.mask else "")
        for name, box in frame.boxes.items():
            positions, boxes = tracks.setdefault(name, ([], []))
            positions.append(position)
            boxes.append(box)
    builder.add_video(frames, tracks, clip.parts[0], masks)


def _records(index: Path) -> list[tuple[str, dict[str, Any]]]:
    """The lines of an index file, each with its place for error messages."""
    records = []
    for number, line in enumerate(index.read_text().splitlines(), 1):
        where = f"{index} line {number}"
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        if not isinstance(record, dict):
            raise ValueError(f"{where}: expected an object, got '{line[:40]}'")
        records.append((where, record))
    return records


def _field(where: str, record: dict[str, Any], key: str) -> Any:
    if key not in record:
        raise ValueError(f"{where}: no '{key}'")
    return record[key]


def _boxes(where: str, boxes: dict[str, Any]) -> dict[str, list[float]]:
    """Boxes with an area; raises ValueError for one that is not four finite numbers."""
    kept = {}
    for name, box in boxes.items():
        try:
            values = np.array(box, np.float64)
        except (TypeError, ValueError):
            values = np.empty(0)
        if values.shape != (4,) or not np.isfinite(values).all():
            raise ValueError(f"{where}: expected a box [x, y, w, h], got {box}")
        if (values[2:] > 0).all():
            kept[name] = values.tolist()
    return kept
