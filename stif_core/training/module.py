"""Training of a STIF network as a LightningModule."""

import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics import MeanMetric

from stif_core.evaluation.metrics import accuracy
from stif_core.evaluation.run import StifBoxes, run_sequence
from stif_core.evaluation.validation import NETWORK_ALONE
from stif_core.model.config import NANO, StifConfig
from stif_core.model.convolution import fitting_state
from stif_core.model.enhancement import temporal_weights
from stif_core.model.head import HeadOutput
from stif_core.model.losses import LossWeights, Targets, assign_targets, distillation_loss, stif_loss
from stif_core.model.stif import Stif, load_weights
from stif_core.model.weights import load_state
from stif_core.runtime.backend import Backend
from stif_core.runtime.export import export_onnx
from stif_core.runtime.onnx_backend import OnnxBackend
from stif_core.runtime.torch_backend import TorchBackend
from stif_core.tracking import Tracker
from stif_core.training.depthwise import use_trainable_depthwise
from stif_core.training.quantised import use_rounding
from stif_core.training.schedule import Optimisation, build_optimizer, freeze, rate_factor
from stif_core.weights import ModelFiles, find_model

Batch = dict[str, Tensor]


class Prediction(NamedTuple):
    """What a network says of a batch, and what it should.

    Attributes:
        output: Of the head.
        taught: The teacher's head's; None without a teacher.
        targets: By the labels.
        memory: Memory features, (B, T, C, n, n).
    """

    output: HeadOutput
    taught: HeadOutput | None
    targets: Targets
    memory: Tensor


