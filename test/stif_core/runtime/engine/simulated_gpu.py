"""A CUDA runtime and a TensorRT that compute on the host: they show that the backend copies, records and frees right.

Device memory is host memory, a stream runs at once unless it records, and an "engine" is an ONNX graph, run by ONNX
Runtime on the addresses that it was given. Nothing here says how a real GPU behaves.
"""

import ctypes
from collections import Counter
from types import SimpleNamespace

import numpy as np

from stif_core.runtime.engine.engine_file import Engine, EngineKey, TensorSpec
from stif_core.runtime.engine.library import TensorRt
from stif_core.runtime.onnx_backend import open_session

INPUT, OUTPUT = "input", "output"


class SimulatedCuda:
    """The functions of ``cuda.bindings.runtime`` that the backend calls, for a GPU of compute capability 8.6."""

    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice="upload", cudaMemcpyDeviceToHost="download")  # noqa: N815
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)  # noqa: N815
    cudaStreamNonBlocking = 1  # noqa: N815

    def __init__(self, count: int = 1, records: bool = True) -> None:
        self.count, self.records = count, records
        self.memory: dict[int, ctypes.Array] = {}
        self.calls: Counter[str] = Counter()
        self.recording: list | None = None

    def do(self, name: str, step) -> None:
        """Runs a step of the stream now, or when the graph that records it is launched."""
        if self.recording is None:
            self.calls[name] += 1
            step()
        else:
            self.recording.append((name, step))

    def __getattr__(self, name: str):
        functions = {
            "cudaGetDeviceCount": lambda: (0, self.count),
            "cudaGetDeviceProperties": lambda _: (0, SimpleNamespace(name=b"Simulated GPU\0\0", major=8, minor=6)),
            "cudaGetErrorString": lambda error: (0, f"simulated error {error}".encode()),
            "cudaStreamCreateWithFlags": lambda _: (0, 7),
            "cudaStreamDestroy": lambda _: (0,),
            "cudaStreamSynchronize": lambda _: (0,),
            "cudaMalloc": self._allocate,
            "cudaHostAlloc": lambda size, _: self._allocate(size),
            "cudaFree": self._free,
            "cudaFreeHost": self._free,
            "cudaGraphDestroy": lambda _: (0,),
            "cudaGraphExecDestroy": lambda _: (0,),
            "cudaGraphInstantiate": lambda graph, _: (0, graph),
        }
        if name not in functions:
            raise AttributeError(name)
        return functions[name]

    def _allocate(self, size: int):
        memory = (ctypes.c_uint8 * size)()
        self.memory[ctypes.addressof(memory)] = memory
        return 0, ctypes.addressof(memory)

    def _free(self, address: int):
        del self.memory[address]
        return (0,)

    def cudaMemcpyAsync(self, target, source, size, kind, stream):  # noqa: N802
        self.do(kind, lambda: ctypes.memmove(target, source, size))
        return (0,)

    def cudaStreamBeginCapture(self, stream, mode):  # noqa: N802
        if not self.records:
            return (900,)
        self.recording = []
        return (0,)

    def cudaStreamEndCapture(self, stream):  # noqa: N802
        graph, self.recording = self.recording, None
        return 0, graph

    def cudaGraphLaunch(self, graph, stream):  # noqa: N802
        self.calls["launch"] += 1
        for name, step in graph:
            self.do(name, step)
        return (0,)


class _Context:
    def __init__(self, engine) -> None:
        self.engine, self.addresses = engine, {}

    def set_tensor_address(self, name, address) -> None:
        self.addresses[name] = address

    def execute_async_v3(self, stream) -> bool:
        self.engine.cuda.do("execute", self._execute)
        return True

    def _array(self, spec: TensorSpec):
        size = int(np.prod(spec.shape)) * np.dtype(spec.dtype).itemsize
        memory = (ctypes.c_uint8 * size).from_address(self.addresses[spec.name])
        return np.ctypeslib.as_array(memory).view(spec.dtype).reshape(spec.shape)

    def _execute(self) -> None:
        inputs, outputs = self.engine.inputs, self.engine.outputs
        found = self.engine.session.run([o.name for o in outputs], {i.name: self._array(i) for i in inputs})
        for spec, value in zip(outputs, found, strict=True):
            self._array(spec)[:] = value


class _NativeEngine:
    def __init__(self, cuda, session, batch: int) -> None:
        self.cuda, self.session = cuda, session
        self.inputs = tuple(_spec(value, batch) for value in session.get_inputs())
        self.outputs = tuple(_spec(value, batch) for value in session.get_outputs())
        self._all = [*self.inputs, *self.outputs]
        self.num_io_tensors = len(self._all)

    def get_tensor_name(self, index):
        return self._all[index].name

    def get_tensor_dtype(self, name):
        return next(np.dtype(spec.dtype).type for spec in self._all if spec.name == name)

    def get_tensor_shape(self, name):
        return next(spec.shape for spec in self._all if spec.name == name)

    def get_tensor_mode(self, name):
        return INPUT if name in [spec.name for spec in self.inputs] else OUTPUT

    def create_execution_context(self):
        return _Context(self)


def _spec(value, batch: int) -> TensorSpec:
    dtype = {"tensor(uint8)": "uint8", "tensor(float)": "float32", "tensor(float16)": "float16"}[value.type]
    shape = tuple(value.shape[1:])
    if not all(isinstance(size, int) for size in shape):  # ONNX leaves the shape of the boxes open
        shape = (256, 4)
    return TensorSpec(value.name, dtype, (batch, *shape))


def simulated_library(cuda: SimulatedCuda, batch: int = 1, refused: int = 0) -> TensorRt:
    """A TensorRT whose engines are ONNX graphs; it refuses to load the first ``refused`` of them."""
    left = [refused]

    class Runtime:
        def __init__(self, logger) -> None:
            pass

        def deserialize_cuda_engine(self, payload):
            if left[0]:
                left[0] -= 1
                return None
            return _NativeEngine(cuda, open_session(payload, 1, "simulated"), batch)

    module = SimpleNamespace(
        Runtime=Runtime, TensorIOMode=SimpleNamespace(INPUT=INPUT, OUTPUT=OUTPUT), nptype=lambda dtype: dtype
    )
    return TensorRt(module, "tensorrt", "10.13.3", logger=None)


def simulated_engine(key: EngineKey, content: bytes) -> Engine:
    native = _NativeEngine(None, open_session(content, 1, "simulated"), key.batch)
    return Engine(key, native.inputs, native.outputs, content)
