"""Peaks of NVIDIA's Jetson modules, and what one track would take at them: estimated, never measured."""

from dataclasses import dataclass, replace

from stif_core.runtime.graph_check import graph_costs
from stif_core.weights import ModelFiles


@dataclass(frozen=True)
class Board:
    """A module's GPU at its highest clock, without DLA; dense figures, half of what data sheets call sparse.

    Attributes:
        name: Module.
        fp16, int8: 1e12 multiply-accumulates a second, which are half the operations of the sheet.
        bandwidth: Memory, 1e9 bytes a second.
        source: Where the figures come from.
    """

    name: str
    fp16: float
    int8: float
    bandwidth: float
    source: str


# Tensor cores of Orin do 512 int8 multiply-accumulates a clock each (85 dense TOPS from 64 of them at 1.3 GHz).
BOARDS = (
    Board("Orin Nano 8 GB (Super)", 8.4, 16.7, 102, "67 sparse TOPS, 102 GB/s: Jetson Orin Nano Super product page"),
    Board("Orin NX 16 GB", 7.5, 15.0, 102.4, "32 tensor cores at 918 MHz, 102.4 GB/s: Jetson Orin NX data sheet"),
    Board("AGX Orin 64 GB", 21.3, 42.5, 204.8, "170 sparse TOPS of the GPU, 204.8 GB/s: AGX Orin technical brief"),
    Board("Thor T5000", 129.0, 258.0, 273, "2070 sparse FP4 TFLOPS, an eighth of it fp16, 273 GB/s: Jetson Thor page"),
)


@dataclass(frozen=True)
class Estimate:
    """What one track would take at a board's peaks, microseconds: estimated, never measured.

    Attributes:
        board: Module.
        fp16_compute, int8_compute: All multiply-accumulates at the peak rate.
        fp16_memory, int8_memory: Parameters read, and what layers put out written and read again; caches and fused
            layers save a part of it.
    """

    board: Board
    fp16_compute: float
    fp16_memory: float
    int8_compute: float
    int8_memory: float


def roofline(files: ModelFiles) -> list[Estimate]:
    """Estimates for every board. Raises ValueError when the model has no fp32 graphs that say what they cost."""
    costs = graph_costs(replace(files, precision="fp32"))["track"]
    numbers = costs.parameters + 2 * costs.activations
    return [
        Estimate(
            board,
            costs.multiply_accumulates / board.fp16 / 1e6,
            2 * numbers / board.bandwidth / 1e3,
            costs.multiply_accumulates / board.int8 / 1e6,
            numbers / board.bandwidth / 1e3,
        )
        for board in BOARDS
    ]
