"""Files that stand whole or not at all: what is written appears under its name in one step."""

import os
from pathlib import Path


def write_whole(path: Path, *parts: bytes, alone: bool = False) -> None:
    """Writes the parts as a file, beside it first; what stood there before stays until all is on the disk.

    Args:
        path: In a folder that exists.
        parts: The content, in order.
        alone: The caller keeps other writers of this file out, so that all of them may use one name beside it, and
            what a killed one left is written over.

    Raises:
        OSError: The folder cannot be written, the disk is full, or the name is a folder's.
    """
    partial = path.with_name(f".{path.name}.partial" if alone else f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())  # a robot is switched off without a warning
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
