"""What an exported graph says of itself."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from stif_core.runtime.graph_check import check_graphs
from stif_core.weights import ModelFiles

GraphName = Literal["memorize", "enhance", "track"]
GRAPHS: tuple[GraphName, ...] = get_args(GraphName)


@dataclass(frozen=True)
class Graph:
    """One of the ONNX files of a model."""

    path: Path
    model: str
    name: GraphName
    sha256: str
    precision: str


def read_graphs(files: ModelFiles) -> list[Graph]:
    """All graphs of a model in the precision of ``files``, their metadata checked against its JSON file.

    Raises:
        ValueError: A file is missing or damaged, or is that of another network or precision.
    """
    check_graphs(files)
    return [_read(files, name) for name in GRAPHS]


def _read(files: ModelFiles, name: GraphName) -> Graph:
    path = files.graphs[name]
    return Graph(path, files.name, name, hashlib.sha256(path.read_bytes()).hexdigest(), files.precision)
