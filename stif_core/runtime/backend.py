"""What a backend offers, and the choice among those that are installed."""

import importlib.util
import os
import platform
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stif_core.model.config import StifConfig
from stif_core.runtime.processor import Processor
from stif_core.weights import PRECISIONS, ModelFiles

BACKENDS = ("tensorrt", "openvino", "onnxruntime", "torch")
# What ``load_backend`` may be asked for; torch runs in fp32 alone.
BACKEND_NAMES = ("auto", *BACKENDS, *(f"{name}:{precision}" for name in BACKENDS[:-1] for precision in PRECISIONS))


class Backend(Protocol):
    """Runs a network. Crops are uint8 BGR, channels first; scores and boxes come out decoded."""

    name: str
    precision: str  # of the graphs, one of PRECISIONS
    batch: int | None  # crops at a time, always; None: any number
    config: StifConfig

    def memorize(self, image: NDArray[np.uint8], foreground: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Crops (B, 3, S, S) and foreground maps (B, 1, S, S) -> memory features (B, C, n, n)."""

    def enhance(self, memory: NDArray[np.float32]) -> NDArray[np.float32]:
        """Memory features (B, T, C, n, n), the initial one first -> enhanced memory (B, K, C, n, n)."""

    def track(
        self, image: NDArray[np.uint8], enhanced: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Query crops (B, 3, S, S), enhanced memory -> scores (B, N), boxes (B, N, 4) xyxy in crop pixels."""


def load_backend(
    files: ModelFiles,
    name: str = "auto",
    threads: int = 0,
    log: Callable[[str], None] = lambda line: None,
) -> Backend:
    """Loads a network into a backend.

    Args:
        files: The model, in whatever precision.
        name: One of BACKENDS, or ``auto``, the first of these that is there: OpenVINO (on x86; on ARM it was not
            measured), ONNX Runtime, PyTorch. With ``:`` and one of PRECISIONS behind it the graphs are taken in that
            precision; else OpenVINO takes int8 where the processor is made for it and the weights were trained for it,
            OpenVINO and TensorRT fp16 where the model has such graphs, and all else fp32.
        threads: CPU threads for one inference; 0: ``default_threads``.
        log: Takes a line about anything that takes long (an engine is built).

    Raises:
        ValueError: The backend is unknown, not installed, or a file that it needs is missing or broken.
    """
    name, colon, precision = name.partition(":")
    if colon and precision not in PRECISIONS:
        raise ValueError(f"unknown precision '{precision}' of the backend {name}: use {', '.join(PRECISIONS)}")
    if name == "auto":
        name = _first_usable(replace(files, precision=precision or "fp32"))
    if name not in BACKENDS:
        raise ValueError(f"unknown backend '{name}': use auto, {', '.join(BACKENDS)}")
    files = replace(files, precision=precision or _precision(files, name))
    threads = threads or default_threads()
    if name == "tensorrt":
        from stif_core.runtime.tensorrt_backend import load_tensorrt_backend

        return load_tensorrt_backend(files, log)
    if importlib.util.find_spec(name) is None:
        raise ValueError(f"the backend {name} needs the package {name}: pip install {name}")
    if name == "openvino":
        from stif_core.runtime.openvino_backend import OpenVinoBackend

        return OpenVinoBackend(files, threads)
    if name == "onnxruntime":
        from stif_core.runtime.onnx_backend import OnnxBackend

        return OnnxBackend(files, threads)
    if files.precision != "fp32":
        raise ValueError(f"the backend torch runs in fp32 alone, not in {files.precision}")
    from stif_core.runtime.torch_backend import load_torch_backend

    return load_torch_backend(files, threads)


def default_threads() -> int:
    """CPU threads that leave a robot's other nodes a core: one less than there are, four at most; both of two."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores if cores <= 2 else min(4, cores - 1)


def _precision(files: ModelFiles, name: str) -> str:
    """The fastest that the backend is good at here, of those that the model has."""
    wanted = ["fp16"] if name in ("openvino", "tensorrt") else []
    if name == "openvino" and files.int8_weights.exists() and Processor.here().int8_is_fastest:
        wanted.insert(0, "int8")
    return next((precision for precision in wanted if replace(files, precision=precision).has_graphs), "fp32")


def _first_usable(files: ModelFiles) -> str:
    # TensorRT is not among them: an engine takes minutes to build, and is only taken when it is asked for.
    if files.has_graphs and importlib.util.find_spec("openvino") and platform.machine() in ("x86_64", "AMD64"):
        return "openvino"
    if files.has_graphs and importlib.util.find_spec("onnxruntime"):
        return "onnxruntime"
    if importlib.util.find_spec("torch") and files.weights.exists():
        return "torch"
    raise ValueError(
        f"no backend can run the model '{files.name}' in {files.folder}: it needs "
        f"{', '.join(path.name for path in files.graphs.values())} with openvino or onnxruntime, or "
        f"{files.weights.name} with torch; for graphs in another precision alone say so, as in auto:fp16"
    )
