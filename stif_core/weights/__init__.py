"""Models that ship with the package, and how model files are found."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stif_core.model.config import StifConfig

SHIPPED = Path(__file__).parent
DEFAULT_MODEL = "nano"
LARGEST_JSON = 1_000_000  # bytes
LARGEST_WEIGHTS = 2_000_000_000  # bytes of an ONNX or safetensors file: protobuf holds no more, and no robot would
PRECISIONS = ("fp32", "fp16", "int8")  # of the ONNX graphs


@dataclass(frozen=True)
class ModelFiles:
    """The files of one model in one folder.

    NAME.json, NAME.safetensors and the graphs: NAME.memorize.onnx, NAME.enhance.onnx and NAME.track.onnx in fp32, in
    another precision NAME.fp16.memorize.onnx and so on. NAME.int8.safetensors is there where ``track`` was trained with
    the rounding of int8.
    """

    name: str
    folder: Path
    precision: str = "fp32"  # of the graphs, one of PRECISIONS

    @property
    def json(self) -> Path:
        return self.folder / f"{self.name}.json"

    @property
    def weights(self) -> Path:
        return self.folder / f"{self.name}.safetensors"

    @property
    def int8_weights(self) -> Path:
        return self.folder / f"{self.name}.int8.safetensors"

    @property
    def memorize_onnx(self) -> Path:
        return self._graph("memorize")

    @property
    def enhance_onnx(self) -> Path:
        return self._graph("enhance")

    @property
    def track_onnx(self) -> Path:
        return self._graph("track")

    @property
    def graphs(self) -> dict[str, Path]:
        """The files of all functions, by their names."""
        return {"memorize": self.memorize_onnx, "enhance": self.enhance_onnx, "track": self.track_onnx}

    @property
    def has_graphs(self) -> bool:
        """Whether any is there: a model that lacks one of several is an error, and not without graphs."""
        return any(path.is_file() for path in self.graphs.values())

    def _graph(self, function: str) -> Path:
        precision = "" if self.precision == "fp32" else f"{self.precision}."
        return self.folder / f"{self.name}.{precision}{function}.onnx"

    def description(self) -> dict[str, Any]:
        """The JSON file: sections ``model``, ``training`` and ``tracking``.

        Raises:
            ValueError: It is too large, not JSON, or has no ``model`` section.
        """
        check_size(self.json, LARGEST_JSON)
        try:
            content = json.loads(self.json.read_text())
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"{self.json} is not valid JSON: {error}") from None
        if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
            raise ValueError(f"{self.json} has no section 'model'")
        return content

    def config(self) -> StifConfig:
        return StifConfig.from_dict(self.description()["model"])


def check_size(path: Path, largest: int) -> None:
    """Raises ValueError for a file that is empty or too large to be what it should be, before anything reads it."""
    size = path.stat().st_size
    if not 0 < size <= largest:
        raise ValueError(f"{path} has {size} bytes, expected 1 to {largest}: it is no such file of a model")


def shipped_models() -> list[str]:
    return sorted(path.stem for path in SHIPPED.glob("*.json"))


def find_model(model: str) -> ModelFiles:
    """The files of a shipped model by its name, or of any model by the path of its JSON file.

    Raises:
        ValueError: There is no such model; names those there are.
    """
    path = Path(model)
    if path.suffix == ".json" and path.is_file():
        return ModelFiles(path.stem, path.parent)
    if model in shipped_models():
        return ModelFiles(model, SHIPPED)
    raise ValueError(
        f"unknown model '{model}': use one of {', '.join(shipped_models())}, or the path of a model's JSON file"
    )
