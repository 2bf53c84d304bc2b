"""What an engine is built for: a GPU model, or with TensorRT-RTX every GPU of one compute capability."""

from dataclasses import dataclass

from stif_core.runtime.engine.cuda import Gpu
from stif_core.runtime.engine.library import TensorRt


@dataclass(frozen=True)
class Target:
    """``gpu`` is empty where the engine runs on every GPU of the compute capability."""

    name: str  # SM86
    gpu: str = ""


def parse_targets(text: str, library: TensorRt) -> list[Target]:
    """``SM86,SM89`` as targets, without repetitions.

    Raises:
        ValueError: The library builds only for the GPU at hand, or does not know one of them.
    """
    if not library.targets:
        raise ValueError(
            f"--target needs TensorRT-RTX: {library.flavour} {library.version} builds on the device that runs the "
            "engine. Leave --target out there, or pip install tensorrt-rtx-cu12-libs tensorrt-rtx-cu12-bindings"
        )
    names = [name.strip().upper() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in library.targets]
    if unknown or not names:
        raise ValueError(
            f"unknown target '{', '.join(unknown)}': TensorRT-RTX {library.version} builds for "
            f"{', '.join(library.targets)}; other GPUs, Jetson among them, need tensorrt on the device itself"
        )
    return [Target(name) for name in dict.fromkeys(names)]


def target_of(gpu: Gpu, library: TensorRt) -> Target:
    """What to build for, so that this GPU runs it.

    Raises:
        ValueError: TensorRT-RTX does not support the GPU.
    """
    if library.flavour == "tensorrt":
        return Target(gpu.target, gpu.name)
    if gpu.target not in library.targets:
        raise ValueError(
            f"TensorRT-RTX {library.version} does not support the {gpu.name} ({gpu.target}), only "
            f"{', '.join(library.targets)}: install tensorrt"
        )
    return Target(gpu.target)
