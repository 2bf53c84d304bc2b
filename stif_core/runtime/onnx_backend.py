"""Backend on ONNX Runtime."""

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from stif_core.runtime.graph_check import check_graphs, tracking_batch
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


class OnnxBackend:
    """Runs the exported graphs on the CPU; see ``Backend``."""

    name = "onnxruntime"

    def __init__(self, files: ModelFiles, threads: int) -> None:
        self.config = files.config()
        self.precision = files.precision
        check_graphs(files)
        self.batch = tracking_batch(files)
        self._memorize = open_session(files.memorize_onnx, threads, str(files.memorize_onnx))
        self._enhance = open_session(files.enhance_onnx, threads, str(files.enhance_onnx))
        self._track = open_session(files.track_onnx, threads, str(files.track_onnx))

    def memorize(self, image: NDArray[np.uint8], foreground: NDArray[np.uint8]) -> NDArray[np.float32]:
        (feature,) = self._memorize.run(None, {"image": image, "foreground": foreground})
        return feature

    def enhance(self, memory: NDArray[np.float32]) -> NDArray[np.float32]:
        (enhanced,) = self._enhance.run(None, {"memory": memory})
        return enhanced

    def track(
        self, image: NDArray[np.uint8], enhanced: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        score, box = self._track.run(None, {"image": image, "enhanced": enhanced})
        return score, box
