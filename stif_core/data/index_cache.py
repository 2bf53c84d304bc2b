"""Keeps the index of a data set on disk: reading takes minutes, and many loader processes can share one mapped copy."""

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stif_core.cache import default_cache
from stif_core.data.track_index import TrackIndex

FORMAT = 2  # raise it when the arrays, or what the readers put into them, change
OPTIONAL = ("masks", "absent")
ARRAYS = ("frames", "video_frames", "group_of_video", "track_rows", "track_video", "row_frame", "boxes", *OPTIONAL)
DESCRIPTION = "index.json"


def cached_index(
    name: str,
    root: Path,
    read: Callable[..., TrackIndex],
    cache: Path | None = None,
    options: Mapping[str, Any] | None = None,
    watched: Sequence[str] = (),
    progress: Callable[[], None] = lambda: None,
) -> TrackIndex:
    """The index from the cache, its arrays mapped from disk; read from the data set when the cache has none of it.

    A damaged copy is read again, with a warning. A cache that cannot be written is a warning too, and the index stays
    in memory. Nothing is written into the data set.

    Args:
        name: Name of the data set.
        root: Folder of the data set; the root of the index lies in it.
        read: Called as ``read(root, progress, **options)``.
        cache: Folder of the cache, ``default_cache()`` unless given.
        options: Options of the reader that change what it reads: text, numbers, lists, paths.
        watched: Patterns of paths below the root, as of ``Path.glob``. When one of them, or a file among the options,
            has another time of change or size than it had, the copy is out of date and the data set is read again.
        progress: Passed on to ``read``.

    Raises:
        ValueError: Whatever ``read`` raises.
    """
    options = dict(options or {})
    folder = (cache or default_cache()) / f"{name}-{_key(root, options)}"
    stamps = _stamps(root, options, watched)
    try:
        index = _load(folder, root, stamps)
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError) as error:
        _warn(f"the cached index {folder} is damaged ({error}); reading {root} again")
        index = None
    if index is not None:
        return index
    index = read(root, progress, **options)
    try:
        _store(index, folder, root, stamps)
        return _load(folder, root, stamps) or index
    except (OSError, EOFError, ValueError) as error:
        _warn(f"cannot keep the index of {name} in {folder} ({error}); it will be read again next time")
        return index


def _key(root: Path, options: dict[str, Any]) -> str:
    """Tells apart data sets and options; short enough for the name of a folder."""
    content = json.dumps([str(root.resolve()), options], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _stamps(root: Path, options: dict[str, Any], watched: Sequence[str]) -> dict[str, list[int]]:
    """Time of change in nanoseconds and size of each watched path; a folder's changes as entries come and go."""
    paths = {str(path.relative_to(root)): path for pattern in watched for path in root.glob(pattern)}
    paths |= {f"option {key}": value for key, value in options.items() if isinstance(value, Path)}
    stats = {name: path.stat() for name, path in sorted(paths.items()) if path.exists()}
    return {name: [stat.st_mtime_ns, stat.st_size] for name, stat in stats.items()}


def _load(folder: Path, root: Path, stamps: dict[str, list[int]]) -> TrackIndex | None:
    """None where there is no copy, or one out of date; an error of many kinds where it is damaged."""
    if not folder.is_dir():
        return None
    content = json.loads((folder / DESCRIPTION).read_text())
    if content["format"] != FORMAT or content["stamps"] != stamps:
        return None
    arrays = {}
    for name, (shape, dtype) in content["arrays"].items():
        # asarray: the plain view of a mapped array indexes several times faster than numpy's own class for it.
        array = np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))
        if (list(array.shape), array.dtype.str) != (shape, dtype):
            raise ValueError(f"{name}.npy is not the array that {DESCRIPTION} tells of")
        arrays[name] = array
    if set(ARRAYS) - set(OPTIONAL) - set(arrays):
        raise ValueError(f"{DESCRIPTION} does not tell of all arrays")
    return TrackIndex(name=content["name"], root=root / content["root"], groups=list(content["groups"]), **arrays)


def _store(index: TrackIndex, folder: Path, root: Path, stamps: dict[str, list[int]]) -> None:
    """Writes beside the final place and renames, so that nobody sees half an index."""
    arrays = {name: array for name in ARRAYS if (array := getattr(index, name)) is not None}
    content = {
        "format": FORMAT,
        "name": index.name,
        "root": str(index.root.relative_to(root)),
        "groups": index.groups,
        "arrays": {name: [list(array.shape), array.dtype.str] for name, array in arrays.items()},
        "stamps": stamps,
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-", ignore_cleanup_errors=True) as scratch:
        new = Path(scratch) / "new"
        new.mkdir()
        for name, array in arrays.items():
            np.save(new / f"{name}.npy", array, allow_pickle=False)
        (new / DESCRIPTION).write_text(json.dumps(content))
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        new.rename(folder)


def _warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)
