"""Reader for data in folders: ``stills/SOURCE``, ``videos/SOURCE/CLIP`` and ``backgrounds``."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stif_core.geometry import FloatArray
from stif_core.io.source import read_frame

SMALLEST_SIDE = 6.0  # pixels; below it a box shows nothing that could be recognised
DECODED_PICTURES = 12_000  # kept in memory; about 0.25 MB each


@functools.lru_cache(maxsize=DECODED_PICTURES)
def read_image(path: Path) -> NDArray[np.uint8]:
    """Decodes an image as BGR, (H, W, 3); do not write into it, it is cached.

    Raises:
        ValueError: The file is missing or no image.
    """
    return read_frame(path)


@dataclass(frozen=True)
class Picture:
    """An image with the boxes of its objects by id (xywh), and optionally one mask of all of them."""

    path: Path
    boxes: dict[str, FloatArray]
    mask_path: Path | None

    def image(self) -> NDArray[np.uint8]:
        return read_image(self.path)

    def mask(self) -> NDArray[np.uint8]:
        """(H, W), 255 on objects."""
        if self.mask_path is None:
            raise ValueError(f"{self.path} has no mask")
        return np.where(read_image(self.mask_path)[..., 0] > 0, 255, 0).astype(np.uint8)


@dataclass(frozen=True)
class TrackingData:
    """All that a training configuration reads: pictures by source, clips by name, plain backgrounds."""

    stills: dict[str, list[Picture]]
    clips: dict[str, list[Picture]]  # key SOURCE/CLIP
    backgrounds: list[Path]


def _picture(folder: Path, record: dict[str, Any]) -> Picture:
    boxes = record["boxes"]
    named = boxes if isinstance(boxes, dict) else {str(i): box for i, box in enumerate(boxes)}
    kept = {i: np.array(box, np.float64) for i, box in named.items() if min(box[2:]) >= SMALLEST_SIDE}
    mask = record.get("mask")
    return Picture(folder / (record.get("file") or record["frame"]), kept, folder / mask if mask else None)


def _pictures(index: Path) -> list[Picture]:
    pictures = []
    for number, line in enumerate(index.read_text().splitlines(), 1):
        try:
            picture = _picture(index.parent, json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{index} line {number}: {error}") from None
        if picture.boxes:
            pictures.append(picture)
    return pictures


def read_folder(root: Path, held_out: set[str]) -> TrackingData:
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
    stills = {index.parent.name: _pictures(index) for index in sorted(root.glob("stills/*/boxes.jsonl"))}
    clips = {}
    for index in sorted(root.glob("videos/*/*/tracks.jsonl")):
        name = f"{index.parent.parent.name}/{index.parent.name}"
        if name not in held_out:
            clips[name] = _pictures(index)
    backgrounds = sorted(path for path in root.glob("backgrounds/**/*.jpg"))
    return TrackingData(
        {source: pictures for source, pictures in stills.items() if pictures},
        {name: pictures for name, pictures in clips.items() if len(pictures) > 1},
        backgrounds,
    )


def read_clip_list(path: Path) -> set[str]:
    """Clip names, one a line; ``#`` starts a comment."""
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return {line for line in lines if line}
