"""Whether tracking takes more memory the longer it lasts: ``stif benchmark memory``."""

import gc
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import psutil
from numpy.typing import NDArray

from stif_core.evaluation.inference_benchmark import to_and_fro
from stif_core.geometry import FloatArray
from stif_core.tracking import Tracker

POINTS = 10


@dataclass(frozen=True)
class Usage:
    """After some frames: resident memory of the process, and what Python and numpy have allocated; megabytes."""

    frame: int
    resident: float
    heap: float


def measure_memory(
    tracker: Tracker,
    images: list[NDArray[np.uint8]],
    box: FloatArray,
    frames: int,
    advance: Callable[[], None] = lambda: None,
) -> list[Usage]:
    """Tracks so many frames of a clip that is played to and fro, and looks POINTS times.

    Args:
        tracker: Any.
        images: (H, W, 3) uint8 BGR.
        box: The target in the first image, xywh.
        frames: At least POINTS.
        advance: Called after each look.

    Raises:
        ValueError: Too few frames.
    """
    if frames < POINTS:
        raise ValueError(f"at least {POINTS} frames are needed, got {frames}")
    process = psutil.Process()
    order = to_and_fro(len(images))
    tracker.init(images[0], box)
    usage: list[Usage] = []
    tracemalloc.start()
    try:
        for frame in range(1, frames + 1):
            tracker.track(images[next(order)])
            if frame * POINTS // frames > len(usage):
                gc.collect()
                heap = tracemalloc.get_traced_memory()[0]
                usage.append(Usage(frame, process.memory_info().rss / 1e6, heap / 1e6))
                advance()
    finally:
        tracemalloc.stop()
    return usage
