"""``stif benchmark``: speed, and what becomes of lost targets."""

import json
import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from stif_core.cli.common import PASSED_ON, BackendName, Model, Threads, extra_train, progress_bar, user_errors
from stif_core.weights import DEFAULT_MODEL

app = typer.Typer(no_args_is_help=True, help="Measure speed, and what becomes of lost targets.")


@app.command("train", context_settings=PASSED_ON)
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


@app.command("targets")
def benchmark_targets(
    targets: Annotated[list[int] | None, typer.Option(min=1, max=16, help="How many; several times.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Blocks of images for each.")] = 5,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the figures.")] = None,
    model: Model = DEFAULT_MODEL,
    backend: BackendName = "auto",
    threads: Threads = 0,
) -> None:
    """What an image costs with several targets: in common batches, and each by a tracker of its own."""
    from stif_core.evaluation.target_scaling import measure
    from stif_core.tracking import Tracker

    with user_errors():
        counts = targets or [1, 2, 4, 8]
        tracker = Tracker.load(model, backend, threads)
        with progress_bar("images", len(counts) * rounds) as advance:
            found = measure(tracker.backend, tracker.settings, counts, rounds, advance)
        table = Table("targets", "together, ms", "for each, ms", "apart, ms", "together / apart")
        for scaling in found:
            together, apart = scaling.together_ms, scaling.apart_ms
            cells = (together, together / scaling.targets, apart, together / apart)
            table.add_row(str(scaling.targets), *(f"{cell:.2f}" for cell in cells))
        Console().print(f"{tracker.backend.name} in {tracker.backend.precision}, medians of an image")
        Console().print(table)
        if json_file:
            json_file.write_text(json.dumps([asdict(scaling) for scaling in found], indent=2) + "\n")


@app.command("lost")
def benchmark_lost(
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the figures, by tracker.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="PNG file: one loss and recovery, frame by frame.")] = None,
    clips: Annotated[int, typer.Option(min=1, help="How many; eight kinds in turn.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Other clips of the same kinds.")] = 0,
    root: Annotated[
        Path | None, typer.Option(help="Folder of training data: every second clip from its masked objects.")
    ] = None,
    tracker: Annotated[
        list[str] | None, typer.Option(help="stif, stif-off (no re-acquisition), csrt, kcf, mil; several times.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="report, or development: the clips that parameters are chosen on.")
    ] = "report",
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: one a core.")] = 0,
    model: Model = DEFAULT_MODEL,
    backend: BackendName = "auto",
) -> None:
    """Long clips in which the target leaves, is hidden or crossed by look-alikes: who notices, and who comes back?"""
    from stif_core.evaluation.lost.benchmark import TRACKERS, run_benchmark
    from stif_core.evaluation.lost.clips import make_clips
    from stif_core.evaluation.lost.sheet import write_sheet
    from stif_core.evaluation.trackers import choose

    with user_errors():
        choices = [choose(name, model=model, backend=backend, threads=1) for name in tracker or TRACKERS]
        made = make_clips(split, clips, root, seed)
        with progress_bar("clips", len(made)) as advance:
            result = run_benchmark(choices, made, workers or os.cpu_count() or 1, advance)
        table = Table(
            "tracker",
            "precision",
            "recall",
            "F",
            "frames to report loss",
            "false tracking, s",
            "re-acquired",
            "time to re-acquire, s",
        )
        for name, f in result.figures.items():
            table.add_row(
                name,
                f"{f.precision:.3f}",
                f"{f.recall:.3f}",
                f"{f.f_score:.3f}",
                f"{f.frames_to_report_loss:.0f}",
                f"{f.false_tracking_s:.1f}",
                f"{f.reacquired_share:.2f}",
                f"{f.time_to_reacquire_s:.2f}",
            )
        Console().print(table)
        if json_file:
            # JSON has no NaN, which stands where no clip asks the question.
            values = {
                name: {key: None if math.isnan(value) else value for key, value in asdict(f).items()}
                for name, f in result.figures.items()
            }
            json_file.write_text(json.dumps(values, indent=2) + "\n")
        if sheet:
            write_sheet(sheet, made, result)
