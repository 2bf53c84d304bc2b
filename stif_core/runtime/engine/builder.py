"""Builds an engine from an exported graph, with any of the TensorRT versions of ``library``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stif_core.files import write_whole
from stif_core.runtime.engine.engine_file import Engine, EngineKey, TensorSpec
from stif_core.runtime.engine.graph import Graph
from stif_core.runtime.engine.library import Progress, TensorRt
from stif_core.runtime.engine.targets import Target
from stif_core.runtime.engine.turing import without_fp32_products


@dataclass(frozen=True)
class BuildOptions:
    """What may be asked of the builder; None leaves a value to TensorRT."""

    batch: int = 1
    workspace_mb: int | None = None  # memory that a layer may use while it runs
    optimization_level: int | None = None  # 0 (quick build) to 5 (fast engine)
    timing_cache: Path | None = None  # read, and written again: a second build is quicker


def engine_key(library: TensorRt, graph: Graph, target: Target, batch: int) -> EngineKey:
    return EngineKey(
        graph.model,
        graph.name,
        graph.sha256,
        library.flavour,
        library.version,
        target.name,
        target.gpu,
        graph.precision,
        batch,
    )


def build_engine(
    library: TensorRt,
    graph: Graph,
    target: Target,
    options: BuildOptions | None = None,
    progress: Progress = lambda share: None,
) -> Engine:
    """An engine with static shapes and the precisions that the graph has.

    Args:
        library: TensorRT, which must run on the GPU that is the target; TensorRT-RTX needs no GPU.
        graph: What to build.
        target: What to build it for.
        options: Batch and limits.
        progress: Called with the share that is done, where the version tells it.

    Raises:
        ValueError: TensorRT cannot build it, with its own words, or an option is not for this library.
    """
    options = options or BuildOptions()
    if options.timing_cache and library.flavour == "tensorrt_rtx":
        raise ValueError("TensorRT-RTX times nothing while it builds: leave --timing-cache out")
    if target.name == "SM75" and library.flavour == "tensorrt_rtx":
        if options.batch != 1:
            raise ValueError("engines for SM75 are built for a batch of 1 alone")
        content = without_fp32_products(graph)
    else:
        content = graph.path.read_bytes()

    library.problems.clear()
    trt = library.module
    builder = trt.Builder(library.logger)
    network = library.create_network(builder)
    parser = trt.OnnxParser(network, library.logger)
    if not parser.parse(content):
        raise _error(library, graph, target)
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if tensor.shape[0] not in (-1, options.batch):
            raise ValueError(
                f"{graph.path} takes {tensor.shape[0]} crops at a time, not {options.batch}: build with that --batch, "
                "or write it with 'stif export --batch dynamic'"
            )
        # Static shapes: TensorRT-RTX makes an engine of a fifth of the size that a profile for a single batch gives.
        tensor.shape = (options.batch, *tuple(tensor.shape)[1:])
    config = builder.create_builder_config()
    library.allow_precision(network, config, graph.precision)
    library.report_progress(config, progress)
    if options.workspace_mb is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mb << 20)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.timing_cache:
        measured = options.timing_cache.read_bytes() if options.timing_cache.exists() else b""
        config.set_timing_cache(config.create_timing_cache(measured), ignore_mismatch=False)
    if library.flavour == "tensorrt_rtx":
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, target.name), 0)
    payload = builder.build_serialized_network(network, config)
    if payload is None:
        raise _error(library, graph, target)
    if options.timing_cache:
        write_whole(options.timing_cache, bytes(config.get_timing_cache().serialize()))
    progress(1.0)
    return Engine(
        engine_key(library, graph, target, options.batch),
        tuple(_spec(library, network.get_input(i)) for i in range(network.num_inputs)),
        tuple(_spec(library, network.get_output(i)) for i in range(network.num_outputs)),
        bytes(payload),
    )


def _spec(library: TensorRt, tensor: Any) -> TensorSpec:
    return TensorSpec(tensor.name, library.numpy_name(tensor.dtype), tuple(tensor.shape))


def _error(library: TensorRt, graph: Graph, target: Target) -> ValueError:
    reason = library.problems[-1] if library.problems else "no reason given"
    return ValueError(f"{library.flavour} {library.version} cannot build {graph.path} for {target.name}: {reason}")
