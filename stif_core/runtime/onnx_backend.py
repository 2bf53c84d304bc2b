"""Backend on ONNX Runtime."""

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from stif_core.weights import ModelFiles


def open_session(model: Path | bytes, threads: int, name: str) -> onnxruntime.InferenceSession:
    """A session on the CPU for a file or its content; raises ValueError with ``name`` when it cannot be loaded."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that spin while they wait would take a robot's other nodes a core.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        graph = model if isinstance(model, bytes) else str(model)
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a class of its own for each kind of damage
        raise ValueError(f"ONNX Runtime cannot load {name}: {error}") from None


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    if not path.is_file():
        raise ValueError(f"no ONNX file {path}: write it with 'stif export'")
    return open_session(path, threads, str(path))


class OnnxBackend:
    """Runs the exported pair of graphs on the CPU; see ``Backend``."""

    name = "onnxruntime"

    def __init__(self, files: ModelFiles, threads: int) -> None:
        self.config = files.config()
        self._memorize = _session(files.memorize_onnx, threads)
        self._track = _session(files.track_onnx, threads)
        config = self.config
        graph = tuple(self._track.get_inputs()[1].shape[1:3])
        if graph != (config.memory_frames, config.channels):
            raise ValueError(
                f"{files.track_onnx} takes {graph[0]} memory frames of {graph[1]} channels, {files.json} says "
                f"{config.memory_frames} of {config.channels}: write the graphs again with 'stif export'"
            )

    def memorize(self, image: NDArray[np.uint8], foreground: NDArray[np.uint8]) -> NDArray[np.float32]:
        (feature,) = self._memorize.run(None, {"image": image, "foreground": foreground})
        return feature

    def track(
        self, image: NDArray[np.uint8], memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        score, box = self._track.run(None, {"image": image, "memory": memory})
        return score, box
