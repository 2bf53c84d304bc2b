"""Backend on OpenVINO, for CPUs."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from stif_core.runtime.graph_check import check_graphs, tracking_batch
from stif_core.runtime.processor import Processor
from stif_core.weights import ModelFiles


class OpenVinoBackend:
    """Runs the exported graphs on the CPU; see ``Backend``.

    fp32 graphs run in fp32. What graphs of the other precisions leave in floating point runs in what OpenVINO takes by
    itself, which is bf16 on processors that have it; but in fp32 where bf16 is slower.
    """

    name = "openvino"

    def __init__(self, files: ModelFiles, threads: int) -> None:
        """``threads`` of one inference; 0 leaves the choice to OpenVINO."""
        self.config = files.config()
        self.precision = files.precision
        check_graphs(files)
        self.batch = tracking_batch(files)
        core = openvino.Core()
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        if files.precision == "fp32" or Processor.here().bf16_is_slow:
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        self._memorize = _Function(core, files.memorize_onnx, settings)
        self._enhance = _Function(core, files.enhance_onnx, settings)
        self._track = _Function(core, files.track_onnx, settings)

    def memorize(self, image: NDArray[np.uint8], foreground: NDArray[np.uint8]) -> NDArray[np.float32]:
        (feature,) = self._memorize(image, foreground)
        return feature

    def enhance(self, memory: NDArray[np.float32]) -> NDArray[np.float32]:
        (enhanced,) = self._enhance(memory)
        return enhanced

    def track(
        self, image: NDArray[np.uint8], enhanced: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        score, box = self._track(image, enhanced)
        return score, box


class _Function:
    """One graph, compiled for single crops, which is a tenth faster than for any number; for that when it is needed."""

    def __init__(self, core: openvino.Core, path: Path, settings: dict[str, Any]) -> None:
        """Raises ValueError when OpenVINO cannot load the file."""
        self._core, self._path, self._settings = core, path, settings
        self._single = self._compile(batch=1)
        self._any_number: openvino.InferRequest | None = None

    def __call__(self, *inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        """The outputs for the inputs, both in the graph's order."""
        request = self._single
        if len(inputs[0]) != 1:
            self._any_number = self._any_number or self._compile(batch=-1)
            request = self._any_number
        # Inputs are read where they lie; outputs are copied, because the next inference writes to the same memory.
        return list(request.infer(inputs, share_inputs=True).values())

    def _compile(self, batch: int) -> openvino.InferRequest:
        try:
            model = self._core.read_model(self._path)
            model.reshape({tensor: [batch, *tensor.partial_shape[1:]] for tensor in model.inputs})
            return self._core.compile_model(model, "CPU", self._settings).create_infer_request()
        except RuntimeError as error:
            raise ValueError(f"OpenVINO cannot load {self._path}: {str(error).splitlines()[0]}") from None
