"""The ablation of the paper's Table 1 on ``nano``: six rows of switches, trained alike and side by side.

    python scripts/ablation.py --root DATA --trunk fbnet_fear_xs.safetensors --out runs/ablation --seeds 0 1
    python scripts/ablation.py ... --sequences DIR --json docs/results/ablation.json

With the trunk frozen, all rows see the same features of the same samples, so these are computed once: six rows
cost half of what six trainings do. The rows are the overlays in config/train/ablation, all else is
config/train/nano_folder.yaml. Each seed draws other samples and other initial weights. A run that was killed goes on
where it stood, a finished one is not repeated. What was trained then tracks: on the validation clips and, to report, on
sequence folders.
"""

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from stif_core.cli.common import progress_bar
from stif_core.data.folder import read_clip_list
from stif_core.evaluation.metrics import accuracy
from stif_core.evaluation.run import StifBoxes, run_sequence
from stif_core.evaluation.sequences import Sequence, read_sequences
from stif_core.evaluation.validation import NETWORK_ALONE, read_validation
from stif_core.model.losses import stif_loss
from stif_core.model.stif import Stif
from stif_core.tracking import Tracker, TrackerSettings
from stif_core.training.cli import OPTIONS, StifCli
from stif_core.training.data_module import TrackingDataModule
from stif_core.training.module import Batch, StifTraining, validation_backend
from stif_core.training.schedule import build_optimizer, rate_factor

ROWS = ("baseline", "ste", "sde", "ste_sde", "stif", "all")
CONFIG = Path(__file__).resolve().parents[1] / "config" / "train"
# A frame enters the memory every tenth frame; the score of so short a training is not calibrated.
WITH_MEMORY = replace(NETWORK_ALONE, memory_capacity=8, memory_probability=0.5)
BATCH = 32
CLI_OPTIONS = {**OPTIONS, "save_config_callback": None}
SETTINGS = {"initial frame": NETWORK_ALONE, "with memory": WITH_MEMORY}


class GivenFeature(nn.Module):
    """Stands for the trunk where its feature is given in place of the image."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.channels, self.stride = trunk.channels, trunk.stride
        self.grid_origin, self.stem_channels = trunk.grid_origin, trunk.stem_channels

    def forward(self, feature: Tensor, extra: Tensor | None = None) -> Tensor:
        return feature


class Rows(LightningModule):
    """Several networks behind a common frozen trunk, trained on the same features."""

    def __init__(self, rows: dict[str, StifTraining]) -> None:
        super().__init__()
        branches = [row.model.branches for row in rows.values()]
        self.trunk = branches[0].trunk
        for parts in branches:
            parts.trunk = GivenFeature(self.trunk)
        self.rows = nn.ModuleDict(rows)

    def on_fit_start(self) -> None:
        self._features = torch.compile(self.features)
        self._predict = {name: torch.compile(row.predict) for name, row in self.rows.items()}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        self.trunk.eval()

    def features(self, images: Tensor) -> Tensor:
        return self.trunk(images.float().contiguous(memory_format=torch.channels_last))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        frames = batch["memory"].shape[1]
        with torch.no_grad():
            feature = self._features(torch.cat([batch["memory"].flatten(0, 1), batch["query"]]))
        memory, query = feature.split([frames * len(batch["query"]), len(batch["query"])])
        given = {**batch, "memory": memory.unflatten(0, (-1, frames)), "query": query}
        total = torch.zeros(())
        for name, row in self.rows.items():
            output, targets, _ = self._predict[name](given)
            loss = stif_loss(output, targets, row.loss)["total"]
            self.log(f"loss/{name}", loss.detach())
            total = total + loss
        self.log("loss/mean", total.detach() / len(self.rows), prog_bar=True)
        return total

    def configure_optimizers(self) -> Any:
        settings = next(iter(self.rows.values())).optimisation
        groups = [group for row in self.rows.values() for group in build_optimizer(row.model, settings).param_groups]
        optimizer = AdamW([{key: group[key] for key in ("params", "lr", "weight_decay")} for group in groups])
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = LambdaLR(optimizer, lambda step: rate_factor(step, steps, settings))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        for row in self.rows.values():  # each for itself, as if it were trained alone
            torch.nn.utils.clip_grad_norm_(row.parameters(), 5.0)

    def network(self, name: str) -> Stif:
        """A row's network, its trunk put back."""
        row = self.rows[name].model
        model = Stif(row.config)
        trunk = {f"branches.trunk.{key}": value for key, value in self.trunk.state_dict().items()}
        model.load_state_dict({**row.state_dict(), **trunk})
        return model.eval()


