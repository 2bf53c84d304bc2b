"""``stif eval``: trackers measured on sequences."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from stif_core.cli.common import BackendName, Model, Threads, progress_bar, user_errors
from stif_core.weights import DEFAULT_MODEL

app = typer.Typer(no_args_is_help=True, help="Measure trackers.")


@app.command("run")
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
