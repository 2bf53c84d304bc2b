"""The file of an engine: a header of ours, and the engine as TensorRT serialised it.

Layout: 8 bytes ``STIF-TRT``; format version; SHA-256 of all that follows; length of the JSON; the JSON; the serialised
engine. Numbers are little-endian uint32. TensorRT runs what it is given, so it sees only what passed the check.
"""

import hashlib
import json
import struct
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stif_core.files import write_whole
from stif_core.runtime.engine.graph import GraphName

MAGIC = b"STIF-TRT"
FORMAT = 1  # raise it when the header, or what the builder puts into engines, changes
PREFIX = struct.Struct("<8sI32s")
LENGTH = struct.Struct("<I")


class BadEngineFileError(ValueError):
    """Not an engine file, a damaged one, or one of another model, version or GPU."""


@dataclass(frozen=True)
class EngineKey:
    """All that an engine depends on: with another value of any of these it must be built again."""

    model: str
    graph: GraphName
    model_sha256: str  # of the ONNX file
    flavour: str
    version: str
    target: str  # SM86
    gpu: str  # name of the GPU; empty: every GPU of the compute capability
    precision: str
    batch: int

    @property
    def file_name(self) -> str:
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return f"{self.model}.{self.graph}.{self.target}.{self.precision}-b{self.batch}.{digest[:12]}.engine"


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of an engine; the type by numpy's name, the shape with its batch."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Engine:
    """A serialised engine with what is known of it; ``path`` is its file, None where it has none."""

    key: EngineKey
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    payload: bytes
    path: Path | None = field(default=None, compare=False)


def write_engine(engine: Engine, path: Path) -> None:
    """Writes the file so that its name never stands for half of it; the caller keeps other writers out.

    Raises:
        OSError: The folder cannot be written, the disk is full, or the name is a folder's.
    """
    header = {name: value for name, value in asdict(engine).items() if name not in ("payload", "path")}
    text = json.dumps(header).encode()
    body = LENGTH.pack(len(text)) + text + engine.payload
    write_whole(path, PREFIX.pack(MAGIC, FORMAT, hashlib.sha256(body).digest()), body, alone=True)


def read_engine(path: Path, key: EngineKey) -> Engine:
    """The engine of a file, which must be the one for this key.

    Raises:
        FileNotFoundError: There is no such file.
        BadEngineFileError: The file cannot be used; says why.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadEngineFileError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) < PREFIX.size or not content.startswith(MAGIC):
        raise BadEngineFileError(f"{path} is not an engine file of stif")
    _, version, digest = PREFIX.unpack_from(content)
    if version != FORMAT:
        raise BadEngineFileError(f"{path} has format {version}, expected {FORMAT}")
    body = memoryview(content)[PREFIX.size :]
    if hashlib.sha256(body).digest() != digest:
        raise BadEngineFileError(f"{path} is truncated or damaged")
    start = LENGTH.size + LENGTH.unpack_from(body)[0]
    header = json.loads(bytes(body[LENGTH.size : start]))
    found = EngineKey(**header["key"])
    for name, expected in asdict(key).items():
        if getattr(found, name) != expected:
            raise BadEngineFileError(f"{path} was built for {name} '{getattr(found, name)}', this is '{expected}'")
    return Engine(found, _specs(header["inputs"]), _specs(header["outputs"]), bytes(body[start:]), path)


def _specs(values: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(value["name"], value["dtype"], tuple(value["shape"])) for value in values)
