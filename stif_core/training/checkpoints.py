"""From a checkpoint of a training to a model's files."""

import json
import pickle
from pathlib import Path

import torch
from safetensors.torch import save_file

from stif_core.weights import ModelFiles


def write_model(checkpoint: Path, files: ModelFiles) -> tuple[int, list[Path]]:
    """Writes the averaged weights (safetensors) and the JSON file of a checkpoint; its training step, and the files.

    Of a training with ``quantised`` the weights for int8 alone: the JSON file beside them is the teacher's.

    Raises:
        ValueError: The file is missing, or no checkpoint of a training by ``stif train``.
    """
    try:
        saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
        description = dict(saved["stif"])
        state = {name: value.contiguous() for name, value in saved["state_dict"].items() if name.startswith("model.")}
        step = int(saved["global_step"])
    except FileNotFoundError:
        raise ValueError(f"no checkpoint {checkpoint}") from None
    except (KeyError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{checkpoint} is no checkpoint of stif train: {error}") from None
    description["training"] = {**description["training"], "steps": step}
    files.folder.mkdir(parents=True, exist_ok=True)
    weights = {name.removeprefix("model."): value for name, value in state.items()}
    if description["training"].get("quantised", False):
        save_file(weights, files.int8_weights)
        return step, [files.int8_weights]
    save_file(weights, files.weights)
    files.json.write_text(json.dumps(description, indent=2) + "\n")
    return step, [files.weights, files.json]
