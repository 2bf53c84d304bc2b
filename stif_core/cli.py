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


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
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
    tracker: Annotated[list[str], typer.Option(help="stif, csrt, kcf, mil or nanotrack; may be given several times.")],
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


def main() -> None:
    app()


if __name__ == "__main__":
    main()
