"""The data sets that a training configuration can name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stif_core.data.folder import FolderData, read_folder
from stif_core.data.index_cache import cached_index
from stif_core.data.readers import coco, got10k, imagenet_det, imagenet_vid, lasot, trackingnet
from stif_core.data.track_index import TrackIndex

FOLDER_PARTS = ("folder_stills", "folder_videos")
# Name -> reader, and the paths whose change makes a cached index out of date.
READERS: dict[str, tuple[Callable[..., TrackIndex], tuple[str, ...]]] = {
    "trackingnet": (trackingnet.read_trackingnet, trackingnet.WATCHED),
    "lasot": (lasot.read_lasot, lasot.WATCHED),
    "got10k": (got10k.read_got10k, got10k.WATCHED),
    "imagenet_vid": (imagenet_vid.read_imagenet_vid, imagenet_vid.WATCHED),
    "imagenet_det": (imagenet_det.read_imagenet_det, imagenet_det.WATCHED),
    "coco": (coco.read_coco, coco.WATCHED),
}
# How a group of n videos counts when one is drawn: n to this power (see TrackSource). In folders a group is a source: a
# large one counts more than a small one, but does not drown it. Elsewhere every video counts alike.
BALANCE = {"folder_stills": 0.5, "folder_videos": 0.75}


@dataclass(frozen=True)
class Roots:
    """Folders of the data sets."""

    folder: Path | None = None  # stills/, videos/ and backgrounds/
    trackingnet: Path | None = None
    lasot: Path | None = None
    got10k: Path | None = None
    imagenet_vid: Path | None = None
    imagenet_det: Path | None = None
    coco: Path | None = None

    def of(self, data_set: str) -> Path:
        """Raises ValueError when there is none."""
        key = "folder" if data_set in FOLDER_PARTS else data_set
        root = getattr(self, key)
        if root is None:
            raise ValueError(f"where is the data set {key}? Give --data.roots.{key} FOLDER")
        return Path(root)


@dataclass(frozen=True)
class TrainingData:
    """Indices in the order of the ratios, and photographs without boxes."""

    indices: list[TrackIndex]
    backgrounds: list[Path]


def read_data(
    ratios: Mapping[str, float],
    roots: Roots,
    held_out: set[str],
    got10k_exclude: Path | None = None,
    cache: Path | None = None,
) -> TrainingData:
    """Reads every data set of ``ratios``.

    Args:
        ratios: Keys are ``folder_stills``, ``folder_videos`` and those of ``READERS``.
        roots: Where they lie.
        held_out: Clips of ``folder`` that are left out.
        got10k_exclude: List of GOT-10k videos that are left out.
        cache: Folder for the indices; None: the user's cache folder.

    Raises:
        ValueError: A name is unknown, or a data set is not there or not whole.
    """
    if unknown := sorted(set(ratios) - {*FOLDER_PARTS, *READERS}):
        raise ValueError(f"unknown data set '{unknown[0]}': use {', '.join([*FOLDER_PARTS, *READERS])}")
    folder: FolderData | None = None
    if set(ratios) & set(FOLDER_PARTS):
        folder = read_folder(roots.of("folder_stills"), held_out)
    indices = []
    for name in ratios:
        if folder is not None and name in FOLDER_PARTS:
            indices.append(folder.stills if name == "folder_stills" else folder.videos)
            continue
        reader, watched = READERS[name]
        options = {"exclude": got10k_exclude} if name == "got10k" and got10k_exclude else {}
        indices.append(cached_index(name, roots.of(name), reader, cache, options, watched))
    return TrainingData(indices, folder.backgrounds if folder else [])
