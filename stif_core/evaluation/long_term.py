"""Long-term tracking: is a tracker right when it claims to see the target, how soon does it notice loss and return?

Precision, recall and F over the confidence: Lukežič et al., "Now you see me: evaluating performance in long-term visual
tracking" (2018), joined over sequences as in the VOT toolkit. Times of losses are ours.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stif_core.geometry import FloatArray, iou
from stif_core.tracking import TrackState

THRESHOLDS = 100  # levels of confidence, as in the VOT toolkit
FOUND_OVERLAP = 0.5  # IoU above which a target counts as found again
ELSEWHERE_OVERLAP = 0.1  # IoU up to which a tracker that claims to see the target follows something else


@dataclass(frozen=True)
class Losses:
    """How a tracker deals with the target's absences; all counts are frames.

    Attributes:
        absences: Runs of frames without the target.
        returns: Runs of frames with the target that follow one.
        frames_to_report: Of each absence, frames until the tracker no longer claims to track, 0 if it stops in the very
            first one (or before); NaN where it never does while the target is absent.
        frames_to_reacquire: Of each return, frames until the tracker claims to track with an IoU above 0.5, 0 if it
            does so in the very first one; NaN where it does not before the target leaves again or the sequence ends.
        false_frames_absent: Frames claimed as tracked while the target is absent.
        false_frames_visible: Frames claimed as tracked with an IoU of at most 0.1 while the target is visible.
        absent_frames: Frames without the target.
        visible_frames: Frames with it.
    """

    absences: int
    returns: int
    frames_to_report: FloatArray
    frames_to_reacquire: FloatArray
    false_frames_absent: int
    false_frames_visible: int
    absent_frames: int
    visible_frames: int

    @property
    def median_frames_to_report(self) -> float:
        """Infinite where half of the absences, or more, were never reported; NaN without an absence."""
        return _median_with_misses(self.frames_to_report)

    @property
    def median_frames_to_reacquire(self) -> float:
        """Infinite where half of the returns, or more, were never noticed; NaN without a return."""
        return _median_with_misses(self.frames_to_reacquire)

    @property
    def reported(self) -> float:
        """Share of the absences that were reported; NaN without one."""
        return _share(~np.isnan(self.frames_to_report))

    @property
    def reacquired(self) -> float:
        """Share of the returns after which the target was found again; NaN without one."""
        return _share(~np.isnan(self.frames_to_reacquire))


@dataclass(frozen=True)
class LongTermScore:
    """Of one track, or of several sequences joined.

    Attributes:
        precision: At the confidence with the best F.
        recall: There.
        f: The best F.
        threshold: That confidence.
        thresholds: Levels of confidence, (K,), from infinity to minus infinity.
        precisions: (K,); 1 where nothing is claimed.
        recalls: (K,).
        losses: Times of losses.
        tracks: What it was computed from, one entry a sequence.
    """

    precision: float
    recall: float
    f: float
    threshold: float
    thresholds: FloatArray
    precisions: FloatArray
    recalls: FloatArray
    losses: Losses
    tracks: tuple["JudgedTrack", ...]


@dataclass(frozen=True)
class JudgedTrack:
    """Frames after the first, all arrays (N - 1,): IoU (0 without target or box), confidence (minus infinity without a
    box), whether the target is there, whether the tracker claims to track it."""

    overlap: FloatArray
    confidence: FloatArray
    visible: NDArray[np.bool_]
    tracked: NDArray[np.bool_]


def long_term(
    boxes: ArrayLike, confidence: ArrayLike, truth: ArrayLike, tracked: ArrayLike | None = None
) -> LongTermScore:
    """Scores one track. The first frame, whose box is given, does not count.

    Args:
        boxes: Boxes xywh, (N, 4); NaN where the tracker gave none, which claims nothing.
        confidence: (N,); the first may be NaN. A NaN later on is an error.
        truth: Boxes xywh, (N, 4); NaN where the target is absent.
        tracked: (N,) True where the tracker claims to see the target (state TRACKING). Left out, it does wherever it
            gives a box, as trackers without states do.

    Raises:
        ValueError: The lengths differ, a confidence is NaN, or the target is never visible after the first frame.
    """
    boxes, truth = np.asarray(boxes, np.float64), np.asarray(truth, np.float64)
    confidence = np.asarray(confidence, np.float64)
    given = ~np.isnan(boxes).any(axis=-1)
    claimed = given if tracked is None else np.asarray(tracked, bool)
    if truth.ndim != 2 or truth.shape[1] != 4 or boxes.shape != truth.shape:
        raise ValueError(f"expected boxes and truth (N, 4) of equal length, got {boxes.shape} and {truth.shape}")
    if confidence.shape != (len(truth),) or claimed.shape != (len(truth),):
        raise ValueError(
            f"expected a confidence and a state for each of {len(truth)} frames, "
            f"got {confidence.shape} and {claimed.shape}"
        )
    if np.isnan(confidence[1:][given[1:]]).any():
        frame = 1 + int(np.flatnonzero(np.isnan(confidence[1:]) & given[1:])[0])
        raise ValueError(f"the confidence of frame {frame} is NaN: every box needs one for precision, recall and F")
    visible = ~np.isnan(truth).any(axis=1)
    if not visible[1:].any():
        raise ValueError("no frame counts: the truth holds no box after the first frame")
    track = JudgedTrack(
        np.nan_to_num(iou(boxes, truth), nan=0.0)[1:],
        np.where(given, confidence, -np.inf)[1:],
        visible[1:],
        (claimed & given)[1:],
    )
    return _score((track,))


def claims(boxes: ArrayLike, states: Sequence[str]) -> tuple[FloatArray, NDArray[np.bool_]]:
    """What a tracker with states claims, as ``boxes`` and ``tracked`` of ``long_term``.

    A tracker that says LOST claims no box, whatever box it holds on to; in UNCERTAIN it claims one with its confidence.
    Where it gives no state (an empty one) it claims to see the target.

    Args:
        boxes: xywh, (N, 4).
        states: N names of ``TrackState``.
    """
    names = np.asarray(states, str)
    boxes = np.where((names == TrackState.LOST.name)[:, None], np.nan, np.asarray(boxes, np.float64))
    return boxes, (names == TrackState.TRACKING.name) | (names == "")


def pooled(scores: Iterable[LongTermScore]) -> LongTermScore:
    """Joins sequences: one set of thresholds from all confidences, precision and recall averaged over the sequences at
    each of them, and the best F of those averages; the losses are put side by side.

    Raises:
        ValueError: There is no score.
    """
    tracks = tuple(track for score in scores for track in score.tracks)
    if not tracks:
        raise ValueError("no sequence to join")
    return _score(tracks)


def _score(tracks: tuple[JudgedTrack, ...]) -> LongTermScore:
    thresholds = confidence_thresholds(np.concatenate([track.confidence for track in tracks]))
    curves = np.array([_precision_and_recall(track, thresholds) for track in tracks]).mean(axis=0)
    precisions, recalls = curves
    total = precisions + recalls
    f = np.divide(2 * precisions * recalls, total, out=np.zeros_like(total), where=total > 0)
    best = int(np.argmax(f))
    return LongTermScore(
        float(precisions[best]),
        float(recalls[best]),
        float(f[best]),
        float(thresholds[best]),
        thresholds,
        precisions,
        recalls,
        _join([_losses(track) for track in tracks]),
        tracks,
    )


def confidence_thresholds(confidence: FloatArray) -> FloatArray:
    """Infinity, up to 98 of the confidences at equal steps of rank from high to low, minus infinity; (K,)."""
    ordered = np.sort(confidence[np.isfinite(confidence)])[::-1]
    inner = THRESHOLDS - 2
    if len(ordered) > inner:
        step = len(ordered) // inner
        # The source's last index may be one past the end; ours stays inside.
        ranks = np.round(np.linspace(step, len(ordered) - step, num=inner)).astype(int)
        ordered = ordered[ranks]
    return np.concatenate([[np.inf], ordered, [-np.inf]])


def _precision_and_recall(track: JudgedTrack, thresholds: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(K,) each. A frame without a box has the confidence of minus infinity and is never claimed."""
    claimed = (track.confidence >= thresholds[:, None]) & np.isfinite(track.confidence)
    count = claimed.sum(axis=1)
    overlap = (claimed * track.overlap).sum(axis=1)
    precision = np.divide(overlap, count, out=np.ones(len(thresholds)), where=count > 0)
    return precision, overlap / max(int(track.visible.sum()), 1)


