"""Finds TensorRT or TensorRT-RTX, and hides in what their versions differ.

``tensorrt`` 8.6 is weakly typed and tells no progress; 10 is strongly typed on demand, 11 always. ``tensorrt_rtx``
shares their interface and builds for GPUs that are not there.
"""

import importlib
import importlib.util
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Flavour = Literal["tensorrt", "tensorrt_rtx"]
# The wheel tensorrt-rtx-*-bindings alone brings the second module of TensorRT-RTX, without the first.
MODULES: dict[Flavour, tuple[str, ...]] = {
    "tensorrt": ("tensorrt",),
    "tensorrt_rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings"),
}
INSTALL: dict[Flavour, str] = {
    "tensorrt": "tensorrt (on a Jetson: apt install python3-libnvinfer; else pip install 'stif_core[tensorrt]')",
    "tensorrt_rtx": "tensorrt_rtx (pip install tensorrt-rtx-cu12-libs tensorrt-rtx-cu12-bindings)",
}
Progress = Callable[[float], None]  # called with the share that is done, 0 to 1


@dataclass(frozen=True)
class TensorRt:
    """One of the two libraries as it is installed. ``problems`` holds its latest warnings and errors."""

    module: Any
    flavour: Flavour
    version: str
    logger: Any
    problems: deque[str] = field(default_factory=deque)

    @property
    def targets(self) -> tuple[str, ...]:
        """Compute capabilities for which it builds without such a GPU, as ``SM86``; none for ``tensorrt``."""
        capabilities = getattr(self.module, "ComputeCapability", None)
        names = [name for name in getattr(capabilities, "__members__", {}) if name.startswith("SM")]
        return tuple(sorted(names, key=lambda name: int(name[2:])))

    @property
    def strongly_typed(self) -> bool:
        """Whether it takes every precision from the graph; otherwise the builder allows lower ones by flags."""
        return hasattr(self.module.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")

    def create_network(self, builder: Any) -> Any:
        flags = self.module.NetworkDefinitionCreationFlag
        # TensorRT 8 has to be told that the batch is a dimension like others; later versions know nothing else.
        flag = flags.STRONGLY_TYPED if self.strongly_typed else flags.EXPLICIT_BATCH
        return builder.create_network(1 << int(flag))

    def allow_precision(self, network: Any, config: Any, precision: str) -> None:
        """Keeps a weakly typed TensorRT (8.6) at the precisions that the graph has; nothing to do for others."""
        if self.strongly_typed or precision == "fp32":
            return
        flags, types = self.module.BuilderFlag, self.module.DataType
        if precision == "int8":  # the Q/DQ nodes say where; the rest stays in fp32
            config.set_flag(flags.INT8)
            return
        config.set_flag(flags.FP16)
        config.set_flag(flags.PREFER_PRECISION_CONSTRAINTS)
        for index in range(network.num_layers):
            layer = network.get_layer(index)
            # Softmax, exp and box decoding stay in fp32.
            if layer.num_outputs and layer.get_output(0).dtype == types.FLOAT:
                layer.precision = types.FLOAT

    def report_progress(self, config: Any, progress: Progress) -> None:
        """Passes on how far a build is, where the version tells (``tensorrt`` 10 and later, ``tensorrt_rtx``)."""
        if hasattr(self.module, "IProgressMonitor"):
            config.progress_monitor = _monitor(self.module, progress)

    def numpy_name(self, data_type: Any) -> str:
        """The name of numpy's type for one of the library's: ``uint8``, ``float16``, ``float32``."""
        return self.module.nptype(data_type)(0).dtype.name


def find_library(flavour: Flavour | None = None) -> TensorRt:
    """The library of this flavour; without one ``tensorrt``, or else ``tensorrt_rtx``.

    Raises:
        ValueError: It is not installed, or cannot be imported.
    """
    flavours: list[Flavour] = [flavour] if flavour else ["tensorrt", "tensorrt_rtx"]
    for candidate in flavours:
        for name in MODULES[candidate]:
            if importlib.util.find_spec(name) is not None:
                return _load(name, candidate)
    raise ValueError(f"TensorRT is not installed: needs the package {' or '.join(INSTALL[name] for name in flavours)}")


def _load(name: str, flavour: Flavour) -> TensorRt:
    try:
        module = importlib.import_module(name)
    except (ImportError, OSError) as error:  # its shared libraries are missing
        raise ValueError(f"the package {name} is installed but cannot be loaded: {error}") from None
    problems: deque[str] = deque(maxlen=100)
    return TensorRt(module, flavour, module.__version__, _logger(module, problems), problems)


def _logger(trt: Any, problems: deque[str]) -> Any:
    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= int(trt.ILogger.Severity.WARNING):
                problems.append(message)

    return Logger()


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0
    running: str | None = None  # the phase inside it that started last


class PhaseTree:
    """Adds up a build's nested phases to one share that never goes back."""

    def __init__(self, progress: Progress) -> None:
        self._phases: dict[str, _Phase] = {}
        self._progress = progress
        self._reported = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        self._phases[name] = _Phase(parent, max(1, steps))
        if parent in self._phases:
            self._phases[parent].running = name

    def step(self, name: str, step: int) -> None:
        if name in self._phases:
            self._phases[name].done = step + 1
            self._report()

    def finish(self, name: str) -> None:
        phase = self._phases.pop(name, None)
        if phase and phase.parent in self._phases:
            self._phases[phase.parent].running = None

    def _report(self) -> None:
        share = max((self._share(name) for name, phase in self._phases.items() if not phase.parent), default=0.0)
        if share > self._reported:
            self._reported = share
            self._progress(share)

    def _share(self, name: str) -> float:
        phase = self._phases[name]
        inner = self._share(phase.running) if phase.running in self._phases else 0.0
        return min(1.0, (phase.done + inner) / phase.steps)


def _monitor(trt: Any, progress: Progress) -> Any:
    tree = PhaseTree(progress)

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            tree.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            tree.step(phase_name, step)
            return True  # go on

        def phase_finish(self, phase_name: str) -> None:
            tree.finish(phase_name)

    return Monitor()
