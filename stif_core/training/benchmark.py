"""How fast training is, and what the loader costs: ``stif benchmark train``."""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import active_children
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from stif_core.training.cli import OPTIONS, StifCli
from stif_core.training.data_module import TrackingDataModule
from stif_core.training.module import StifTraining

BLOCKS = 6
BLOCK_STEPS = 30
SETTLING_STEPS = 8  # left out of every block: what was prefetched meanwhile, and compilation in the first two


@dataclass(frozen=True)
class TrainingSpeed:
    """Medians over blocks that alternate within one training.

    Attributes:
        real: Samples a second with the real loader.
        cached: With one batch again and again.
        memory: Largest resident memory of the training process, and of a loader process, in bytes.
    """

    real: float
    cached: float
    memory: tuple[int, int]

    @property
    def loader_cost(self) -> float:
        """Share of the training time that the loader takes."""
        return 1 - self.real / self.cached


class AlternatingLoader:
    """Blocks of real batches and of one cached batch in turn."""

    def __init__(self, loader: DataLoader[dict[str, Tensor]]) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return BLOCKS * BLOCK_STEPS

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        batches = iter(self.loader)
        cached = next(batches)
        for step in range(len(self)):
            yield cached if step // BLOCK_STEPS % 2 else next(batches)


class AlternatingDataModule(TrackingDataModule):
    """The configuration's data, without validation."""

    _steps = 0
    _cached: Any = None

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Draws the cached batch once, where crops are drawn on the device."""
        block = self._steps // BLOCK_STEPS
        self._steps += 1
        if block % 2:
            return self._cached
        batch = super().on_after_batch_transfer(batch, dataloader_idx)
        if self._cached is None:
            self._cached = batch
        return batch

    def train_dataloader(self) -> Any:
        self.steps_per_epoch = BLOCKS * BLOCK_STEPS + 1
        return AlternatingLoader(super().train_dataloader())


class Stopwatch(Callback):
    """Notes when every step ended."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.loader_memory = 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self.times.append(time.perf_counter())
        if len(self.times) == BLOCKS * BLOCK_STEPS:
            self.loader_memory = max((largest_memory(child.pid) for child in active_children()), default=0)


def measure(arguments: list[str]) -> TrainingSpeed:
    """Trains for some steps with the options of ``stif train fit``; nothing of it is kept.

    Raises:
        ValueError: As for ``train``.
    """
    stopwatch = Stopwatch()
    with tempfile.TemporaryDirectory() as out:

        class Benchmark(StifCli):
            def instantiate_trainer(self, **kwargs: Any) -> Trainer:
                trainer = super().instantiate_trainer(**kwargs)
                trainer.callbacks.append(stopwatch)  # type: ignore[attr-defined]
                return trainer

        steps = ["--trainer.max_steps", str(BLOCKS * BLOCK_STEPS), "--trainer.limit_val_batches", "0"]
        quiet = ["--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false", "--out", out]
        cli = Benchmark(StifTraining, AlternatingDataModule, args=["fit", *arguments, *steps, *quiet], **OPTIONS)
    batch = cli.datamodule.batch_size
    memory = (largest_memory(os.getpid()), stopwatch.loader_memory)
    return TrainingSpeed(*samples_a_second(stopwatch.times, batch), memory)


def samples_a_second(times: list[float], batch: int) -> tuple[float, float]:
    """Medians over the blocks of real batches, and over those of the cached one.

    Args:
        times: When each step ended, in seconds.
        batch: Samples of a step.
    """
    rates: tuple[list[float], list[float]] = ([], [])
    for block in range(BLOCKS):
        first, last = block * BLOCK_STEPS + SETTLING_STEPS, (block + 1) * BLOCK_STEPS - 1
        rates[block % 2].append((last - first) * batch / (times[last] - times[first]))
    return statistics.median(rates[0]), statistics.median(rates[1])


def largest_memory(pid: int | None) -> int:
    """Largest resident memory that a process has had, in bytes (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024
