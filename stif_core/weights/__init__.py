"""Models that ship with the package, and how model files are found."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stif_core.model.config import StifConfig

SHIPPED = Path(__file__).parent
DEFAULT_MODEL = "nano"


@dataclass(frozen=True)
class ModelFiles:
    """The files of one model: NAME.json, NAME.safetensors, NAME.memorize.onnx, NAME.track.onnx in one folder."""

    name: str
    folder: Path

    @property
    def json(self) -> Path:
        return self.folder / f"{self.name}.json"

    @property
    def weights(self) -> Path:
        return self.folder / f"{self.name}.safetensors"

    @property
    def memorize_onnx(self) -> Path:
        return self.folder / f"{self.name}.memorize.onnx"

    @property
    def track_onnx(self) -> Path:
        return self.folder / f"{self.name}.track.onnx"

    def description(self) -> dict[str, Any]:
        """The JSON file: sections ``model``, ``training`` and ``tracking``.

        Raises:
            ValueError: It is not JSON, or has no ``model`` section.
        """
        try:
            content = json.loads(self.json.read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f"{self.json} is not valid JSON: {error}") from None
        if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
            raise ValueError(f"{self.json} has no section 'model'")
        return content

    def config(self) -> StifConfig:
        return StifConfig.from_dict(self.description()["model"])


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
