"""A plain training loop for one machine: ``python -m stif_core.training.train --help``.

Recipe of ``nano``: a trunk trained for tracking, frozen at first; AdamW, warm-up, cosine to zero, averaged weights.
"""

import csv
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import torch
import typer
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from stif_core.cli import user_errors
from stif_core.data.folder import read_clip_list, read_folder
from stif_core.data.pairs import PairDataset, PairSettings
from stif_core.model.config import VARIANTS, StifConfig
from stif_core.model.head import HeadOutput
from stif_core.model.losses import LossWeights, Targets, assign_targets, stif_loss
from stif_core.model.stif import Stif, load_state


@dataclass(frozen=True)
class Schedule:
    """Optimisation settings; defaults are those of ``nano`` with a frozen trunk."""

    steps: int = 3300
    batch: int = 32
    rate: float = 1.5e-3
    trunk_rate: float = 0.0  # 0: the trunk is frozen
    weight_decay: float = 0.05
    warm_up: int = 200
    clip_norm: float = 5.0
    average: float = 0.998  # decay of the averaged weights
    seed: int = 0


LOSS_WEIGHTS = LossWeights(centreness=0.5, box=1.5)
CHECKPOINT_EVERY = 200
LOG_EVERY = 50


def parameter_groups(model: Stif, schedule: Schedule) -> list[dict[str, Any]]:
    """Weights with decay, biases and norms without, the trunk at its own rate.

    The foreground map's way into the first layer belongs to the trunk: it is of use once that is trained along.
    """
    prefixes = ("branches.trunk.", "branches.foreground_stem.")
    trunk = {id(p) for name, p in model.named_parameters() if name.startswith(prefixes)}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if id(parameter) in trunk and schedule.trunk_rate == 0:
            parameter.requires_grad_(False)
            continue
        groups.setdefault((id(parameter) in trunk, parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": schedule.trunk_rate if in_trunk else schedule.rate,
            "weight_decay": schedule.weight_decay if decayed else 0.0,
        }
        for (in_trunk, decayed), parameters in groups.items()
    ]


def rate_factor(step: int, schedule: Schedule) -> float:
    """Linear warm-up, then a cosine to zero."""
    if step < schedule.warm_up:
        return (step + 1) / schedule.warm_up
    done = (step - schedule.warm_up) / max(1, schedule.steps - schedule.warm_up)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def forward(model: Stif, batch: dict[str, Tensor]) -> tuple[HeadOutput, Targets]:
    """Scores the batch, and half of it once more with another sample's memory, whose target is absent."""
    image = torch.cat([batch["memory"], batch["query"]]).float().contiguous(memory_format=torch.channels_last)
    memory_image, query_image = image.chunk(2)
    memory = model.memory_feature(memory_image, batch["foreground"].float())
    query = model.query_feature(query_image)
    half = len(memory) // 2
    output = model.match(torch.cat([memory, memory.roll(1, 0)[:half]])[:, None], torch.cat([query, query[:half]]))
    box = torch.cat([batch["box_xyxy"], batch["box_xyxy"][:half]])
    present = torch.cat([batch["present"], torch.zeros(half, dtype=torch.bool)])
    return output, assign_targets(model.head.points, box, present, nearest_cell=True)


def save_model(config: StifConfig, state: dict[str, Tensor], directory: Path, notes: dict[str, Any]) -> None:
    """Writes ``nano.safetensors`` and ``nano.json``."""
    save_file({key: value.contiguous() for key, value in state.items()}, directory / "nano.safetensors")
    description = {"model": config.to_dict(), "training": notes}
    (directory / "nano.json").write_text(json.dumps(description, indent=2) + "\n")


def batches(dataset: PairDataset, schedule: Schedule, first_step: int) -> Iterator[dict[str, Tensor]]:
    """Samples in the order of their index, from ``first_step`` on."""
    indices = range(first_step * schedule.batch, schedule.steps * schedule.batch)
    yield from DataLoader(
        dataset,
        schedule.batch,
        sampler=indices,
        num_workers=1,
        prefetch_factor=4,
        drop_last=True,
        # One loader process beside the training threads: OpenCV's own threads would fight them.
        worker_init_fn=lambda _: cv2.setNumThreads(0),
    )