class StifTraining(LightningModule):
    """Losses, optimiser, release of the trunk, and validation by tracking."""

    def __init__(
        self,
        network: StifConfig = NANO,
        optimisation: Optimisation = Optimisation(),
        loss: LossWeights = LossWeights(centreness=0.5, box=1.5),
        trunk: Path | None = None,
        start: Path | None = None,
        teacher: Path | None = None,
        quantised: bool = False,
        swap_memories: bool = True,
        nearest_cell: bool = True,
        compiled: bool = False,
        fixed_norms: bool = False,
        window: float = 0.3,
        penalty: float = 0.02,
    ) -> None:
        """Builds the network.

        Args:
            network: Its configuration.
            optimisation: Method, rates, and when the trunk is trained.
            loss: Weights of the parts of the loss.
            trunk: Pretrained trunk to start from.
            start: Weights (safetensors) of a whole network to start from, such as those of an earlier stage.
            teacher: JSON file (or name) of a trained model with the same trunk, whose answers are learned beside the
                labels. The branches are the teacher's and stay as they are, so that they are computed once for both;
                what else fits is where the training starts, in place of ``trunk`` or ``start``.
            quantised: The weights of ``track`` learn to stand the rounding of int8 graphs. Needs a teacher, the same
                network in floating point; ``memorize`` and ``enhance`` stay the teacher's.
            swap_memories: Score half of each batch once more with the memory of its neighbour, whose target is absent.
            nearest_cell: The cell nearest to the target's centre is positive, however small the target.
            compiled: Run through ``torch.compile``: 1.3 to 1.6 times as fast on a CPU, after a minute of compilation.
            fixed_norms: Batch norms use the statistics that they start with, for batches too small to have their own.
            window: Weight of the cosine window in validation.
            penalty: Penalty on a change of shape and scale in validation.

        Raises:
            ValueError: A file does not fit.
        """
        super().__init__()
        self.model = Stif(network)
        self.optimisation = optimisation
        self.loss = loss
        self.swap_memories = swap_memories
        self.nearest_cell = nearest_cell
        self.compiled = compiled
        self.fixed_norms = fixed_norms or quantised
        self.quantised = quantised
        self.validation_settings = replace(NETWORK_ALONE, window=window, penalty=penalty)
        self.untrained_trunk = trunk is None and start is None and teacher is None
        if teacher is not None and (trunk is not None or start is not None):
            raise ValueError("a training with --model.teacher starts from the teacher: give no trunk and no start")
        if quantised and teacher is None:
            raise ValueError("--model.quantised needs --model.teacher: the model whose int8 graphs are wanted")
        if trunk is not None:
            self.model.branches.load_trunk(trunk)
        if start is not None:
            load_state(self.model, start)
        # In a tuple: no part of the module, of its checkpoints or of its averaged weights.
        self._teacher: tuple[Stif, ...] = () if teacher is None else (self._start_from_teacher(teacher),)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        freeze(self.model, optimisation)
        if quantised:
            use_rounding(self.model)
        self._released: set[torch.nn.Parameter] = {
            p for trunk_ in self.model.branches.trunks() for p in trunk_.parameters() if p.requires_grad
        }
        self._predict = self.predict
        self.success_auc = MeanMetric()

    def _start_from_teacher(self, path: Path) -> Stif:
        """Takes over what fits, freezes what stays the teacher's, and returns the teacher.

        Raises:
            ValueError: It is not there, or cannot teach this network.
        """
        files = find_model(str(path))
        teacher = load_weights(files.config(), files.weights)
        if self.quantised and teacher.config != self.model.config:
            raise ValueError(f"{path} cannot teach its own rounding: its configuration is not that of --model.network")
        if not self.quantised and self.optimisation.trunk_released < 1:
            raise ValueError("with a teacher the trunk stays as it is: --model.optimisation.trunk_released must be 1")
        fitting = fitting_state(self.model, teacher.state_dict())
        branches = {name for name in self.model.state_dict() if name.startswith("branches.")}
        if not branches <= fitting.keys() or teacher.cells != self.model.cells:
            raise ValueError(f"{path} cannot teach this network: trunk or size of the crops differ")
        self.model.load_state_dict(fitting, strict=False)
        if not self.quantised:
            self.model.branches.requires_grad_(False)
        return teacher.requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    # -- one step

    def predict(self, batch: Batch) -> Prediction:
        """What the network says of a batch, and what it should.

        Args:
            batch: ``memory`` (B, T, 3, S, S) uint8, ``memory_xyxy`` (B, T, 4), ``query`` (B, 3, S, S) uint8,
                ``query_xyxy`` (B, 4), ``present`` (B,). Boxes in crop pixels. B is even where memories are swapped.
        """
        frames = batch["memory"].shape[1]
        memory_images = batch["memory"].flatten(0, 1).float().contiguous(memory_format=torch.channels_last)
        query_images = batch["query"].float().contiguous(memory_format=torch.channels_last)
        foreground = foreground_maps(batch["memory_xyxy"].flatten(0, 1), self.model.config.crop_size)
        box, present = batch["query_xyxy"], batch["present"]
        if self.swap_memories:
            box = torch.cat([box, box[::2]])
            present = torch.cat([present, torch.zeros_like(present[::2])])
        targets = assign_targets(self.model.head.points, box, present, self.nearest_cell)
        taught = None
        if self.quantised:
            (teacher,) = self._teacher
            with torch.no_grad():
                memory = teacher.memory_feature(memory_images, foreground).unflatten(0, (-1, frames))
                taught = teacher.match(*self._pairs(memory, teacher.query_feature(query_images)))
                enhanced = teacher.enhanced_memory(memory)
            output = self.model.find(*self._pairs(enhanced, self.model.query_feature(query_images)))
            return Prediction(output, taught, targets, memory)
        memory_map = self.model.branches.memory(memory_images, foreground)
        query_map = self.model.branches.query(query_images)
        memory = self.model.memory_neck(memory_map).unflatten(0, (-1, frames))
        output = self.model.match(*self._pairs(memory, self.model.query_neck(query_map)))
        for teacher in self._teacher:
            with torch.no_grad():
                teacher_memory = teacher.memory_neck(memory_map).unflatten(0, (-1, frames))
                taught = teacher.match(*self._pairs(teacher_memory, teacher.query_neck(query_map)))
        return Prediction(output, taught, targets, memory)

    def _pairs(self, memory: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        """Features of memories and queries that are scored together, behind them those that do not belong together."""
        if not self.swap_memories:
            return memory, query
        # The odd samples' memories for the even samples' queries: neighbours stay on one rank.
        return torch.cat([memory, memory[1::2]]), torch.cat([query, query[::2]])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        output, taught, targets, memory = self._predict(batch)
        parts = stif_loss(output, targets, self.loss, self._mean_over_ranks)
        if taught is not None:
            parts["teacher"] = distillation_loss(output, taught, self.loss, self._mean_over_ranks)
            parts["total"] = parts["total"] + parts["teacher"]
        if not torch.isfinite(parts["total"]):
            self._stop_at_bad_batch(batch)
        for name, value in parts.items():
            self.log(f"loss/{name}", value.detach(), prog_bar=name == "total", sync_dist=True)
        if memory.shape[1] > 1 and self.model.config.ste:
            weights = temporal_weights(memory.detach().float(), self.model.config.tde == "cosine")
            for t, weight in enumerate(weights.mean(dim=(0, 2, 3, 4))):
                self.log(f"tde/frame_{t}", weight)
        return parts["total"]

    def _mean_over_ranks(self, value: Tensor) -> Tensor:
        if self.trainer.world_size == 1:
            return value
        return self.trainer.strategy.reduce(value, reduce_op="mean")

    def _stop_at_bad_batch(self, batch: Batch) -> None:
        path = Path(self.trainer.default_root_dir) / f"bad_batch_rank{self.global_rank}.pt"
        torch.save({name: value.cpu() for name, value in batch.items()}, path)
        raise ValueError(
            f"the loss is not finite at step {self.global_step}; the batch is in {path}. "
            "Try a lower --model.optimisation.rate, or --trainer.precision 32-true"
        )

    # -- what is trained, and how fast

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = build_optimizer(self.model, self.optimisation)
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = LambdaLR(optimizer, lambda step: rate_factor(step, steps, self.optimisation))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_fit_start(self) -> None:
        if self.quantised and self.trainer.limit_val_batches:
            raise ValueError(
                "what --model.quantised trains is validated once its graphs are there: "
                "give --trainer.limit_val_batches 0"
            )
        if self.untrained_trunk and self.optimisation.trunk_released > 0 and self.trainer.ckpt_path is None:
            raise ValueError(
                "an untrained trunk would be frozen: give --model.trunk FILE or --model.start FILE, "
                "or train it from the first step on with --model.optimisation.trunk_released 0"
            )
        for teacher in self._teacher:
            teacher.to(self.device)
        if self.device.type == "cpu":
            use_trainable_depthwise(self.model)
        if self.compiled:
            # On an Intel Xeon (AVX-512 with BF16 and FP16, no AMX) PyTorch 2.13 and g++ 12.2 made AVX-512 kernels for
            # bf16 whose gradients are not numbers.
            wide = self.device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX512"
            options: dict[str, Any] | None = {"cpp.simdlen": 256} if wide else None
            self._predict = torch.compile(self.predict, options=options)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Until its release the trunk takes no gradients, and its batch norms use what they were trained with."""
        released = self.global_step >= self.optimisation.trunk_released * self.trainer.estimated_stepping_batches
        for parameter in self._released:
            parameter.requires_grad_(released)
        for trunk in self.model.branches.trunks():
            if trunk.training != released:
                trunk.train(released)
                for name in self.optimisation.trunk_frozen:
                    trunk.get_submodule(name).eval()
        if self.fixed_norms:
            for layer in self.model.modules():
                if isinstance(layer, torch.nn.BatchNorm2d):
                    layer.eval()

    # -- validation: tracking

    def on_validation_epoch_start(self) -> None:
        self._tracker = StifBoxes(Tracker(validation_backend(self.model), self.validation_settings))

    def validation_step(self, batch: int, batch_idx: int) -> None:
        """Tracks the clip of that number from its first box to its end."""
        if batch < 0:
            return
        sequence = self.trainer.datamodule.validation[batch]  # type: ignore[attr-defined]
        with torch.autocast(self.device.type, enabled=False):  # arrays know no bfloat16
            track = run_sequence(self._tracker, sequence)
        self.success_auc.update(accuracy(track.boxes, sequence.truth).success_auc)

    def on_validation_epoch_end(self) -> None:
        self.log("val_auc", self.success_auc, prog_bar=True)

    # -- checkpoints

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if checkpoint.get("stif", {}).get("model") != self.model.config.to_dict():
            raise ValueError(
                "the checkpoint belongs to another network: use the configuration that it was trained with"
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["stif"] = {
            "model": self.model.config.to_dict(),
            "training": {
                "optimisation": asdict(self.optimisation),
                "loss": asdict(self.loss),
                "taught": bool(self._teacher),
                "quantised": self.quantised,
            },
        }


def validation_backend(model: Stif) -> Backend:
    """The network on its GPU, or on a CPU exported for ONNX Runtime, which is several times as fast there."""
    if next(model.parameters()).device.type != "cpu":
        return TorchBackend(model)
    copy = Stif(model.config).eval()  # the export folds batch norms away
    copy.load_state_dict(model.state_dict())
    with tempfile.TemporaryDirectory() as folder, torch.autocast("cpu", enabled=False):
        files = ModelFiles("validation", Path(folder))
        files.json.write_text(json.dumps({"model": model.config.to_dict()}))
        export_onnx(copy, files)
        return OnnxBackend(files, threads=0)


def foreground_maps(boxes_xyxy: Tensor, size: int) -> Tensor:
    """1 inside each box, else 0, as ``crops.foreground_map``: boxes (B, 4) in crop pixels -> (B, 1, size, size)."""
    low = boxes_xyxy[:, :2].round().clamp(0, size - 1)
    high = torch.minimum(torch.maximum(boxes_xyxy[:, 2:].round(), low + 1), torch.full_like(low, size))
    pixels = torch.arange(size, device=boxes_xyxy.device)
    inside = (pixels >= low[..., None]) & (pixels < high[..., None])  # (B, 2, size): columns, rows
    return (inside[:, 1, :, None] & inside[:, 0, None, :])[:, None].float()
