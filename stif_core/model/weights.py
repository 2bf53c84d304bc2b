"""Reading weights; nothing is unpickled."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from stif_core.weights import LARGEST_WEIGHTS, check_size


def load_state(module: nn.Module, path: Path, prefix: str = "") -> None:
    """Loads a safetensors file into a module; of a file with names that begin with ``prefix`` those alone.

    Raises:
        ValueError: The file is missing or damaged, or a name or shape does not agree with the module.
    """
    try:
        check_size(path, LARGEST_WEIGHTS)
        state = load_file(path)
        part = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        module.load_state_dict(part or state, strict=True)
    except FileNotFoundError:
        raise ValueError(f"no weights file {path}") from None
    except SafetensorError as error:
        raise ValueError(f"cannot read the weights file {path}: {error}") from None
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit the network: {error}") from None