def prepare(args: argparse.Namespace, seed: int) -> tuple[Rows, StifCli]:
    """All rows at their start, and the data and the trainer, which are the same for each."""
    steps = -(-args.samples // BATCH)
    options = {
        "seed_everything": seed,
        "out": args.out / f"seed{seed}",
        "trainer.max_steps": steps,
        "trainer.limit_val_batches": 0,
        "trainer.enable_model_summary": "false",
        "data.roots.folder": args.root,
        "data.validation_clips": CONFIG / "validation_clips.txt",
        "data.seed": seed,
        "data.batch_size": BATCH,
        "data.steps_per_epoch": steps,
        "model.trunk": args.trunk,
        "model.network.crop_size": args.crop_size,
    }
    given = [str(item) for key, value in options.items() for item in (f"--{key}", value)]
    rows = {}
    for name in ROWS:
        files = ["--config", str(CONFIG / "nano_folder.yaml"), "--config", str(CONFIG / "ablation" / f"{name}.yaml")]
        cli = StifCli(StifTraining, TrackingDataModule, args=[*files, *given], run=False, **CLI_OPTIONS)
        rows[name] = cli.model
    return Rows(rows), cli


def train(args: argparse.Namespace, seed: int) -> dict[str, Stif]:
    """The six networks of one seed; goes on where an earlier run of it stood."""
    rows, cli = prepare(args, seed)
    last = args.out / f"seed{seed}" / "last.ckpt"
    cli.trainer.fit(rows, datamodule=cli.datamodule, ckpt_path=last if last.exists() else None, weights_only=True)
    # The checkpoint holds the averaged weights.
    rows.load_state_dict(torch.load(last, map_location="cpu", weights_only=True)["state_dict"])
    return {name: rows.network(name) for name in ROWS}


def success(model: Stif, sequences: list[Sequence], settings: TrackerSettings, label: str) -> float:
    """Mean success AUC of the tracker over the sequences."""
    tracker = StifBoxes(Tracker(validation_backend(model), settings))
    values = []
    with progress_bar(label, len(sequences)) as advance:
        for sequence in sequences:
            values.append(accuracy(run_sequence(tracker, sequence).boxes, sequence.truth).success_auc)
            advance()
    return statistics.mean(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="training data: stills/, videos/, backgrounds/")
    parser.add_argument("--trunk", type=Path, required=True, help="pretrained trunk (safetensors)")
    parser.add_argument("--sequences", type=Path, help="sequence folders to report on")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"), help="folder for checkpoints and logs")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--samples", type=int, default=40_000)
    parser.add_argument("--crop-size", type=int, default=192, help="nano's own is 256, which takes twice as long")
    args = parser.parse_args()
    clips = {"validation": read_validation(args.root, read_clip_list(CONFIG / "validation_clips.txt"))}
    if args.sequences:
        clips["sequences"] = read_sequences(args.sequences)
    figures: dict[str, dict[str, list[float]]] = {name: {} for name in ROWS}
    for seed in args.seeds:
        for name, model in train(args, seed).items():
            for part, sequences in clips.items():
                for policy, settings in SETTINGS.items():
                    value = success(model, sequences, settings, f"seed {seed}, {name}, {part}, {policy}")
                    figures[name].setdefault(f"{part}, {policy}", []).append(value)
    table = Table("row", *next(iter(figures.values())), title="success AUC: mean and spread over the seeds")
    for name, columns in figures.items():
        table.add_row(name, *(f"{statistics.mean(v):.3f} ± {(max(v) - min(v)) / 2:.3f}" for v in columns.values()))
    Console().print(table)
    if args.json:
        settings = {"seeds": args.seeds, "samples": args.samples, "crop_size": args.crop_size, "trunk": args.trunk.name}
        args.json.write_text(json.dumps({**settings, "success_auc": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
