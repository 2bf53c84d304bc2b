"""The CUDA runtime through NVIDIA's cuda-python, and the GPU that is there."""

import importlib
from dataclasses import dataclass
from typing import Any

INSTALL = "pip install cuda-python, of the CUDA version that the driver has"


class CudaError(RuntimeError):
    """A call of the CUDA runtime failed."""


@dataclass(frozen=True)
class Gpu:
    """The first GPU that CUDA shows; CUDA_VISIBLE_DEVICES picks another."""

    name: str
    target: str  # its compute capability, as SM87


def load_cuda() -> Any:
    """The module ``cuda.bindings.runtime``; its functions return an error and then their values, see ``check``.

    Raises:
        ValueError: cuda-python is not installed or cannot be loaded.
    """
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except ModuleNotFoundError:
        raise ValueError(f"TensorRT needs the package cuda-python: {INSTALL}") from None
    except (ImportError, OSError) as error:
        raise ValueError(f"the package cuda-python cannot be loaded: {error}") from None


def check(cuda: Any, result: tuple[Any, ...]) -> Any:
    """The value of a call, None when it has none. Raises CudaError."""
    error, *values = result
    if int(error) != 0:
        _, text = cuda.cudaGetErrorString(error)
        raise CudaError(f"CUDA error {int(error)}: {text.decode() if isinstance(text, bytes) else text}")
    return values[0] if values else None


def current_gpu(cuda: Any) -> Gpu:
    """The GPU that engines run on.

    Raises:
        ValueError: There is none, or its driver is missing or too old.
    """
    try:
        count = check(cuda, cuda.cudaGetDeviceCount())
        if not count:
            raise CudaError("CUDA shows no device")
        properties = check(cuda, cuda.cudaGetDeviceProperties(0))
    except RuntimeError as error:  # CudaError; versions before 12.9 raise one of their own without a driver
        raise ValueError(f"TensorRT needs an NVIDIA GPU with its driver, and found none ({error})") from None
    return Gpu(properties.name.split(b"\0")[0].decode(), f"SM{properties.major}{properties.minor}")
