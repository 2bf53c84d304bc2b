"""Fits the calibration of a model's score on clips that were not trained on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from stif_core.geometry import FloatArray
from stif_core.tracking.calibration import Calibration, clipped_logit

ABSENT_SHARE = 0.2  # weight of the frames with the target painted out; real clips hold hardly any without it
RIDGE = 1e-3  # keeps the weights finite where the frames can be told apart without error


@dataclass(frozen=True)
class ScoredFrames:
    """Frames of validation clips.

    Attributes:
        clip: Number of the clip, (N,).
        score: Raw score of the network, (N,).
        usual: What it usually was for that target, (N,).
        right: Whether the box was right (IoU with the true one at least one half), (N,).
        painted_out: Whether the target had been painted out, (N,); these are never right.
    """

    clip: NDArray[np.int64]
    score: FloatArray
    usual: FloatArray
    right: NDArray[np.bool_]
    painted_out: NDArray[np.bool_]

    def weights(self) -> FloatArray:
        """Of each frame, with a mean of 1: those with the target painted out make up ``ABSENT_SHARE``."""
        absent = self.painted_out.mean()
        if absent in (0, 1):
            return np.ones(len(self.score))
        return np.where(self.painted_out, ABSENT_SHARE / absent, (1 - ABSENT_SHARE) / (1 - absent))

    def part(self, chosen: NDArray[np.bool_]) -> "ScoredFrames":
        return ScoredFrames(
            self.clip[chosen], self.score[chosen], self.usual[chosen], self.right[chosen], self.painted_out[chosen]
        )


@dataclass(frozen=True)
class ReliabilityBin:
    """Frames with a probability of ``low`` to ``high``: their share, mean probability, and how many were right."""

    low: float
    high: float
    share: float
    probability: float
    right: float


def fit(frames: ScoredFrames) -> Calibration:
    """The logistic regression of most likelihood.

    Raises:
        ValueError: All frames are right, or none is.
    """
    if frames.right.all() or not frames.right.any():
        raise ValueError("a calibration needs frames in which the box was right and others in which it was wrong")
    features = np.stack([clipped_logit(frames.score), clipped_logit(frames.usual), np.ones(len(frames.score))], axis=1)
    sign, weights = np.where(frames.right, 1.0, -1.0), frames.weights()

    def loss(beta: FloatArray) -> tuple[float, FloatArray]:
        margin = sign * (features @ beta)
        gradient = -(weights * sign * expit(-margin)) @ features / len(sign) + RIDGE * beta
        return float((weights * np.logaddexp(0, -margin)).mean() + RIDGE / 2 * beta @ beta), gradient

    beta = minimize(loss, np.array([1.0, 0.0, 0.0]), jac=True, method="L-BFGS-B").x
    return Calibration(*(round(float(value), 4) for value in beta))


def held_out_probabilities(frames: ScoredFrames) -> FloatArray:
    """Probability of each frame by a calibration fitted on the other clips, (N,)."""
    probability = np.empty(len(frames.score))
    for clip in np.unique(frames.clip):
        own = frames.clip == clip
        probability[own] = fit(frames.part(~own)).probability(frames.score[own], frames.usual[own])
    return probability


def reliability(probability: FloatArray, right: NDArray[np.bool_], weights: FloatArray) -> list[ReliabilityBin]:
    """A table of ten equal bins; those without a frame are left out."""
    bins = []
    number = np.minimum((probability * 10).astype(int), 9)
    for i in np.unique(number):
        weight = weights * (number == i)
        total = weight.sum()
        bins.append(
            ReliabilityBin(
                i / 10,
                (i + 1) / 10,
                float(total / weights.sum()),
                float((weight * probability).sum() / total),
                float((weight * right).sum() / total),
            )
        )
    return bins


def expected_calibration_error(bins: list[ReliabilityBin]) -> float:
    """Mean distance of probability and share right over the bins, weighted by their frames (Guo et al., 2017)."""
    return sum(row.share * abs(row.probability - row.right) for row in bins)
