"""The command ``stif``."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from stif_core.runtime.backend import BACKENDS
from stif_core.weights import DEFAULT_MODEL, ModelFiles, find_model, shipped_models

app = typer.Typer(no_args_is_help=True, add_completion=False, help="STIF: follow one object through images.")
eval_app = typer.Typer(no_args_is_help=True, help="Measure trackers.")
app.add_typer(eval_app, name="eval")
data_app = typer.Typer(no_args_is_help=True, help="Look at training data.")
app.add_typer(data_app, name="data")
benchmark_app = typer.Typer(no_args_is_help=True, help="Measure speed.")
app.add_typer(benchmark_app, name="benchmark")
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
messages = Console(stderr=True)

Model = Annotated[str, typer.Option(help="Name of a shipped model, or path of a model's JSON file.")]
BackendName = Annotated[str, typer.Option(help=f"auto, {', '.join(BACKENDS)}.")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads for one inference; 0: the backend's choice.")]


@contextmanager
def user_errors() -> Iterator[None]:
    """Turns what a user can mend into one line and exit code 2."""
    try:
        yield
    except (ValueError, OSError) as error:
        messages.print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None


@contextmanager
def extra_train(command: str) -> Iterator[None]:
    """Says what to install when an import inside finds no package of the extra [train]."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ValueError(f"{command} needs {error.name}: pip install 'stif_core[train]'") from None


@contextmanager
def progress_bar(title: str, total: int | None) -> Iterator[Callable[[], None]]:
    """A bar on standard error; yields a function that advances it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=messages, transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda: progress.advance(task)


def parse_box(text: str) -> tuple[float, float, float, float]:
    """``x,y,w,h`` as four numbers. Raises ValueError."""
    try:
        x, y, w, h = (float(value) for value in text.split(","))
    except ValueError:
        raise ValueError(f"--box expects x,y,w,h, four numbers, got '{text}'") from None
    return x, y, w, h


@app.command()
def track(
    source: Annotated[str, typer.Argument(help="Folder of images, video file, or index of a camera.")],
    box: Annotated[str, typer.Option(help="The target in the first image: x,y,w,h in pixels.")],
    out: Annotated[Path | None, typer.Option(help="File for the lines; default: standard output.")] = None,
    video: Annotated[Path | None, typer.Option(help="Write a video with the boxes drawn in.")] = None,
    model: Model = DEFAULT_MODEL,
    backend: BackendName = "auto",
    threads: Threads = 0,
) -> None:
    """Follows a target: one line x,y,w,h,score,state for every image."""
    from stif_core.io.drawing import VideoFile, draw_track
    from stif_core.io.source import open_source
    from stif_core.tracking import Tracker

    with user_errors():
        frames = open_source(source)
        tracker = Tracker.load(model, backend, threads)
        images = iter(frames)
        first = next(images)
        result = tracker.init(first, parse_box(box))  # before a file is opened: a bad box must not empty one
        lines = out.open("w") if out else None
        film = VideoFile(video, frames.fps) if video else None
        seconds, count = 0.0, 0
        try:
            with progress_bar("tracking", frames.count) as advance:
                for image in itertools.chain([first], images):
                    start = time.perf_counter()
                    result = tracker.track(image) if count else result
                    seconds += time.perf_counter() - start
                    count += 1
                    text = ",".join(f"{value:.2f}" for value in result.box)
                    print(f"{text},{result.score:.3f},{result.state.name}", file=lines)
                    if film:
                        film.write(draw_track(image, result.box, result.score, result.state.name))
                    advance()
        except KeyboardInterrupt:  # the way to end a camera's stream; what is written stays
            pass
        finally:
            if lines:
                lines.close()
            if film:
                film.close()
    rate = (count - 1) / seconds if count > 1 else 0.0  # the first is initialised, not tracked
    messages.print(f"{count} frames tracked with {escape(model)} on {tracker.backend.name}, {rate:.1f} frames/s")


@app.command()
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


@app.command()
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


@app.command()
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


@benchmark_app.command("train", context_settings=PASSED_ON)
def benchmark_train(context: typer.Context) -> None:
    """Samples a second of a training, and what its loader costs; takes the options of `stif train fit`."""
    with user_errors():
        with extra_train("benchmark train"):
            from stif_core.training.benchmark import measure
        speed = measure(context.args)
        print(f"real loader       {speed.real:8.1f} samples/s")
        print(f"one cached batch  {speed.cached:8.1f} samples/s")
        print(f"the loader costs  {speed.loader_cost:8.1%}")
        own, loader = (size / 1e9 for size in speed.memory)
        print(f"largest memory: training process {own:.2f} GB, loader process {loader:.2f} GB")


@app.command(context_settings=PASSED_ON, add_help_option=False)
def train(context: typer.Context) -> None:
    """Trains a network: `stif train fit --config FILE`, with Lightning's options (needs the extra [train])."""
    with user_errors():
        with extra_train("train"):
            from stif_core.training.cli import train as run
        run(context.args)


