"""``stif eval``: trackers measured on sequences."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from stif_core.cli.common import BackendName, Model, Threads, progress_bar, user_errors
from stif_core.weights import DEFAULT_MODEL

if TYPE_CHECKING:
    from stif_core.evaluation.datasets import Dataset
    from stif_core.evaluation.results import TrackerResults
    from stif_core.evaluation.scoring import ScoredTracker

app = typer.Typer(no_args_is_help=True, help="Measure trackers.")

Results = Annotated[list[Path], typer.Argument(help="Folders of results: of one tracker, or of several.")]
DatasetName = Annotated[str | None, typer.Option(help="As for stif eval run; what the results say, if left out.")]
Root = Annotated[Path | None, typer.Option(help="Folder of the data set; what the results say, if left out.")]
Protocol = Annotated[
    str | None, typer.Option(help="folder, otb, uav, lasot, got10k, trackingnet; the data set's own, if left out.")
]


@app.command("run")
def eval_run(
    root: Annotated[Path, typer.Option(help="Folder of the data set; for `folder`: NAME/img/, NAME/groundtruth.txt.")],
    tracker: Annotated[
        list[str],
        typer.Option(
            help="stif, stif-initial, stif-off, csrt, kcf, mil, nanotrack, NAME=COMMAND, NAME=stif ...; several times."
        ),
    ],
    dataset: Annotated[
        str, typer.Option(help="folder, got10k-val, lasot ...; docs/evaluation.md lists them.")
    ] = "folder",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; a run that was interrupted goes on.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes; speeds are then taken in parallel.")] = 1,
    realtime: Annotated[
        float | None, typer.Option(help="Frames a second at which images arrive: a slow tracker misses some.")
    ] = None,
    ray: Annotated[
        str | None, typer.Option(help="Ray cluster to run on: auto, HOST:PORT, or local for this machine alone.")
    ] = None,
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
    answer_seconds: Annotated[float, typer.Option(help="How long to wait for an answer of a COMMAND.")] = 60.0,
) -> None:
    """Runs trackers over the same sequences and prints their figures and speeds."""
    with user_errors():
        from stif_core.evaluation.datasets import read_dataset
        from stif_core.evaluation.results import TrackerResults
        from stif_core.evaluation.runs import run_all
        from stif_core.evaluation.trackers import choose

        if out and out.is_file():
            raise ValueError(
                f"--out names a folder for results, but {out} is a file: 'stif eval score --json' writes figures to one"
            )
        if realtime is not None and realtime <= 0:
            raise ValueError(f"--realtime expects frames a second, got {realtime:g}")
        settings = {"model": model, "backend": backend, "threads": threads, "nanotrack": nanotrack}
        choices = [choose(text, **settings, answer_seconds=answer_seconds) for text in tracker]
        data = read_dataset(dataset, root)
        with tempfile.TemporaryDirectory() as passing:
            folder = out or Path(passing)
            with progress_bar("sequences", len(data.sequences) * len(choices)) as advance:
                run_all(data, root, choices, folder, workers, realtime, ray, advance)
            if not all(sequence.has_truth for sequence in data.sequences):
                print(f"{folder}: done; the truth is kept by the server of {dataset}: stif eval submit writes its zip")
                return
            found = {choice.name: TrackerResults(folder / choice.name) for choice in choices}
            scored = _score(found, data, None)
            _print_figures(scored)
            _print_sequences(scored)


@app.command("score")
def eval_score(
    results: Results,
    dataset: DatasetName = None,
    root: Root = None,
    protocol: Protocol = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for all figures.")] = None,
) -> None:
    """Scores results that are there, by the data set's protocol or another."""
    with user_errors():
        from stif_core.evaluation.scoring import as_json

        data, scored = _load(results, dataset, root, protocol)
        _print_figures(scored)
        _print_sequences(scored)
        _print_attributes(scored)
        _print_long_term(scored)
        if json_file:
            json_file.write_text(as_json(data, scored))


@app.command("compare")
def eval_compare(
    results: Results,
    dataset: DatasetName = None,
    root: Root = None,
    protocol: Protocol = None,
) -> None:
    """Sets trackers against the first: figures, differences by sequence, 95 % interval of the difference."""
    with user_errors():
        from stif_core.evaluation.scoring import RESAMPLES, label, paired_difference

        _, scored = _load(results, dataset, root, protocol)
        if len(scored) < 2:
            raise ValueError(f"there is nothing to compare {scored[0].name} with: name a second tracker's results")
        reference, *others = scored
        _print_figures(scored)
        figure = label(next(iter(reference.summary.figures)))
        table = Table(figure, reference.name, *(other.name for other in others))
        base = reference.by_sequence()
        for name, value in base.items():
            cells = [f"{other.by_sequence()[name] - value:+.3f}" for other in others]
            table.add_row(name, f"{value:.3f}", *cells)
        table.add_section()
        with progress_bar("drawing sequences", RESAMPLES * len(others)) as advance:
            differences = [paired_difference(other, reference, progress=advance) for other in others]
        table.add_row("all", f"{reference.rank:.3f}", *(f"{d.value:+.3f}" for d in differences))
        table.add_row("95 % interval", "", *(f"{d.low:+.3f} {d.high:+.3f}" for d in differences))
        table.caption = f"differences to {reference.name}; paired bootstrap over sequences, {RESAMPLES} draws"
        _print(table)


