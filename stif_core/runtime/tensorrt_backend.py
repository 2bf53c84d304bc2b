"""Backend on TensorRT or TensorRT-RTX."""

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stif_core.model.config import StifConfig
from stif_core.runtime.engine.builder import BuildOptions, build_engine, engine_key
from stif_core.runtime.engine.cache import cached_engine
from stif_core.runtime.engine.cuda import CudaError, check, current_gpu, load_cuda
from stif_core.runtime.engine.engine_file import Engine
from stif_core.runtime.engine.function import EngineFunction, EngineRefusedError
from stif_core.runtime.engine.graph import Graph, read_graphs
from stif_core.runtime.engine.library import Progress, TensorRt, find_library
from stif_core.runtime.engine.targets import Target, target_of
from stif_core.weights import ModelFiles

Log = Callable[[str], None]
PROGRESS_STEP = 0.1  # of a build, between two lines of the log


class TensorRtBackend:
    """Runs the engines on the GPU; see ``Backend``. The enhanced memory stays on the GPU until it changes."""

    name = "tensorrt"

    def __init__(
        self, config: StifConfig, memorize: EngineFunction, enhance: EngineFunction, track: EngineFunction
    ) -> None:
        """Raises ValueError when the engines are not those of a network with this configuration."""
        self.config = config
        self.precision = track.engine.key.precision
        self.batch: int | None = track.engine.key.batch
        self._memorize = memorize
        self._enhance = enhance
        self._track = track
        _check_shapes(config, memorize.engine, enhance.engine, track.engine)

    def memorize(self, image: NDArray[np.uint8], foreground: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._memorize({"image": image, "foreground": foreground})["feature"]

    def enhance(self, memory: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._enhance({"memory": memory})["enhanced"]

    def track(
        self, image: NDArray[np.uint8], enhanced: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        found = self._track({"image": image, "enhanced": enhanced})
        return found["score"], found["box"]


def load_tensorrt_backend(files: ModelFiles, log: Log, batch: int = 1) -> TensorRtBackend:
    """A backend on engines from the cache, or built now, which may take minutes (progress goes to the log).

    Args:
        files: The model; its ONNX files and its JSON file are needed.
        log: Takes lines for the user.
        batch: Crops that the engines take at once.

    Raises:
        ValueError: TensorRT, cuda-python or a GPU is missing, a file is missing or damaged, or TensorRT cannot build.
    """
    library = find_library()
    cuda = load_cuda()
    gpu = current_gpu(cuda)
    target = target_of(gpu, library)
    graphs = read_graphs(files)
    log(f"{library.flavour} {library.version} on {gpu.name} ({gpu.target}), {graphs[0].precision}")
    try:
        # Non-blocking: it does not wait for what others run on the default stream.
        stream = check(cuda, cuda.cudaStreamCreateWithFlags(cuda.cudaStreamNonBlocking))
        functions = [_function(library, cuda, graph, target, batch, stream, files, log) for graph in graphs]
    except CudaError as error:
        raise ValueError(f"cannot run '{files.name}' on the {gpu.name}: {error}") from None
    backend = TensorRtBackend(files.config(), *functions)
    weakref.finalize(backend, cuda.cudaStreamDestroy, stream)
    return backend


def _function(
    library: TensorRt, cuda: Any, graph: Graph, target: Target, batch: int, stream: Any, files: ModelFiles, log: Log
) -> EngineFunction:
    """One of the functions; an engine that TensorRT refuses, though its file is sound, is built again once."""

    def build() -> Engine:
        what = f"the TensorRT engine {graph.model}.{graph.name}"
        log(f"building {what} for {target.gpu or target.name}")
        return build_engine(library, graph, target, BuildOptions(batch), _progress_lines(what, log))

    def load(rebuild: bool) -> EngineFunction:
        engine = cached_engine(engine_key(library, graph, target, batch), files.folder, build, log, rebuild)
        return EngineFunction(library, cuda, engine, stream, log, kept=frozenset({"enhanced"}))

    try:
        return load(rebuild=False)
    except EngineRefusedError as error:
        log(f"{error}: building it again")
        return load(rebuild=True)


def _progress_lines(what: str, log: Log) -> Progress:
    """Turns the share that is done into a line of the log every tenth."""
    next_line = PROGRESS_STEP

    def report(share: float) -> None:
        nonlocal next_line
        if share >= next_line:
            log(f"building {what}: {share:.0%}")
            next_line = share + PROGRESS_STEP

    return report


def _check_shapes(config: StifConfig, memorize: Engine, enhance: Engine, track: Engine) -> None:
    """Raises ValueError unless the engines' tensors fit the configuration and each other."""
    size = config.crop_size
    inputs = {spec.name: spec.shape[1:] for spec in (*memorize.inputs, *enhance.inputs, *track.inputs)}
    feature = next(spec.shape[1:] for spec in memorize.outputs if spec.name == "feature")
    expected = {
        "image": (3, size, size),
        "foreground": (1, size, size),
        "memory": (config.memory_frames, *feature),
        "enhanced": (config.enhanced_frames, *feature),
    }
    if inputs != expected or feature[0] != config.channels:
        raise ValueError(
            f"the engines of '{memorize.key.model}' take {inputs}, the model's JSON file says {expected} "
            f"with {config.channels} channels: write the graphs again with 'stif export'"
        )
