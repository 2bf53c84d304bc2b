"""``stif train``, ``weights``, ``calibrate``, ``export``, ``model-info``: from a training to a model that runs."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from stif_core.cli.common import BackendName, Threads, extra_train, messages, progress_bar, user_errors
from stif_core.data.folder import VALIDATION_CLIPS
from stif_core.weights import PRECISIONS, SHIPPED, ModelFiles, find_model, shipped_models

if TYPE_CHECKING:
    from stif_core.model.stif import Stif
    from stif_core.runtime.recording import Crops

CALIBRATION_CROPS = 320
COMPARED_CROPS = 100
LARGEST_SHOWN = 12


def export(
    model: Annotated[str, typer.Argument(help="Path of a model's JSON file (safetensors beside it), or a name.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write to; default: where the model is.")] = None,
    precision: Annotated[str, typer.Option(help=f"{', '.join(PRECISIONS)}; int8 needs --footage.")] = "fp32",
    batch: Annotated[str, typer.Option(help="Crops at a time: dynamic, or a number.")] = "dynamic",
    footage: Annotated[
        Path | None,
        typer.Option(
            help="Sequence folders, or training data with clips under videos/: the tracker's crops of them give the "
            "ranges of int8, and are what is compared; default: noise."
        ),
    ] = None,
    left_out: Annotated[Path, typer.Option(help="List of clips under videos/ that are not used.")] = VALIDATION_CLIPS,
) -> None:
    """Writes the ONNX graphs of a model and compares them with PyTorch in fp32 (needs the extra [train])."""
    with user_errors():
        files = find_model(model)
        _check_export(files, out, precision, batch, footage)
        with extra_train("export"):
            from stif_core.model.stif import load_weights
            from stif_core.runtime.export import export_onnx, random_crops

        network = load_weights(files.config(), files.weights)
        target = ModelFiles(files.name, out or files.folder, precision)
        target.folder.mkdir(parents=True, exist_ok=True)
        calibration = compared = random_crops(network.config)
        if footage is not None:
            calibration, compared = _record(files, network, footage, left_out)
        with TemporaryDirectory(dir=target.folder) as folder:  # so that graphs that do not agree replace none
            written = replace(target, folder=Path(folder))
            written.json.write_text(json.dumps(files.description(), indent=2) + "\n")
            fixed = None if batch == "dynamic" else int(batch)
            if precision == "int8":
                _quantize(network, files, written, calibration)
            else:
                export_onnx(network, written, fixed)
            if fixed in (None, 1):
                _compare(network, written, compared, "crops" if footage else "crops of noise")
            else:
                print("graphs of a fixed batch are not compared: export with --batch dynamic to see how they differ")
            for name, path in written.graphs.items():
                path.replace(target.graphs[name])
                print(target.graphs[name])
            if target.folder.resolve() != files.folder.resolve():
                written.json.replace(target.json)


def _quantize(network: "Stif", files: ModelFiles, written: ModelFiles, crops: "Crops") -> None:
    """Writes the int8 graphs: of weights trained for it where the model has them, else with a table of the effects."""
    from stif_core.model.stif import load_weights
    from stif_core.runtime.export import export_onnx
    from stif_core.runtime.quantize import quantizable, quantize
    from stif_core.training.quantised import rounded_layers, trained_beside

    source = replace(written, precision="fp32")
    if files.int8_weights.exists():
        tracking = load_weights(files.config(), files.int8_weights)
        if not trained_beside(tracking, network):
            raise ValueError(
                f"{files.int8_weights} was not trained beside {files.weights.name}: train it again (docs/training.md), "
                "or remove it, and the weights are quantised as they are"
            )
        export_onnx(network, source, tracking=tracking)
        layers = rounded_layers(network)
        quantize(source, written, crops, trained=layers)
        print(f"{len(layers)} convolutions in int8, with the weights {files.int8_weights} that were trained for it")
        return
    export_onnx(network, source)
    with progress_bar("effect of each layer", len(quantizable(source.track_onnx))) as advance:
        effects = quantize(source, written, crops, advance)
    table = Table("layer quantised alone", "score", "box, px", "")
    for effect in effects:
        left = "left in floating point" if effect.left_out else ""
        table.add_row(effect.layer, f"{effect.score:.4f}", f"{effect.box:.2f}", left)
    Console().print(table)


def _check_export(files: ModelFiles, out: Path | None, precision: str, batch: str, footage: Path | None) -> None:
    """Raises ValueError for what does not go together."""
    if out is None and files.folder == SHIPPED:
        raise ValueError(f"'{files.name}' is a shipped model: name a folder of your own with --out")
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision '{precision}': use {', '.join(PRECISIONS)}")
    if precision == "int8" and footage is None:
        raise ValueError("int8 needs --footage: ranges are taken from crops of real images")
    if batch != "dynamic" and not (batch.isdecimal() and int(batch) > 0):
        raise ValueError(f"--batch expects dynamic or a positive number, got '{batch}'")
    if precision == "int8" and batch != "dynamic":
        raise ValueError("int8 graphs have an open batch: leave --batch out")


def _record(files: ModelFiles, network: "Stif", footage: Path, left_out: Path) -> "tuple[Crops, Crops]":
    """Crops for the ranges, and others to compare on: every fourth sequence where there are that many."""
    from stif_core.evaluation.footage import footage_folders, record_crops
    from stif_core.runtime.backend import load_backend
    from stif_core.runtime.torch_backend import TorchBackend
    from stif_core.tracking import TrackerSettings

    folders = footage_folders(footage, left_out)
    settings = TrackerSettings.from_dict(files.description().get("tracking", {}))
    backend = load_backend(files, "onnxruntime:fp32") if files.has_graphs else TorchBackend(network)
    held_out = folders[::4] if len(folders) >= 4 else folders
    rest = [folder for folder in folders if folder not in held_out] or folders
    with progress_bar("recording crops", len(held_out) + len(rest)) as advance:
        calibration = record_crops(backend, settings, rest, advance)
        compared = record_crops(backend, settings, held_out, advance)
    return calibration.thinned(CALIBRATION_CROPS), compared.thinned(COMPARED_CROPS)


def _compare(network: "Stif", files: ModelFiles, crops: "Crops", kind: str) -> None:
    """Prints how graphs differ from the network. Raises ValueError for fp32 graphs that do not agree with it."""
    from stif_core.runtime.backend import load_backend
    from stif_core.runtime.export import LARGEST_HALF, compare, half_ranges, half_rounding
    from stif_core.runtime.torch_backend import TorchBackend

    backends = {"ONNX Runtime": load_backend(files, f"onnxruntime:{files.precision}")}
    if files.precision == "int8" and importlib.util.find_spec("openvino"):
        backends["OpenVINO"] = load_backend(files, "openvino:int8")
    half = half_rounding(network) if files.precision == "fp16" else None
    if half is not None:
        backends["PyTorch, rounded to halves"] = TorchBackend(half)
    print(f"differences to PyTorch in fp32 over {len(crops.source)} {kind}:")
    for name, backend in backends.items():
        report = compare(network, backend, crops)
        print(
            f"  {name}: feature {report.feature:.1e} of the largest; score {report.score:.1e} at most, "
            f"{report.mean_score:.1e} on average; best box {report.box:.1e} px on average"
        )
        if files.precision == "fp32" and not report.agrees:
            raise ValueError("the graphs do not agree with PyTorch: nothing was written")
    if half is not None:
        table = Table("operation", "largest magnitude", caption=f"fp16 ends at {LARGEST_HALF:.0f}")
        for layer in half_ranges(half, crops)[:LARGEST_SHOWN]:
            table.add_row(layer.layer, f"{layer.largest:.4g}")
        Console().print(table)


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
        step, written = write_model(checkpoint, files)
        print("\n".join(map(str, written)))
        if files.int8_weights in written:
            print(f"from step {step}; next: stif export {files.json} --precision int8, beside the teacher's files")
        else:
            print(f"from step {step}; next: stif export {files.json}")


def calibrate(
    model: Annotated[str, typer.Argument(help="Path of a model's JSON file; its section `tracking` is rewritten.")],
    root: Annotated[Path, typer.Option(help="Training data with the validation clips under videos/.")],
    validation: Annotated[Path, typer.Option(help="List of validation clips.")] = VALIDATION_CLIPS,
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
