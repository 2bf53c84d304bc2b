"""Zip files for the evaluation servers of GOT-10k and TrackingNet."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from stif_core.evaluation.datasets import Dataset
from stif_core.geometry import FloatArray

SERVERS = {
    "got10k-test": "http://got-10k.aitestunion.com",
    "trackingnet": "https://eval.ai/web/challenges/challenge-page/1805",
}
FIXED_TIME = (2020, 1, 1, 0, 0, 0)  # the same results give the same file, to the byte


@dataclass(frozen=True)
class Submitted:
    """A result: boxes xywh counted from 0, (N, 4), and the seconds of each frame, (N,)."""

    boxes: ArrayLike
    seconds: ArrayLike


def write_submission(dataset: Dataset, results: Mapping[str, Submitted], path: Path) -> None:
    """Writes the zip that the server of ``got10k-test`` or ``trackingnet`` takes, with boxes in its coordinates.

    GOT-10k (the toolkit's ``report``): ``SEQUENCE/SEQUENCE_001.txt``, a box x,y,w,h a line, and
    ``SEQUENCE/SEQUENCE_time.txt``, the seconds of each frame. TrackingNet (``metrics.py``): ``SEQUENCE.txt``, a box a
    line. A frame without a box gets the one before, because the servers read numbers.

    Args:
        dataset: Read by ``read_dataset``.
        results: By name of sequence; all of the data set's.
        path: The file to write.

    Raises:
        ValueError: The data set has no server, or a result is missing or of another length; names it.
    """
    if dataset.name not in SERVERS:
        raise ValueError(f"{dataset.name} has no evaluation server: submissions are for {' and '.join(SERVERS)}")
    files = {}
    for sequence in dataset.sequences:
        if sequence.name not in results:
            raise ValueError(f"no result of {sequence.name}: the server wants all {len(dataset.sequences)} sequences")
        boxes = np.asarray(results[sequence.name].boxes, np.float64)
        seconds = np.asarray(results[sequence.name].seconds, np.float64)
        if boxes.shape != (len(sequence.images), 4) or seconds.shape != (len(boxes),):
            raise ValueError(
                f"{sequence.name} has {len(sequence.images)} frames, but its result has boxes {boxes.shape} and "
                f"seconds {seconds.shape}: expected one of each for every frame"
            )
        boxes = sequence.as_in_files(_without_gaps(boxes))
        lines = [",".join(f"{value:.4f}" for value in box) for box in boxes]
        if dataset.name == "trackingnet":
            files[f"{sequence.name}.txt"] = lines
        else:
            files[f"{sequence.name}/{sequence.name}_001.txt"] = lines
            files[f"{sequence.name}/{sequence.name}_time.txt"] = [f"{value:.8f}" for value in seconds]
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, lines in files.items():
            entry = zipfile.ZipInfo(name, FIXED_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, "\n".join(lines) + "\n")


def _without_gaps(boxes: FloatArray) -> FloatArray:
    """Rows of NaN become the row before; the first row has a box, the initial one."""
    present = ~np.isnan(boxes).any(axis=1)
    return boxes[np.maximum.accumulate(np.where(present, np.arange(len(boxes)), 0))]
