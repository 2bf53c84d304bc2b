"""Files of results scored by a protocol, with speeds, and differences of trackers with their uncertainty."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stif_core.evaluation.datasets import Dataset, read_dataset
from stif_core.evaluation.long_term import LongTermScore, claims, long_term, pooled
from stif_core.evaluation.protocols import PROTOCOLS, ProtocolSummary, SequenceScore, score, summarise
from stif_core.evaluation.results import RUN_FILE, TrackerResults
from stif_core.evaluation.run import Track

RESAMPLES = 2000
INTERVAL = 0.95
LABELS = {
    "success_auc": "success AUC",
    "precision": "precision",
    "normalised_precision": "norm. precision",
    "normalised_precision_auc": "norm. precision AUC",
    "success_50": "SR.5",
    "mean_iou": "mean IoU",
    "ao": "AO",
    "sr_50": "SR.5",
    "sr_75": "SR.75",
}


@dataclass(frozen=True)
class ScoredTracker:
    """A tracker on a data set.

    Attributes:
        name: As it is shown.
        results: Its files.
        tracks: By sequence, in the order of the data set.
        scores: By sequence.
        summary: Over all sequences.
        fps: Median frames per second over all frames; NaN where no times were kept.
        parallel: Whether others used the machine at the same time, so that the speed says little.
        long_term: Over all sequences; None where no target ever goes away.
    """

    name: str
    results: TrackerResults
    tracks: dict[str, Track]
    scores: dict[str, SequenceScore]
    summary: ProtocolSummary
    fps: float
    parallel: bool
    long_term: LongTermScore | None

    @property
    def rank(self) -> float:
        """The figure that ranks."""
        return _first(self.summary.figures)

    def by_sequence(self) -> dict[str, float]:
        """The figure that ranks, of each sequence."""
        return {name: _first(one.figures) for name, one in self.scores.items()}


@dataclass(frozen=True)
class Difference:
    """Of the ranking figure, a tracker less the reference, and its interval over sequences drawn anew."""

    value: float
    low: float
    high: float


def label(figure: str) -> str:
    """How a figure's name is printed."""
    return LABELS.get(figure, figure.replace("_", " "))


def find_dataset(trackers: dict[str, TrackerResults], name: str | None, root: Path | None) -> Dataset:
    """The data set as given, or as the trackers' ``run.json`` say.

    Raises:
        ValueError: Neither says, they do not agree, or it cannot be read.
    """
    said = {}
    for tracker, results in trackers.items():
        content = results.description()
        if "identity" in content:
            try:
                said[tracker] = (content["identity"]["dataset"], content["root"])
            except (KeyError, TypeError):
                raise ValueError(
                    f"{results.folder / RUN_FILE} does not say which data set the results are of: make them again with "
                    "'stif eval run', or remove that file and name the data set with --dataset and --root"
                ) from None
    names, roots = {entry[0] for entry in said.values()}, {entry[1] for entry in said.values()}
    if name is None:
        if len(names) != 1:
            raise ValueError(f"these results are of {_words(names)}: name the data set with --dataset")
        name = names.pop()
    elif wrong := next((tracker for tracker, entry in said.items() if entry[0] != name), None):
        raise ValueError(f"the results {wrong} are of the data set {said[wrong][0]}, not {name}")
    if root is None:
        if len(roots) != 1:
            raise ValueError(f"these results say {_words(roots)} about where the data set stands: name it with --root")
        root = Path(roots.pop())
    return read_dataset(name, root)


def score_tracker(
    name: str,
    results: TrackerResults,
    dataset: Dataset,
    protocol: str | None = None,
    progress: Callable[[], None] = lambda: None,
) -> ScoredTracker:
    """Scores the results of a tracker; ``progress`` is called once a sequence.

    Args:
        protocol: One of ``PROTOCOLS``; None: the data set's own.

    Raises:
        ValueError: Results are missing or broken, the truth is not here, or the protocol is unknown.
    """
    protocol = protocol or dataset.protocol
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol '{protocol}': use one of {', '.join(PROTOCOLS)}")
    if hidden := next((sequence.name for sequence in dataset.sequences if not sequence.has_truth), None):
        raise ValueError(
            f"the truth of {hidden} is kept by the server of {dataset.name}: it scores what 'stif eval submit' writes"
        )
    missing = [sequence.name for sequence in dataset.sequences if not results.finished(sequence.name)]
    if missing:
        raise ValueError(
            f"{results.folder}: {len(missing)} of {len(dataset.sequences)} sequences are not finished, the first is "
            f"{missing[0]}: 'stif eval run' with the same settings makes them"
        )
    tracks, scores = {}, {}
    for sequence in dataset.sequences:
        track = tracks[sequence.name] = results.read(sequence)
        scores[sequence.name] = score(protocol, sequence, track.boxes)
        progress()
    seconds = np.concatenate([track.seconds for track in tracks.values()])
    seconds = seconds[np.isfinite(seconds) & (seconds > 0)]
    sessions = results.description().get("sessions", [])
    return ScoredTracker(
        name,
        results,
        tracks,
        scores,
        summarise(protocol, scores),
        float(1 / np.median(seconds)) if len(seconds) else np.nan,
        any(session["workers"] > 1 or session["ray"] for session in sessions),
        _long_term(name, dataset, tracks),
    )


