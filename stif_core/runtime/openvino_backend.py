"""Backend on OpenVINO, for CPUs."""

from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray

from stif_core.runtime.graph_check import check_graphs, tracking_batch
from stif_core.weights import ModelFiles


def computes_in_bf16() -> bool:
    """Whether OpenVINO runs networks in bf16 on this processor."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoBackend:
    """Runs the exported pair of graphs on the CPU; see ``Backend``.

    fp32 graphs run in fp32. What graphs of the other precisions leave in floating point runs in bf16 on processors that
    compute with it, as OpenVINO does by itself.
    """

    name = "openvino"

    def __init__(self, files: ModelFiles, threads: int) -> None:
        """``threads`` of one inference; 0 leaves the choice to OpenVINO."""
        self.config = files.config()
        self.precision = files.precision
        check_graphs(files)
        self.batch = tracking_batch(files)
        self._core = openvino.Core()
        self._settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        if files.precision == "fp32":
            self._settings["INFERENCE_PRECISION_HINT"] = "f32"
        self._memorize = self._load(files.memorize_onnx)
        self._track = self._load(files.track_onnx)

    def memorize(self, image: NDArray[np.uint8], foreground: NDArray[np.uint8]) -> NDArray[np.float32]:
        result = self._memorize.infer({"image": image, "foreground": foreground}, share_inputs=True)
        return result["feature"].copy()  # the next inference writes to the same memory

    def track(
        self, image: NDArray[np.uint8], memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        result = self._track.infer({"image": image, "memory": memory}, share_inputs=True)
        return result["score"].copy(), result["box"].copy()

    def _load(self, path: Path) -> openvino.InferRequest:
        try:
            return self._core.compile_model(str(path), "CPU", self._settings).create_infer_request()
        except RuntimeError as error:
            raise ValueError(f"OpenVINO cannot load {path}: {str(error).splitlines()[0]}") from None
