"""Data sets that trackers are measured on, each in the layout in which it is distributed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stif_core.evaluation.datasets.got10k import read_got10k
from stif_core.evaluation.datasets.lasot import read_lasot
from stif_core.evaluation.datasets.otb import read_otb100
from stif_core.evaluation.datasets.trackingnet import read_trackingnet
from stif_core.evaluation.datasets.uav123 import read_uav123
from stif_core.evaluation.datasets.vot import read_vot
from stif_core.evaluation.datasets.watb import read_watb
from stif_core.evaluation.sequences import Sequence, read_sequences
from stif_core.evaluation.validation import read_validation_runs

# Name to the protocol that scores it and its reader. VOT's own figures come from its toolkit.
_READERS: dict[str, tuple[str, Callable[[Path], list[Sequence]]]] = {
    "folder": ("folder", read_sequences),
    "got10k-val": ("got10k", partial(read_got10k, split="val")),
    "got10k-test": ("got10k", partial(read_got10k, split="test")),
    "lasot": ("lasot", read_lasot),
    "trackingnet": ("trackingnet", read_trackingnet),
    "otb100": ("otb", read_otb100),
    "watb": ("otb", read_watb),
    "uav123": ("uav", read_uav123),
    "vot": ("folder", read_vot),
    "validation": ("folder", read_validation_runs),
}
DATASETS: tuple[str, ...] = tuple(_READERS)


@dataclass(frozen=True)
class Dataset:
    """Sequences in a fixed order and the protocol that scores them."""

    name: str
    protocol: str
    sequences: list[Sequence]


def read_dataset(name: str, root: Path) -> Dataset:
    """Reads one of ``DATASETS``; images are decoded when they are needed.

    Raises:
        ValueError: The name is unknown, or the data is missing, half extracted or broken; names the expected path.
    """
    if name not in _READERS:
        raise ValueError(f"unknown data set '{name}': use one of {', '.join(DATASETS)}")
    protocol, read = _READERS[name]
    return Dataset(name, protocol, read(root))