@app.command("model-info")
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


@eval_app.command("run")
def eval_run(
    root: Annotated[Path, typer.Option(help="Folder of sequences: NAME/img/, NAME/groundtruth.txt.")],
    tracker: Annotated[list[str], typer.Option(help="stif, stif-initial, csrt, kcf, mil, nanotrack; several times.")],
    out: Annotated[Path | None, typer.Option(help="JSON file for the figures.")] = None,
    model: Model = DEFAULT_MODEL,
    backend: BackendName = "auto",
    threads: Threads = 0,
    nanotrack: Annotated[
        Path | None,
        typer.Option(
            help="Folder with nanotrack_backbone.onnx and nanotrack_head.onnx, from "
            "github.com/HonglinChu/SiamTrackers, NanoTrack/models/nanotrackv3."
        ),
    ] = None,
) -> None:
    """Runs trackers over the same sequences and prints success AUC, precision, SR.5 and speed."""
    from stif_core.evaluation.run import evaluate, make_tracker
    from stif_core.evaluation.sequences import read_sequences

    with user_errors():
        sequences = read_sequences(root)
        trackers = {name: make_tracker(name, model, backend, threads, nanotrack) for name in tracker}
        with progress_bar("sequences", len(sequences) * len(trackers)) as advance:
            summaries = [evaluate(name, item, sequences, advance) for name, item in trackers.items()]
        table = Table("tracker", "success AUC", "precision 20 px", "SR.5", "median fps")
        for s in summaries:
            row = (f"{s.success_auc:.3f}", f"{s.precision:.3f}", f"{s.success_50:.3f}", f"{s.fps:.1f}")
            table.add_row(s.tracker, *row)
        Console().print(table)
        details = Table("success AUC", *(s.tracker for s in summaries))
        for sequence in sequences:
            details.add_row(sequence.name, *(f"{s.auc_by_sequence[sequence.name]:.3f}" for s in summaries))
        Console().print(details)
        if out:
            out.write_text(json.dumps([asdict(s) for s in summaries], indent=2) + "\n")


# Options that are not known here, such as --data.roots.folder DIR, come with the arguments.
DATA_CONTEXT = {"ignore_unknown_options": True}
DataConfig = Annotated[
    list[str],
    typer.Argument(
        metavar="CONFIG... [--data.KEY VALUE]...",
        help="Training YAML files, of which later ones win; options of their section `data` win over them.",
    ),
]
SheetFile = Annotated[Path, typer.Option(help="Image for the contact sheet: .jpg or .png.")]
PROBLEMS_SHOWN = 20
SAMPLES_EACH = 8  # on the contact sheet of a check


