"""What a backend offers, and the choice among those that are installed."""

import importlib.util
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stif_core.model.config import StifConfig
from stif_core.weights import ModelFiles

BACKENDS = ("onnxruntime", "torch")


class Backend(Protocol):
    """Runs a network. Crops are uint8 BGR, channels first; scores and boxes come out decoded."""

    name: str
    config: StifConfig

    def memorize(self, image: NDArray[np.uint8], foreground: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Crops (B, 3, S, S) and foreground maps (B, 1, S, S) -> memory features (B, C, n, n)."""

    def track(
        self, image: NDArray[np.uint8], memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Query crops (B, 3, S, S) and memory (B, T, C, n, n) -> scores (B, N), boxes (B, N, 4) xyxy crop pixels."""


def load_backend(files: ModelFiles, name: str = "auto", threads: int = 0) -> Backend:
    """Loads a network into a backend.

    Args:
        files: The model.
        name: ``onnxruntime``, ``torch``, or ``auto``: the first of them that is installed and has its files.
        threads: CPU threads for one inference; 0 leaves the choice to the backend.

    Raises:
        ValueError: The backend is unknown, not installed, or a file that it needs is missing or broken.
    """
    if name == "auto":
        name = _first_usable(files)
    if name not in BACKENDS:
        raise ValueError(f"unknown backend '{name}': use auto, {' or '.join(BACKENDS)}")
    if importlib.util.find_spec(name) is None:
        raise ValueError(f"the backend {name} needs the package {name}: pip install {name}")
    if name == "onnxruntime":
        from stif_core.runtime.onnx_backend import OnnxBackend

        return OnnxBackend(files, threads)
    from stif_core.runtime.torch_backend import load_torch_backend

    return load_torch_backend(files, threads)


def _first_usable(files: ModelFiles) -> str:
    if importlib.util.find_spec("onnxruntime") and files.memorize_onnx.exists() and files.track_onnx.exists():
        return "onnxruntime"
    if importlib.util.find_spec("torch") and files.weights.exists():
        return "torch"
    raise ValueError(
        f"no backend can run the model '{files.name}' in {files.folder}: "
        "install onnxruntime (with the model's ONNX files) or torch (with its safetensors file)"
    )