def train(
    root: Annotated[Path, typer.Option(help="Training data: stills/, videos/, backgrounds/.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, log.csv and the averaged weights.")],
    validation: Annotated[Path, typer.Option(help="List of clips kept out of training.")] = Path(
        "config/train/validation_clips.txt"
    ),
    trunk: Annotated[Path | None, typer.Option(help="Pretrained trunk (safetensors).")] = None,
    start: Annotated[Path | None, typer.Option(help="Weights (safetensors) of an earlier stage to go on from.")] = None,
    steps: int = 3300,
    rate: float = 1.5e-3,
    trunk_rate: Annotated[float, typer.Option(help="Learning rate of the trunk; 0 freezes it.")] = 0.0,
    batch: int = 32,
    seed: Annotated[int, typer.Option(help="Another seed draws other samples.")] = 0,
) -> None:
    """Trains ``nano`` and goes on from the last checkpoint in OUT, if there is one."""
    schedule = Schedule(steps=steps, batch=batch, rate=rate, trunk_rate=trunk_rate, seed=seed)
    torch.manual_seed(seed)
    config = VARIANTS["nano"]
    model = Stif(config)
    checkpoint = out / "last.pt"
    saved = torch.load(checkpoint, weights_only=True) if checkpoint.exists() else None
    with user_errors():
        data = read_folder(root, read_clip_list(validation))
        if trunk is None and start is None and trunk_rate == 0:
            raise ValueError("an untrained trunk would be frozen: give --trunk or --start, or a --trunk-rate above 0")
        if saved is not None and saved["schedule"] != asdict(schedule):
            raise ValueError(
                f"{checkpoint} belongs to a run with {saved['schedule']}: use another --out, or its options"
            )
        if trunk is not None:
            load_state(model.branches.get_submodule("trunk"), trunk)
        if start is not None:
            load_state(model, start)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(parameter_groups(model, schedule), fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, schedule))
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(schedule.average), use_buffers=True)

    out.mkdir(parents=True, exist_ok=True)
    first_step = 0
    if saved is not None:
        model.load_state_dict(saved["model"])
        averaged.load_state_dict(saved["averaged"])
        optimizer.load_state_dict(saved["optimizer"])
        scheduler.load_state_dict(saved["scheduler"])
        first_step = saved["step"]
        print(f"resumed {checkpoint} at step {first_step}", flush=True)

    dataset = PairDataset(data, PairSettings(config.crop_size, seed=seed), steps * schedule.batch)
    log = csv.writer((out / "log.csv").open("a", newline="", buffering=1))
    began, logged = time.monotonic(), first_step
    model.train()
    for step, samples in enumerate(batches(dataset, schedule, first_step), first_step):
        with torch.autocast("cpu", torch.bfloat16):
            output, targets = forward(model, samples)
        parts = stif_loss(output, targets, LOSS_WEIGHTS)
        if not torch.isfinite(parts["total"]):
            torch.save(samples, out / "bad_batch.pt")
            raise SystemExit(f"the loss is not finite at step {step}; the batch is in {out / 'bad_batch.pt'}")
        optimizer.zero_grad()
        parts["total"].backward()
        nn.utils.clip_grad_norm_(model.parameters(), schedule.clip_norm)
        optimizer.step()
        scheduler.step()
        averaged.update_parameters(model)
        done = step + 1
        if done % LOG_EVERY == 0 or done == steps:
            speed = (done - logged) * schedule.batch / (time.monotonic() - began)
            began, logged = time.monotonic(), done
            values = {name: round(value.item(), 4) for name, value in parts.items()}
            log.writerow([done, *values.values(), round(speed, 1)])
            print(f"step {done}/{steps} {values} {speed:.0f} samples/s", flush=True)
        if done % CHECKPOINT_EVERY == 0 or done == steps:
            state = {
                "model": model.state_dict(),
                "averaged": averaged.state_dict(),
                "optimizer": optimizer.state_dict(),
                "scheduler": scheduler.state_dict(),
                "step": done,
                "schedule": asdict(schedule),
            }
            torch.save(state, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)
            notes = {"samples": done * schedule.batch, **asdict(schedule)}
            save_model(config, averaged.module.state_dict(), out, notes)


if __name__ == "__main__":
    typer.run(train)