@data_app.command("check", context_settings=DATA_CONTEXT)
def data_check(
    config: DataConfig,
    out: SheetFile = Path("data_check.png"),
    images: Annotated[int, typer.Option(min=0, help="Images to decode in each data set; 0: all.")] = 500,
) -> None:
    """Counts and checks the data sets of a training, and draws samples; exit code 1 when something is broken."""
    with user_errors():
        with extra_train("data check"):
            from stif_core.data import report
            from stif_core.data.sources import normalised
            from stif_core.training.data_config import load_data_module, read_each, sample_dataset

        module = load_data_module(config)
        report.check_sheet_path(out)
        with progress_bar("reading data sets", None) as advance:
            data = read_each(module, advance)
        problems = [f"{name}: {text}" for name, text in data.errors.items()]
        frames = {name: report.spread(len(index.frames), images) for name, index in data.indices.items()}
        backgrounds = [data.backgrounds[i] for i in report.spread(len(data.backgrounds), images)]
        with progress_bar("checking images", sum(map(len, frames.values())) + len(backgrounds)) as advance:
            for name, index in data.indices.items():
                problems += [f"{name}: {text}" for text in report.index_problems(index, frames[name], advance)]
            problems += [f"backgrounds: {text}" for text in report.picture_problems(backgrounds, advance)]

        columns = ("share", "videos", "stills", "tracks", "frames", "boxes", "too small", "too elongated", "checked")
        table = Table("data set", caption="too small or too elongated: boxes never drawn; checked: images decoded")
        for column in columns:
            table.add_column(column, justify="right")
        shares = normalised([*module.ratios.values(), module.rendered])
        for name, share in zip([*module.ratios, report.RENDERED], shares, strict=True):
            cells = ["" if name == report.RENDERED else "not read"]
            if name in data.indices:
                counts = asdict(report.summarise(data.indices[name], module.sampling)).values()
                cells = [f"{count:,}" for count in (*counts, len(frames[name]))]
            table.add_row(name, f"{share:.3f}", *cells)
        if data.backgrounds:
            table.add_row("backgrounds", *[""] * 4, f"{len(data.backgrounds):,}", *[""] * 3, f"{len(backgrounds):,}")
        # Wide enough for large numbers, also where the output is no terminal.
        Console(width=max(Console().width, 110)).print(table)

        dataset = sample_dataset(module, data)
        drawn, errors = report.first_of_each(dataset, SAMPLES_EACH) if dataset else ([], [])
        # Most of them are listed above, with more words.
        problems += [f"samples: {error}" for error in dict.fromkeys(errors) if error not in "\n".join(problems)]
        if drawn:
            report.write_sheet(out, drawn)
            print(f"{out}: {len(drawn)} samples")
        if problems:
            print("1 problem:" if len(problems) == 1 else f"{len(problems)} problems:")
            for problem in problems[:PROBLEMS_SHOWN]:
                print(f"  {problem}")
            if len(problems) > PROBLEMS_SHOWN:
                print(f"  and {len(problems) - PROBLEMS_SHOWN} more")
            raise typer.Exit(1)
        print("nothing is broken")


@data_app.command("show", context_settings=DATA_CONTEXT)
def data_show(
    config: DataConfig,
    out: SheetFile = Path("data_samples.png"),
    first: Annotated[int, typer.Option(min=0, help="Number of the first sample.")] = 0,
    count: Annotated[int, typer.Option(min=1, max=400, help="Samples to draw.")] = 40,
) -> None:
    """Draws samples as training would see them: memory crops, then the query; its box green, or red when absent."""
    with user_errors():
        with extra_train("data show"):
            from stif_core.data.report import Drawn, check_sheet_path, source_of, write_sheet
            from stif_core.training.data_config import load_data_module, read_each, sample_dataset

        module = load_data_module(config)
        check_sheet_path(out)
        data = read_each(module)
        dataset = sample_dataset(module, data)
        if data.errors or dataset is None:
            raise ValueError(next(iter(data.errors.values()), "no data set has a share"))
        with progress_bar("drawing samples", count) as advance:
            drawn = []
            for index in range(first, first + count):
                drawn.append(Drawn(index, source_of(dataset, index), dataset.sample(index)))
                advance()
        write_sheet(out, drawn)
        print(f"{out}: samples {first} to {first + count - 1}")


def main() -> None:
    app()


if __name__ == "__main__":
    main()
