"""The data sets of a training configuration, as a LightningDataModule."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2
import torch
from lightning.pytorch import LightningDataModule
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, default_collate

from stif_core.data.datasets import BALANCE, Roots, read_data
from stif_core.data.folder import read_clip_list
from stif_core.data.on_device import draw_batch
from stif_core.data.picture_store import PictureStore, pictures_of
from stif_core.data.plan_tensors import PlanPacker
from stif_core.data.planner import SamplePlanner, SampleSettings
from stif_core.data.samples import SampleDataset
from stif_core.data.sources import TrackSource
from stif_core.data.track_index import TrackIndex
from stif_core.evaluation.sequences import Sequence
from stif_core.evaluation.validation import read_validation


class StepSampler(Sampler[list[int]]):
    """Batches of sample indices that depend on the training step alone, so that a resumed run sees what it would have.

    Step s consists of samples s * B to (s + 1) * B; of these each of the W ranks takes B / W that lie together.
    """

    def __init__(self, batch_size: int, rank: int, world_size: int, length: int, step: Callable[[], int]) -> None:
        """``length`` batches from ``step()`` on, which is asked when an epoch begins."""
        self.batch_size = batch_size
        self.part = batch_size // world_size
        self.offset = rank * self.part
        self.length = length
        self.step = step

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[list[int]]:
        first = self.step()
        for step in range(first, first + self.length):
            start = step * self.batch_size + self.offset
            yield list(range(start, start + self.part))


@dataclass(frozen=True)
class StoreSettings:
    """What of the data set is kept where the training runs."""

    gigabytes: float = 20.0  # what all pictures and masks may take, of each rank
    side: int = 512  # pixels; pictures with a longer side are made smaller


class TrackingDataModule(LightningDataModule):
    """Draws training samples from several data sets, and tracks on clips that are kept out of training."""

    def __init__(
        self,
        ratios: dict[str, float],
        roots: Roots = Roots(),
        rendered: float = 0.0,
        sampling: SampleSettings = SampleSettings(),
        crop_size: int = 256,
        memory_frames: int = 1,
        batch_size: int = 32,
        steps_per_epoch: int = 400,
        workers: int = 1,
        kept_gigabytes: float = 3.0,
        read_ahead: bool = False,
        draw_on: Literal["loader", "device"] = "loader",
        store: StoreSettings = StoreSettings(),
        validation_clips: Path | None = None,
        got10k_exclude: Path | None = None,
        cache: Path | None = None,
        seed: int = 0,
    ) -> None:
        """Reads nothing yet.

        Args:
            ratios: Data set -> how many of the samples come from it, in any unit.
            roots: Where they lie.
            rendered: The same for clips rendered from masked objects.
            sampling: How samples are drawn.
            crop_size: Side of the crops; taken from the network.
            memory_frames: T, memory frames of a sample.
            batch_size: Of all ranks together; even on each.
            steps_per_epoch: Training steps between two validations.
            workers: Loader processes of each rank.
            kept_gigabytes: Decoded images that each of them keeps.
            read_ahead: Decode that much of the data sets before the training begins. The loader processes of a rank
                share it; where the data sets are larger each then keeps as much again of its own.
            draw_on: ``loader``: its processes draw the crops; ``device``: the device that trains draws them, and keeps
                the whole data set, so that a GPU need not wait for CPUs. JPEG is then left out of the augmentation.
            store: What is kept there.
            validation_clips: List of clips below the root of ``folder`` to validate on; kept out of training.
            got10k_exclude: List of GOT-10k videos that are left out.
            cache: Folder for the indices of large data sets; default: ~/.cache/stif.
            seed: Another one draws other samples.

        Raises:
            ValueError: A data set is unknown, has no root, or is not there.
        """
        super().__init__()
        self.ratios = ratios
        self.roots = roots
        self.rendered = rendered
        self.sampling = sampling
        self.crop_size = crop_size
        self.memory_frames = memory_frames
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch
        self.workers = workers
        self.kept_bytes = int(kept_gigabytes * 1e9)
        self.read_ahead = read_ahead
        self.draw_on = draw_on
        self.store_settings = store
        self.store: PictureStore | None = None
        self.packer: PlanPacker | None = None
        self.validation_clips = validation_clips
        self.got10k_exclude = got10k_exclude
        self.cache = cache
        self.seed = seed
        self.validation: list[Sequence] = []

    def held_out(self) -> set[str]:
        """Clips of ``folder`` that are kept for validation. Raises ValueError when their list is missing."""
        return read_clip_list(self.validation_clips) if self.validation_clips else set()

    def check_shares(self) -> None:
        """Raises ValueError when nothing could be drawn by these ratios."""
        shares = [*self.ratios.values(), self.rendered]
        if min(shares) < 0 or sum(shares) <= 0:
            raise ValueError("data.ratios and data.rendered must not be negative, nor 0 all together")

    def source(self, index: TrackIndex) -> TrackSource:
        """Draws from a data set by the sampling settings. Raises ValueError as ``TrackSource``."""
        balance = BALANCE.get(index.name, 1.0)
        return TrackSource(index, balance, self.sampling.smallest_side, self.sampling.largest_aspect)

    def samples(
        self, sources: list[TrackSource], ratios: list[float], rendered: float, backgrounds: list[Path]
    ) -> SampleDataset:
        """Training samples of these sources. Raises ValueError as ``SamplePlanner``."""
        return SampleDataset(
            SamplePlanner(
                sources,
                ratios,
                rendered,
                backgrounds,
                self.sampling,
                self.crop_size,
                self.memory_frames,
                self.seed,
                self.kept_bytes,
            )
        )

    def setup(self, stage: str) -> None:
        held_out = self.held_out()
        world_size = self.trainer.world_size if self.trainer else 1
        if self.trainer and self.trainer.accumulate_grad_batches != 1:
            raise ValueError("--trainer.accumulate_grad_batches must be 1: the samples depend on the optimiser's step")
        self.check_shares()
        if self.batch_size % (2 * world_size):
            raise ValueError(f"the batch of {self.batch_size} must be even on each of {world_size} processes")
        data = read_data(self.ratios, self.roots, held_out, self.got10k_exclude, self.cache)
        sources = [self.source(index) for index in data.indices]
        self.dataset = self.samples(sources, list(self.ratios.values()), self.rendered, data.backgrounds)
        if held_out:
            self.validation = read_validation(self.roots.of("folder_videos"), held_out)
        if stage == "fit" and (self.draw_on == "device" or self.read_ahead):
            self._read(pictures_of(data.indices, data.backgrounds))

    def _read(self, pictures: list[tuple[Path, Path | None]]) -> None:
        """Decodes the data set before the training begins."""
        show = partial(
            track, description="reading the data set", disable=bool(self.trainer and self.trainer.global_rank)
        )
        if self.draw_on == "device":
            device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
            settings = self.store_settings
            self.store = PictureStore(show(pictures), settings.side, int(settings.gigabytes * 1e9), device)
            self.packer = PlanPacker(self.store, self.crop_size)
        else:
            for _ in show(self.dataset.planner.images.read_ahead(pictures), total=len(pictures)):
                pass

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Draws the crops, where the loader gave their plans alone."""
        if self.store is None or not isinstance(batch, dict):  # or the number of a validation clip
            return batch
        return draw_batch(batch, self.store, self.crop_size)

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        trainer = self.trainer
        assert trainer is not None
        sampler = StepSampler(
            self.batch_size,
            trainer.global_rank,
            trainer.world_size,
            self.steps_per_epoch,
            lambda: trainer.global_step,
        )
        return DataLoader(
            self.dataset if self.packer is None else self.dataset.planner,  # type: ignore[arg-type]
            batch_sampler=sampler,
            num_workers=self.workers,
            prefetch_factor=4 if self.workers else None,
            collate_fn=channels_last if self.packer is None else self.packer,
            worker_init_fn=_use_one_thread,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.workers > 0,  # they keep what they decoded
            multiprocessing_context="fork" if self.workers and self.read_ahead else None,  # they share what was decoded
        )

    def val_dataloader(self) -> DataLoader[int]:
        """Numbers of the validation clips that this rank tracks on; -1 for none, so that all ranks take equal steps."""
        trainer = self.trainer
        assert trainer is not None
        count = len(self.validation)
        numbers = [*range(count), *([-1] * (-count % trainer.world_size))]
        return DataLoader(numbers[trainer.global_rank :: trainer.world_size], batch_size=None)  # type: ignore[arg-type]


def channels_last(samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """A batch of samples; its images, (..., 3, S, S), lie in memory with the channels last, as the network does."""
    images = ("memory", "query")
    samples = [sample | {name: sample[name].movedim(-3, -1) for name in images} for sample in samples]
    batch = default_collate(samples)
    return batch | {name: batch[name].movedim(-1, -3) for name in images}


def _use_one_thread(worker: int) -> None:
    """Loader processes run beside the training threads: OpenCV's own threads would fight them."""
    cv2.setNumThreads(0)
