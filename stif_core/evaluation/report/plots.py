"""Plots of one-pass evaluation: curves, attributes, speed against accuracy."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from stif_core.evaluation.scoring import ScoredTracker, label
from stif_core.geometry import FloatArray

# Told apart by the colour-blind as well, and by their grey in print.
COLOURS = ("#1f6fb4", "#d1383d", "#2b9348", "#e58a00", "#7a4ea3", "#14a3a8", "#8a5a2b", "#d65c9c")
DASHES = ("-", "--", ":", "-.")
CAMERA_FPS = 30
NAME_DECADES = 0.5  # width of a tracker's name on the axis of speeds
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a8f98",
    "axes.labelcolor": "#3c4043",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e8eb",
    "xtick.color": "#5f6368",
    "ytick.color": "#5f6368",
    "legend.frameon": True,
    "legend.framealpha": 0.85,
    "legend.edgecolor": "none",
    "legend.fontsize": 8,
    "svg.hashsalt": "stif",  # the same file for the same figures
}
TITLES = {  # by the figure in the legend
    "success_auc": "Success (area under the curve)",
    "precision": "Precision (at 20 pixels)",
    "normalised_precision": "Normalised precision (at 0.20)",
    "normalised_precision_auc": "Normalised precision (area under the curve)",
    "ao": "Success (average overlap)",
}
X_LABELS = {
    "success": "overlap threshold (IoU)",
    "precision": "threshold of the centre's error (pixels)",
    "normalised precision": "threshold of the centre's error, normalised by the target's size",
}


def colour_of(index: int) -> str:
    """Of a tracker, by its place among the trackers of the page."""
    return COLOURS[index % len(COLOURS)]


def draw_all(trackers: list[ScoredTracker]) -> dict[str, Figure]:
    """The plots that these figures allow, by the name of their file."""
    with rc_context(STYLE):
        figures = {kind.replace(" ", "_"): _curves(trackers, kind) for kind in trackers[0].summary.curves}
        if any(np.isfinite(tracker.fps) for tracker in trackers):
            figures["speed"] = _speed(trackers)
        if trackers[0].summary.by_attribute:
            figures["attributes"] = _attributes(trackers)
    return figures


def as_svg(figure: Figure) -> str:
    with rc_context(STYLE):
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def write_files(figures: dict[str, Figure], folder: Path, ending: str) -> None:
    """Each plot as ``folder``/NAME.``ending``. Raises ValueError for an ending other than png and svg."""
    if ending not in ("png", "svg"):
        raise ValueError(f"plots are written as png or svg, not '{ending}'")
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        with rc_context(STYLE):
            metadata = {"Date": None} if ending == "svg" else None
            figure.savefig(folder / f"{name}.{ending}", dpi=150, metadata=metadata)


def _curves(trackers: list[ScoredTracker], kind: str) -> Figure:
    figure, axes = _new(4.6, 3.7)
    ranked = sorted(enumerate(trackers), key=lambda item: -_legend_value(item[1], kind))
    for index, tracker in ranked:
        curve = tracker.summary.curves[kind]
        axes.plot(
            curve.thresholds,
            curve.values,
            DASHES[index // len(COLOURS) % len(DASHES)],
            color=colour_of(index),
            linewidth=1.8,
            label=f"{_legend_value(tracker, kind):.3f}  {tracker.name}",
        )
    thresholds = trackers[0].summary.curves[kind].thresholds
    axes.set(xlim=(thresholds[0], thresholds[-1]), ylim=(0, 1.005), xlabel=X_LABELS.get(kind, kind))
    axes.set_ylabel("share of frames")
    axes.set_title(TITLES.get(trackers[0].summary.curves[kind].figure, kind.capitalize()))
    # Success falls to the right, the others rise: the corner below the curves is free.
    axes.legend(loc="lower left" if kind == "success" else "lower right")
    return figure


def _legend_value(tracker: ScoredTracker, kind: str) -> float:
    return tracker.summary.figures[tracker.summary.curves[kind].figure]


def _speed(trackers: list[ScoredTracker]) -> Figure:
    figure, axes = _new(4.6, 3.7)
    measured = [(i, tracker) for i, tracker in enumerate(trackers) if np.isfinite(tracker.fps)]
    for index, tracker in measured:
        face = "none" if tracker.parallel else colour_of(index)
        axes.scatter(tracker.fps, tracker.rank, s=55, color=face, edgecolor=colour_of(index), linewidth=1.6, zorder=3)
    speeds = [tracker.fps for _, tracker in measured]
    ranks = [tracker.rank for _, tracker in measured]
    margin = max(0.05, 0.2 * (max(ranks) - min(ranks)))
    axes.set_xscale("log")
    axes.set_xlim(min(*speeds, CAMERA_FPS) / 1.6, max(*speeds, CAMERA_FPS) * 1.6)
    axes.set_ylim(max(0, min(ranks) - margin), min(1, max(ranks) + margin))
    axes.axvline(CAMERA_FPS, color="#b5b9bf", linewidth=1, linestyle=(0, (4, 3)))
    axes.text(CAMERA_FPS, axes.get_ylim()[0], f" {CAMERA_FPS} fps", fontsize=7, color="#5f6368", va="bottom")
    low, high = axes.get_ylim()
    heights = _heights_of_names(np.log10(speeds), np.array(ranks), 0.05 * (high - low))
    left, right = np.log10(axes.get_xlim())
    for (index, tracker), height in zip(measured, heights, strict=True):
        at_the_right = (np.log10(tracker.fps) - left) / (right - left) > 0.7
        x, side = (tracker.fps / 1.13, "right") if at_the_right else (tracker.fps * 1.13, "left")
        axes.text(x, height, tracker.name, fontsize=8, va="center", ha=side, color=colour_of(index))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    hollow = "; hollow: taken in parallel" if any(tracker.parallel for _, tracker in measured) else ""
    axes.set_xlabel(f"median frames per second{hollow}")
    axes.set_ylabel(label(next(iter(trackers[0].summary.figures))))
    axes.set_title("Speed against accuracy")
    return figure


def _attributes(trackers: list[ScoredTracker]) -> Figure:
    summary = trackers[0].summary
    counts = summary.sequences_of_attribute
    figure_name = next(iter(summary.figures))
    bar = 0.8 / len(trackers)
    figure, axes = _new(7.2, 1.3 + len(counts) * max(0.3, 0.11 * len(trackers)))
    rows = np.arange(len(counts))
    ranked = sorted(enumerate(trackers), key=lambda item: -item[1].rank)
    for place, (index, tracker) in enumerate(ranked):
        values = [tracker.summary.by_attribute[attribute][figure_name] for attribute in counts]
        hatch = "////" if index >= len(COLOURS) else None
        axes.barh(
            rows + (place - (len(trackers) - 1) / 2) * bar,
            values,
            bar * 0.9,
            color=colour_of(index),
            hatch=hatch,
            edgecolor="white",
            linewidth=0,
            label=tracker.name,
        )
    axes.set_yticks(rows, [f"{attribute} ({count})" for attribute, count in counts.items()])
    axes.set_ylim(len(counts) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(label(figure_name))
    axes.set_title("By attribute (number of sequences)")
    figure.legend(loc="outside lower center", ncols=min(len(trackers), 4))
    return figure


def _new(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _heights_of_names(speeds: FloatArray, ranks: FloatArray, gap: float) -> FloatArray:
    """Where names are written: beside their points, but moved up where two would cover each other.

    Args:
        speeds: Of the points, in decades, (N,).
        ranks: Of the points, (N,).
        gap: Height of a name.
    """
    heights = ranks.copy()
    placed: list[int] = []
    for i in np.argsort(ranks).tolist():
        for j in placed:  # from below
            if abs(speeds[i] - speeds[j]) < NAME_DECADES and heights[i] < heights[j] + gap:
                heights[i] = heights[j] + gap
        placed.append(i)
    return heights