def paired_difference(
    tracker: ScoredTracker,
    reference: ScoredTracker,
    resamples: int = RESAMPLES,
    seed: int = 0,
    progress: Callable[[], None] = lambda: None,
) -> Difference:
    """How much better the tracker is, with the percentile interval of a paired bootstrap over sequences.

    The same sequences are drawn with replacement for both, and each draw is summarised as the protocol does
    (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3).
    """
    rng = np.random.default_rng(seed)
    count = len(tracker.scores)
    # Summaries by attribute would take most of the time.
    both = [[replace(score, attributes=frozenset()) for score in t.scores.values()] for t in (tracker, reference)]
    draws = []
    for _ in range(resamples):
        chosen = rng.integers(0, count, count).tolist()
        ours, theirs = (
            summarise(tracker.summary.protocol, {str(i): scores[k] for i, k in enumerate(chosen)}) for scores in both
        )
        draws.append(_first(ours.figures) - _first(theirs.figures))
        progress()
    low, high = np.quantile(draws, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    return Difference(tracker.rank - reference.rank, float(low), float(high))


LONG_TERM_COLUMNS = (
    "F",
    "precision",
    "recall",
    "losses reported",
    "median frames to report",
    "returns found",
    "median frames to find",
)


def long_term_cells(tracker: ScoredTracker) -> list[str]:
    """The cells of ``LONG_TERM_COLUMNS``; the tracker has a long-term score."""
    long = tracker.long_term
    assert long is not None
    losses = long.losses
    reported, found = (int((~np.isnan(d)).sum()) for d in (losses.frames_to_report, losses.frames_to_reacquire))
    return [
        *(f"{value:.3f}" for value in (long.f, long.precision, long.recall)),
        f"{reported} of {losses.absences}",
        _frames(losses.median_frames_to_report),
        f"{found} of {losses.returns}",
        _frames(losses.median_frames_to_reacquire),
    ]


def as_json(dataset: Dataset, trackers: list[ScoredTracker]) -> str:
    """All figures, in the order of the trackers."""
    content: dict[str, Any] = {
        "dataset": dataset.name,
        "protocol": trackers[0].summary.protocol,
        "trackers": {
            tracker.name: {
                "figures": tracker.summary.figures,
                "fps": tracker.fps if np.isfinite(tracker.fps) else None,
                "fps_taken_in_parallel": tracker.parallel,
                "by_sequence": {name: one.figures for name, one in tracker.scores.items()},
                "by_attribute": tracker.summary.by_attribute,
                "long_term": tracker.long_term and dict(zip(LONG_TERM_COLUMNS, long_term_cells(tracker), strict=True)),
            }
            for tracker in trackers
        },
    }
    return json.dumps(content, indent=2) + "\n"


def _long_term(tracker: str, dataset: Dataset, tracks: dict[str, Track]) -> LongTermScore | None:
    """Without states a tracker claims to see the target wherever it gives a box, without confidence it is sure."""
    scores, away = [], False
    for sequence in dataset.sequences:
        track, truth = tracks[sequence.name], sequence.truth.copy()
        if sequence.absent is not None:
            truth[sequence.absent] = np.nan
        away |= bool(np.isnan(truth).any())
        if not np.isnan(truth[1:]).any(axis=1).all():
            confidence = np.ones(len(truth)) if track.confidence is None else track.confidence
            boxes, tracked = (track.boxes, None) if track.states is None else claims(track.boxes, track.states)
            try:
                scores.append(long_term(boxes, confidence, truth, tracked))
            except ValueError as error:
                raise ValueError(f"{tracker} on {sequence.name}: {error}") from None
    return pooled(scores) if away and scores else None


def _frames(count: float) -> str:
    if np.isnan(count):
        return ""
    return "never" if np.isinf(count) else f"{count:.0f}"


def _first(figures: dict[str, float]) -> float:
    """The figure that ranks."""
    return next(iter(figures.values()))


def _words(values: set[Any]) -> str:
    return " and ".join(sorted(map(str, values))) or "nothing"
