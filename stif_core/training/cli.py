"""``stif train``: Lightning's command line with our defaults."""

import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from stif_core.allocator import keep_freed_memory
from stif_core.training.data_module import TrackingDataModule
from stif_core.training.module import StifTraining


class LastCheckpoint(Callback):
    """Keeps the end of every epoch too, the last one in particular, whatever its number of steps."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.save_checkpoint(Path(trainer.default_root_dir) / "last.ckpt")


class StifCli(LightningCLI):
    """Checkpoints, logs and averaged weights go to ``--out``; what was trained there is never overwritten."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Samples depend on the step alone, so that our loader need not keep a state; both loggers share a folder.
        warnings.filterwarnings("ignore", message=".*your dataloader is not resumable")
        warnings.filterwarnings("ignore", message="(Experiment logs|Checkpoint) directory .* exists and is not empty")
        # sys.argv stays the command line of this process: Lightning starts the other ranks of a machine by it.
        warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
        keep_freed_memory()
        super().__init__(*args, **kwargs)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--out", type=Path, default=Path("runs/stif"), help="Folder for checkpoints and logs.")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.add_lightning_class_args(EMAWeightAveraging, "averaging")
        parser.set_defaults(
            {
                "checkpoint.save_top_k": 0,  # last.ckpt alone
                "checkpoint.save_last": True,
                "checkpoint.every_n_train_steps": 200,
                "averaging.decay": 0.998,
            }
        )
        parser.link_arguments("out", "trainer.default_root_dir", compute_fn=str)
        parser.link_arguments("out", "checkpoint.dirpath", compute_fn=str)
        parser.link_arguments("model.network.crop_size", "data.crop_size")

    def before_instantiate_classes(self) -> None:
        if not self.subcommand:  # built to be run by the caller
            return
        config = self.config[self.subcommand]
        config.weights_only = True  # nothing is unpickled
        if self.subcommand != "fit" or not (Path(config.out) / "last.ckpt").exists():
            return
        if config.ckpt_path != "last" and Path(config.ckpt_path or "").resolve().parent != Path(config.out).resolve():
            raise ValueError(f"{config.out} holds a training: go on with --ckpt_path last, or give another --out")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        config = self.config.get(self.subcommand) if self.subcommand else self.config
        board = TensorBoardLogger(config.out, name="logs")
        # Flushed often: what a killed run has logged is not lost.
        table = CSVLogger(config.out, name="logs", version=board.version, flush_logs_every_n_steps=10)
        trainer = super().instantiate_trainer(logger=[board, table], **kwargs)
        trainer.callbacks.append(LastCheckpoint())  # type: ignore[attr-defined]
        if config.data.validation_clips:
            best = ModelCheckpoint(config.out, "best", monitor="val_auc", mode="max", enable_version_counter=False)
            trainer.callbacks.append(best)  # type: ignore[attr-defined]
        return trainer


OPTIONS: dict[str, Any] = {
    "seed_everything_default": 0,
    "save_config_kwargs": {"overwrite": True},
    "trainer_defaults": {
        "use_distributed_sampler": False,  # StepSampler splits the batches
        "gradient_clip_val": 5.0,
        "log_every_n_steps": 10,
        "num_sanity_val_steps": 0,
        "callbacks": [LearningRateMonitor("step")],
    },
}


def read_configuration(arguments: list[str]) -> Any:
    """The settings that these arguments of ``train`` give, as a namespace; nothing is built."""

    class Reader(StifCli):
        def before_instantiate_classes(self) -> None: ...
        def instantiate_classes(self) -> None: ...
        def _run_subcommand(self, subcommand: str) -> None: ...

    return Reader(StifTraining, TrackingDataModule, args=arguments, **OPTIONS).config.fit


def train(arguments: list[str]) -> None:
    """Runs ``fit`` or ``validate`` with Lightning's options; ``--help`` lists them.

    Raises:
        ValueError: A data set, a file or a setting is wrong; says what to do.
    """
    try:
        StifCli(StifTraining, TrackingDataModule, args=arguments, **OPTIONS)
    except MisconfigurationException as error:  # such as an accelerator that is not there
        raise ValueError(str(error)) from None
