"""The page itself: figures, plots and pictures put into its template."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from stif_core.evaluation.datasets import Dataset
from stif_core.evaluation.protocols import describe_protocol
from stif_core.evaluation.report.pictures import Tile, sparkline, tiles
from stif_core.evaluation.report.plots import as_svg, colour_of, draw_all, write_files
from stif_core.evaluation.results import write_text
from stif_core.evaluation.scoring import LONG_TERM_COLUMNS, ScoredTracker, label, long_term_cells

SHEETS = 3  # of the worst and of the best sequences


@dataclass(frozen=True)
class Cell:
    """A figure in a table, and whether it is the best of its group."""

    text: str
    best: bool
    spark: str = ""


@dataclass(frozen=True)
class Sheet:
    """A sequence in pictures, with the figures of all trackers."""

    sequence: str
    figures: list[tuple[str, str, str]]  # colour, tracker, figure
    tiles: list[Tile]


def write_report(
    out: Path,
    dataset: Dataset,
    trackers: list[ScoredTracker],
    title: str = "",
    plots: Path | None = None,
    ending: str = "png",
    focus: str = "",
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Writes the page, and the plots as files where ``plots`` names a folder.

    Args:
        out: The page, ``.html``.
        dataset: What the trackers were scored on; its images are read.
        trackers: In the order of their colours; tables are ordered by their figures.
        title: Heading; a plain one, if empty.
        plots: Folder for the plots.
        ending: Of those: ``png`` or ``svg``.
        focus: The tracker whose worst and best sequences are shown; the first in rank, if empty.
        progress: Called once a picture.

    Raises:
        ValueError: There is no tracker ``focus``, an image is missing, or a file cannot be of that kind.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"the report is a page, .html, not {out}")
    ranked = sorted(trackers, key=lambda tracker: -tracker.rank)
    colours = {tracker.name: colour_of(i) for i, tracker in enumerate(trackers)}
    shown = next((tracker for tracker in trackers if tracker.name == focus), None) if focus else ranked[0]
    if shown is None:
        raise ValueError(f"no tracker '{focus}' among these results: {', '.join(colours)}")
    drawn = draw_all(trackers)
    if plots is not None:
        write_files(drawn, plots, ending)
    pictures = {}
    for name, figure in drawn.items():
        pictures[name] = "data:image/svg+xml;base64," + base64.b64encode(as_svg(figure).encode()).decode()
        progress()
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(resources.files(__package__).joinpath("page.html").read_text("utf-8"))
    text = template.render(
        title=title or "Tracker evaluation",
        dataset=dataset.name,
        protocol=describe_protocol(trackers[0].summary.protocol),
        sequences=len(dataset.sequences),
        frames=sum(len(sequence.images) for sequence in dataset.sequences),
        today=date.today().isoformat(),
        trackers=ranked,
        colours=colours,
        figure_names=[label(name) for name in trackers[0].summary.figures],
        figures=_figures(ranked),
        parallel=any(tracker.parallel for tracker in trackers),
        plots=pictures,
        figure_name=label(next(iter(trackers[0].summary.figures))),
        rows=_rows(ranked, colours),
        long_term_columns=LONG_TERM_COLUMNS,
        long_term={t.name: long_term_cells(t) for t in ranked if t.long_term is not None},
        focus=shown.name,
        sheets=_sheets(dataset, trackers, ranked, shown, progress),
        origins={tracker.name: _origin(tracker) for tracker in ranked},
    )
    write_text(out, text)


def _figures(trackers: list[ScoredTracker]) -> dict[str, list[Cell]]:
    """The cells of each tracker, its speed at the end."""
    columns = [[tracker.summary.figures[name] for tracker in trackers] for name in trackers[0].summary.figures]
    cells = [_marked(column, [f"{value:.3f}" for value in column]) for column in columns]
    speeds = [tracker.fps for tracker in trackers]
    texts = ["" if t.fps != t.fps else f"{t.fps:.0f}{' *' if t.parallel else ''}" for t in trackers]
    cells.append(_marked(speeds, texts))
    return {tracker.name: [column[i] for column in cells] for i, tracker in enumerate(trackers)}


def _rows(trackers: list[ScoredTracker], colours: dict[str, str]) -> dict[str, list[Cell]]:
    """The cells of each sequence, one a tracker."""
    by_sequence = [tracker.by_sequence() for tracker in trackers]
    rows = {}
    for name in trackers[0].scores:
        values = [figures[name] for figures in by_sequence]
        sparks = [sparkline(tracker.scores[name].overlap, colours[tracker.name]) for tracker in trackers]
        rows[name] = _marked(values, [f"{value:.3f}" for value in values], sparks)
    return rows


def _marked(values: list[float], texts: list[str], sparks: list[str] | None = None) -> list[Cell]:
    best = max((value for value in values if value == value), default=None)
    alone = len(values) > 1
    return [
        Cell(text, alone and value == best, spark)
        for value, text, spark in zip(values, texts, sparks or [""] * len(values), strict=True)
    ]


def _sheets(
    dataset: Dataset,
    trackers: list[ScoredTracker],
    ranked: list[ScoredTracker],
    shown: ScoredTracker,
    progress: Callable[[], None],
) -> dict[str, list[Sheet]]:
    """The worst and the best sequences of one tracker; none twice."""
    order = sorted(dataset.sequences, key=lambda sequence: shown.by_sequence()[sequence.name])
    count = min(SHEETS, len(order) // 2) or 1
    chosen = {"worst": order[:count]}
    if len(order) > 1:
        chosen["best"] = order[: -count - 1 : -1]
    sheets: dict[str, list[Sheet]] = {}
    for kind, sequences in chosen.items():
        for sequence in sequences:
            figures = [(colour_of(trackers.index(t)), t.name, f"{t.by_sequence()[sequence.name]:.3f}") for t in ranked]
            sheets.setdefault(kind, []).append(Sheet(sequence.name, figures, tiles(sequence, trackers)))
            progress()
    return sheets


def _origin(tracker: ScoredTracker) -> list[tuple[str, str]]:
    """What made a tracker's results, as rows of name and value."""
    content = tracker.results.description()
    if not content:
        return [("results", "files without a run.json: nothing is known of how they were made")]
    rows = [(name.replace("_", " "), _words(value)) for name, value in content["identity"].items() if value is not None]
    for session in content["sessions"]:
        workers = "a ray cluster" if session["ray"] else f"{session['workers']} at a time"
        machine = session["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in session["versions"].items())
        rows.append((
            session["started"].replace("T", " ").replace("+00:00", " UTC"),
            f"{len(session['sequences'])} sequences, {workers}, on {machine['processor']}, {machine['cores']} cores, "
            f"{machine['system']}; {versions}",
        ))  # fmt: skip
    return rows


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(inner)}" for name, inner in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)