@app.command("report")
def eval_report(
    results: Results,
    out: Annotated[Path, typer.Option(help="The page, .html; it holds everything, pictures too.")],
    dataset: DatasetName = None,
    root: Root = None,
    protocol: Protocol = None,
    plots: Annotated[Path | None, typer.Option(help="Folder for the plots as files too.")] = None,
    format: Annotated[str, typer.Option(help="Of those files: png or svg.")] = "png",
    title: Annotated[str, typer.Option(help="Of the page.")] = "",
    focus: Annotated[
        str, typer.Option(help="Tracker whose worst and best sequences are shown; the first in rank, if left out.")
    ] = "",
) -> None:
    """Writes a page with plots, tables and pictures of the best and worst sequences."""
    with user_errors():
        try:
            from stif_core.evaluation.report import write_report
        except ModuleNotFoundError as error:
            raise ValueError(f"stif eval report needs {error.name}: pip install 'stif_core[eval]'") from None

        data, scored = _load(results, dataset, root, protocol)
        with progress_bar("drawing", None) as advance:
            write_report(out, data, scored, title, plots, format, focus, advance)
        print(f"{out}: {len(scored)} trackers on {len(data.sequences)} sequences")


@app.command("submit")
def eval_submit(
    results: Annotated[Path, typer.Argument(help="Folder of the results of one tracker.")],
    out: Annotated[Path, typer.Option(help="The zip file.")],
    dataset: DatasetName = None,
    root: Root = None,
) -> None:
    """Writes what the evaluation server of GOT-10k or TrackingNet takes."""
    with user_errors():
        from stif_core.evaluation.results import find_results
        from stif_core.evaluation.scoring import find_dataset
        from stif_core.evaluation.submissions import SERVERS, Submitted, write_submission

        found = find_results([results])
        if len(found) > 1:
            raise ValueError(f"{results} holds the results of {', '.join(found)}: a submission is of one tracker")
        data = find_dataset(found, dataset, root)
        (tracker,) = found.values()
        submitted = {}
        with progress_bar("reading results", len(data.sequences)) as advance:
            for sequence in data.sequences:
                track = tracker.read(sequence)
                submitted[sequence.name] = Submitted(track.boxes, [track.initial_seconds, *track.seconds])
                advance()
        write_submission(data, submitted, out)
        print(f"{out}: for {SERVERS[data.name]}")


def _load(
    paths: list[Path], dataset: str | None, root: Path | None, protocol: str | None
) -> "tuple[Dataset, list[ScoredTracker]]":
    from stif_core.evaluation.results import find_results
    from stif_core.evaluation.scoring import find_dataset

    found = find_results(paths)
    data = find_dataset(found, dataset, root)
    return data, _score(found, data, protocol)


def _score(found: "dict[str, TrackerResults]", data: "Dataset", protocol: str | None) -> "list[ScoredTracker]":
    from stif_core.evaluation.scoring import score_tracker

    with progress_bar("scoring", len(found) * len(data.sequences)) as advance:
        return [score_tracker(name, results, data, protocol, advance) for name, results in found.items()]


def _print_figures(scored: "list[ScoredTracker]") -> None:
    from stif_core.evaluation.protocols import describe_protocol
    from stif_core.evaluation.scoring import label

    summary = scored[0].summary
    table = Table("tracker", caption=describe_protocol(summary.protocol), caption_justify="left")
    for figure in (*map(label, summary.figures), "median fps"):
        table.add_column(figure, justify="right")
    for tracker in scored:
        speed = "" if tracker.fps != tracker.fps else f"{tracker.fps:.1f}{' *' if tracker.parallel else ''}"
        table.add_row(tracker.name, *(f"{value:.3f}" for value in tracker.summary.figures.values()), speed)
    _print(table)
    if any(tracker.parallel for tracker in scored):
        print("* taken in parallel: no measure of speed")


def _print_sequences(scored: "list[ScoredTracker]") -> None:
    from stif_core.evaluation.scoring import label

    figure = label(next(iter(scored[0].summary.figures)))
    table = Table(figure, *(tracker.name for tracker in scored))
    for name in scored[0].scores:
        table.add_row(name, *(f"{tracker.by_sequence()[name]:.3f}" for tracker in scored))
    _print(table)


def _print_attributes(scored: "list[ScoredTracker]") -> None:
    from stif_core.evaluation.scoring import label

    summary = scored[0].summary
    if not summary.by_attribute:
        return
    figure = next(iter(summary.figures))
    table = Table("attribute", "sequences", *(tracker.name for tracker in scored), caption=label(figure))
    for attribute, count in summary.sequences_of_attribute.items():
        values = (tracker.summary.by_attribute[attribute][figure] for tracker in scored)
        table.add_row(attribute, str(count), *(f"{value:.3f}" for value in values))
    _print(table)


def _print_long_term(scored: "list[ScoredTracker]") -> None:
    from stif_core.evaluation.scoring import LONG_TERM_COLUMNS, long_term_cells

    if scored[0].long_term is None:
        return
    table = Table("targets that go away", caption="F, precision and recall at the confidence with the best F")
    for column in LONG_TERM_COLUMNS:
        table.add_column(column, justify="right")
    for tracker in scored:
        table.add_row(tracker.name, *long_term_cells(tracker))
    _print(table)


def _print(table: Table) -> None:
    """Wide enough for many trackers, also where the output is no terminal."""
    Console(width=max(Console().width, 110)).print(table)
