"""An engine on the GPU as a function of numpy arrays."""

import ctypes
import math
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stif_core.runtime.engine.cuda import CudaError, check
from stif_core.runtime.engine.engine_file import Engine, TensorSpec
from stif_core.runtime.engine.library import TensorRt

WARM_UP_RUNS = 3  # the first ones load kernels, or compile them (TensorRT-RTX)


class EngineRefusedError(ValueError):
    """TensorRT does not take an engine whose file is sound: it must be built again."""


class EngineFunction:
    """Runs one engine: static shapes, buffers allocated once, one CUDA graph for upload, network and download.

    Not for calls from several threads at a time.
    """

    def __init__(
        self,
        library: TensorRt,
        cuda: Any,
        engine: Engine,
        stream: Any,
        log: Callable[[str], None],
        kept: frozenset[str] = frozenset(),
    ) -> None:
        """Loads the engine, runs it a few times and records the graph.

        Args:
            library: The TensorRT that built the engine.
            cuda: Module of the CUDA runtime.
            engine: What to run.
            stream: CUDA stream, shared by the functions of one backend.
            log: Takes lines for the user.
            kept: Inputs that often stay as they are: uploaded only when they change.

        Raises:
            EngineRefusedError: TensorRT cannot load the engine, or it has other tensors than its file says.
            CudaError: The GPU has no memory left, or fails.
        """
        self.engine = engine
        self._cuda = cuda
        self._stream = stream
        self._native, self._context = _load(library, engine)
        self._buffers = {spec.name: _Buffer(cuda, spec) for spec in (*engine.inputs, *engine.outputs)}
        self._kept = {spec.name for spec in engine.inputs if spec.name in kept}
        self._graph: Any = None
        for name, buffer in self._buffers.items():
            self._context.set_tensor_address(name, int(buffer.device))
        for name in self._kept:
            self._copy(name, upload=True)
        for _ in range(WARM_UP_RUNS):
            self._enqueue()
        self._synchronise()
        try:
            self._graph = self._record()
        except RuntimeError as error:
            log(f"{engine.key.graph}: no CUDA graph ({error}); each step is launched by itself")

    @property
    def batch(self) -> int:
        return self.engine.key.batch

    def __call__(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
        """Outputs by name for inputs by name, each (B, ...); any B, run in pieces of the engine's batch.

        Raises:
            ValueError: An input has another shape than the engine's.
            CudaError: The GPU fails.
        """
        for spec in self.engine.inputs:
            if inputs[spec.name].shape[1:] != spec.shape[1:]:
                raise ValueError(
                    f"{self.engine.key.graph} takes '{spec.name}' of shape (B, {', '.join(map(str, spec.shape[1:]))}), "
                    f"got {inputs[spec.name].shape}"
                )
        count = len(inputs[self.engine.inputs[0].name])
        pieces = []
        for start in range(0, count, self.batch):
            pieces.append(self._run({name: value[start : start + self.batch] for name, value in inputs.items()}))
        return {spec.name: np.concatenate([piece[spec.name] for piece in pieces]) for spec in self.engine.outputs}

    def _run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
        """One piece; one that is smaller than the batch leaves the rest of the buffers as it was."""
        count = len(inputs[self.engine.inputs[0].name])
        for spec in self.engine.inputs:
            value, host = inputs[spec.name].astype(spec.dtype, copy=False), self._buffers[spec.name].host[:count]
            if spec.name not in self._kept:
                host[:] = value
            elif not np.array_equal(host, value):
                host[:] = value
                self._copy(spec.name, upload=True)
        if self._graph is None:
            self._enqueue()
        else:
            check(self._cuda, self._cuda.cudaGraphLaunch(self._graph, self._stream))
        self._synchronise()
        # A copy: the buffers are written again by the next call.
        return {spec.name: self._buffers[spec.name].host[:count].astype(np.float32) for spec in self.engine.outputs}

    def _enqueue(self) -> None:
        for spec in self.engine.inputs:
            if spec.name not in self._kept:
                self._copy(spec.name, upload=True)
        if not self._context.execute_async_v3(int(self._stream)):
            raise CudaError(f"TensorRT could not run {self.engine.key.graph}")
        for spec in self.engine.outputs:
            self._copy(spec.name, upload=False)

    def _copy(self, name: str, upload: bool) -> None:
        buffer, kinds = self._buffers[name], self._cuda.cudaMemcpyKind
        target, source = (buffer.device, buffer.pinned) if upload else (buffer.pinned, buffer.device)
        kind = kinds.cudaMemcpyHostToDevice if upload else kinds.cudaMemcpyDeviceToHost
        check(self._cuda, self._cuda.cudaMemcpyAsync(target, source, buffer.bytes, kind, self._stream))

    def _record(self) -> Any:
        """The steps of ``_enqueue`` as one CUDA graph, freed with this function."""
        cuda = self._cuda
        mode = cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        check(cuda, cuda.cudaStreamBeginCapture(self._stream, mode))
        try:
            self._enqueue()
        finally:  # the stream must leave the recording in any case
            ended = cuda.cudaStreamEndCapture(self._stream)
        recorded = check(cuda, ended)
        graph = check(cuda, cuda.cudaGraphInstantiate(recorded, 0))
        check(cuda, cuda.cudaGraphDestroy(recorded))
        weakref.finalize(self, cuda.cudaGraphExecDestroy, graph)
        return graph

    def _synchronise(self) -> None:
        check(self._cuda, self._cuda.cudaStreamSynchronize(self._stream))


class _Buffer:
    """Memory of one tensor on the GPU and, pinned, on the host, where ``host`` is its array."""

    def __init__(self, cuda: Any, spec: TensorSpec) -> None:
        self.bytes = math.prod(spec.shape) * np.dtype(spec.dtype).itemsize
        self.device = check(cuda, cuda.cudaMalloc(self.bytes))
        weakref.finalize(self, cuda.cudaFree, self.device)
        self.pinned = check(cuda, cuda.cudaHostAlloc(self.bytes, 0))
        weakref.finalize(self, cuda.cudaFreeHost, self.pinned)
        memory = (ctypes.c_uint8 * self.bytes).from_address(int(self.pinned))
        self.host = np.ctypeslib.as_array(memory).view(spec.dtype).reshape(spec.shape)
        self.host[:] = 0


def _load(library: TensorRt, engine: Engine) -> tuple[Any, Any]:
    """TensorRT's engine, its tensors checked against the header, and a context of it."""
    key, trt = engine.key, library.module
    library.problems.clear()
    runtime = trt.Runtime(library.logger)
    native = runtime.deserialize_cuda_engine(engine.payload)
    if native is None:
        reason = library.problems[-1] if library.problems else "no reason given"
        raise EngineRefusedError(f"{key.flavour} {key.version} does not load its engine {key.file_name}: {reason}")
    found = set()
    for index in range(native.num_io_tensors):
        name = native.get_tensor_name(index)
        spec = TensorSpec(name, library.numpy_name(native.get_tensor_dtype(name)), tuple(native.get_tensor_shape(name)))
        found.add((native.get_tensor_mode(name) == trt.TensorIOMode.INPUT, spec))
    expected = {(True, spec) for spec in engine.inputs} | {(False, spec) for spec in engine.outputs}
    if found != expected:
        raise EngineRefusedError(f"the engine {key.file_name} has the tensors {found}, its header says {expected}")
    context = native.create_execution_context()
    if context is None:
        raise CudaError(f"no GPU memory left for {key.file_name}")
    return native, context
