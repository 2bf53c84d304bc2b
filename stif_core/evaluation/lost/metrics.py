"""The seven figures of ``stif benchmark lost``, over the clips' frames and over the target's absences."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stif_core.evaluation.long_term import FOUND_OVERLAP, JudgedTrack, LongTermScore, claims, long_term, pooled
from stif_core.evaluation.lost.clips import FPS
from stif_core.geometry import FloatArray

SHORT = 8  # frames; a shorter absence (a flash, a look-alike in front) is not scored: nobody can report it in time


@dataclass(frozen=True)
class ClipRun:
    """What one tracker said of one clip of N frames.

    Attributes:
        boxes: xywh (N, 4), the first being the true one.
        confidence: (N,), 1 from a tracker that gives none.
        states: N names of ``TrackState``, empty from a tracker that gives none.
    """

    boxes: FloatArray
    confidence: FloatArray
    states: list[str]


@dataclass(frozen=True)
class LostFigures:
    """Of one tracker over all clips.

    Attributes:
        precision: Mean IoU of the boxes that are claimed, at the confidence with the best F.
        recall: Mean IoU over the frames that show the target, there.
        f_score: Their harmonic mean.
        frames_to_report_loss: Median over the absences of the frames until the tracker no longer says TRACKING; an
            absence that it never reports counts with its whole length.
        false_tracking_s: Seconds in TRACKING while the target is absent, or with a box that hardly touches it (IoU
            up to 0.1), all clips together.
        reacquired_share: Share of the returns after which it says TRACKING with an IoU above 0.5 before the target
            leaves again.
        time_to_reacquire_s: Median over all returns of the time until then; a return that it misses counts with the
            whole time for which the target is there.
    """

    precision: float
    recall: float
    f_score: float
    frames_to_report_loss: float
    false_tracking_s: float
    reacquired_share: float
    time_to_reacquire_s: float


def score_clip(run: ClipRun, truth: FloatArray) -> LongTermScore:
    """Scores one clip; in LOST a tracker claims no box, in UNCERTAIN one with its confidence.

    Args:
        run: What the tracker said.
        truth: xywh (N, 4), NaN while the target is absent.
    """
    counted = ~short_absences(np.isnan(truth[:, 0]))
    boxes, tracked = claims(run.boxes, run.states)
    return long_term(boxes[counted], run.confidence[counted], truth[counted], tracked[counted])


def figures(scores: Sequence[LongTermScore]) -> LostFigures:
    """Joins the clips; raises ValueError when there is none."""
    joined = pooled(scores)
    delays = [_delays(track) for track in joined.tracks]
    reports = [value for report, _ in delays for value in report]
    returns = [value for _, back in delays for value in back]
    false_frames = joined.losses.false_frames_absent + joined.losses.false_frames_visible
    return LostFigures(
        precision=joined.precision,
        recall=joined.recall,
        f_score=joined.f,
        frames_to_report_loss=float(np.median(reports)) if reports else float("nan"),
        false_tracking_s=false_frames / FPS,
        reacquired_share=joined.losses.reacquired,
        time_to_reacquire_s=float(np.median(returns)) / FPS if returns else float("nan"),
    )


def short_absences(absent: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """True in the frames of absences of fewer than ``SHORT`` frames that the target comes back from."""
    edges = np.flatnonzero(np.diff(absent.astype(np.int8), prepend=0, append=0))
    short = np.zeros(len(absent), bool)
    for start, end in edges.reshape(-1, 2):
        short[start:end] = end - start < SHORT and end < len(absent)
    return short


def _delays(track: JudgedTrack) -> tuple[list[int], list[int]]:
    """Frames until each absence is reported and until each return is found; a miss counts the whole stretch."""
    reports: list[int] = []
    returns: list[int] = []
    found = track.tracked & (track.overlap > FOUND_OVERLAP)
    starts = np.flatnonzero(np.diff(track.visible, prepend=True))
    for start, end in zip(starts, [*starts, len(track.visible)][1:], strict=True):
        wanted, delays = (found, returns) if track.visible[start] else (~track.tracked, reports)
        hits = np.flatnonzero(wanted[start:end])
        delays.append(int(hits[0]) if len(hits) else int(end - start))
    return reports, returns
