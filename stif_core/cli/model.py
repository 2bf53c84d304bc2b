"""``stif train``, ``weights``, ``calibrate``, ``export``, ``model-info``: from a training to a model that runs."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from stif_core.cli.common import BackendName, Threads, extra_train, messages, user_errors
from stif_core.weights import ModelFiles, find_model, shipped_models


def export(
    model: Annotated[str, typer.Argument(help="Path of a model's JSON file (safetensors beside it), or a name.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write to; default: where the model is.")] = None,
) -> None:
    """Writes the two ONNX graphs of a model and checks them against PyTorch (needs the extra [train])."""
    with user_errors():
        files = find_model(model)
        with extra_train("export"):
            from stif_core.model.stif import load_weights
            from stif_core.runtime.export import export_onnx

        network = load_weights(files.config(), files.weights)
        target = ModelFiles(files.name, out or files.folder)
        target.folder.mkdir(parents=True, exist_ok=True)
        if target.folder.resolve() != files.folder.resolve():
            target.json.write_text(json.dumps(files.description(), indent=2) + "\n")
        report = export_onnx(network, target)
        print(f"{target.memorize_onnx}\n{target.track_onnx}")
        print(
            "largest difference to PyTorch: "
            f"feature {report.feature:.2e}, score {report.score:.2e}, box {report.box:.2e} px"
        )
        if not report.agrees:
            raise ValueError("the graphs do not agree with PyTorch; do not use them")


def weights(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint of a training: OUT/best.ckpt or OUT/last.ckpt.")],
    out: Annotated[Path, typer.Option(help="Folder for NAME.safetensors and NAME.json.")],
    name: Annotated[str, typer.Option(help="Name of the model.")] = "nano",
) -> None:
    """Takes the averaged weights out of a training's checkpoint (needs the extra [train])."""
    with user_errors():
        with extra_train("weights"):
            from stif_core.training.checkpoints import write_model

        files = ModelFiles(name, out)
        step = write_model(checkpoint, files)
        print(f"{files.weights}\n{files.json}\nfrom step {step}; next: stif export {files.json}")


def calibrate(
    model: Annotated[str, typer.Argument(help="Path of a model's JSON file; its section `tracking` is rewritten.")],
    root: Annotated[Path, typer.Option(help="Training data with the validation clips under videos/.")],
    validation: Annotated[Path, typer.Option(help="List of validation clips.")] = Path(
        "config/train/validation_clips.txt"
    ),
    backend: BackendName = "auto",
    threads: Threads = 0,
) -> None:
    """Finds a model's tracking parameters and calibrates its score on validation clips (needs the extra [train])."""
    from stif_core.data.folder import read_clip_list
    from stif_core.evaluation.validation import read_validation, reversed_in_time
    from stif_core.runtime.backend import load_backend

    with user_errors():
        files = find_model(model)
        with extra_train("calibrate"):
            from stif_core.training.select_settings import select_settings

        clips = read_validation(root, read_clip_list(validation))
        # Both ways: twice the runs, so that less of what is chosen is chance.
        sequences = [*clips, *(reversed_in_time(clip) for clip in clips)]
        selection = select_settings(load_backend(files, backend, threads), sequences, messages.print)
        description = files.description()
        description["tracking"] = selection.settings
        files.json.write_text(json.dumps(description, indent=2) + "\n")
        table = Table("probability", "share of frames", "mean probability", "share right")
        for row in selection.table:
            name = f"{row.low:.1f} to {row.high:.1f}"
            table.add_row(name, f"{row.share:.3f}", f"{row.probability:.3f}", f"{row.right:.3f}")
        Console().print(table)
        print(f"expected calibration error on clips that the calibration was not fitted on: {selection.error:.3f}")
        print(f"{files.json}: {json.dumps(selection.settings)}")


def train(context: typer.Context) -> None:
    """Trains a network: `stif train fit --config FILE`, with Lightning's options (needs the extra [train])."""
    with user_errors():
        with extra_train("train"):
            from stif_core.training.cli import train as run
        run(context.args)


def model_info(
    model: Annotated[str, typer.Argument(help="googlenet, nano, or the path of a model's JSON file.")],
) -> None:
    """Prints sizes, parameters and multiply-accumulates of a network (needs the extra [train])."""
    with user_errors():
        from stif_core.model.config import VARIANTS

        if model in VARIANTS:
            config = VARIANTS[model]
        elif model.endswith(".json"):
            config = find_model(model).config()
        else:
            known = sorted({*VARIANTS, *shipped_models()})
            raise ValueError(f"unknown model '{model}': use {', '.join(known)}, or the path of a model's JSON file")
        with extra_train("model-info"):
            from stif_core.evaluation.model_info import describe

        table = Table("", model)
        for name, value in describe(config):
            table.add_row(name, value)
        Console().print(table)