def _losses(track: JudgedTrack) -> Losses:
    to_report: list[float] = []
    to_reacquire: list[float] = []
    found = track.tracked & (track.overlap > FOUND_OVERLAP)
    # The frame before the first one that counts shows the target: it is the one where tracking starts.
    starts = np.flatnonzero(np.diff(track.visible, prepend=True))
    ends = [*starts, len(track.visible)][1:]
    for start, end in zip(starts, ends, strict=True):
        wanted, delays = (found, to_reacquire) if track.visible[start] else (~track.tracked, to_report)
        hits = np.flatnonzero(wanted[start:end])
        delays.append(float(hits[0]) if len(hits) else np.nan)
    return Losses(
        absences=len(to_report),
        returns=len(to_reacquire),
        frames_to_report=np.array(to_report),
        frames_to_reacquire=np.array(to_reacquire),
        false_frames_absent=int((track.tracked & ~track.visible).sum()),
        false_frames_visible=int((track.tracked & track.visible & (track.overlap <= ELSEWHERE_OVERLAP)).sum()),
        absent_frames=int((~track.visible).sum()),
        visible_frames=int(track.visible.sum()),
    )


def _join(losses: list[Losses]) -> Losses:
    return Losses(
        sum(loss.absences for loss in losses),
        sum(loss.returns for loss in losses),
        np.concatenate([loss.frames_to_report for loss in losses]),
        np.concatenate([loss.frames_to_reacquire for loss in losses]),
        sum(loss.false_frames_absent for loss in losses),
        sum(loss.false_frames_visible for loss in losses),
        sum(loss.absent_frames for loss in losses),
        sum(loss.visible_frames for loss in losses),
    )


def _median_with_misses(delays: FloatArray) -> float:
    """Median with a miss as infinite, the upper one of two middle values."""
    if not len(delays):
        return float("nan")
    return float(np.sort(np.where(np.isnan(delays), np.inf, delays))[len(delays) // 2])


def _share(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean()) if len(mask) else float("nan")
