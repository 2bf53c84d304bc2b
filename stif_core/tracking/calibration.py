"""From a network's score to the probability that the box is right."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from stif_core.geometry import FloatArray

EDGE = 1e-4  # scores are kept this far from 0 and 1, where the logit has no end


@dataclass(frozen=True)
class Calibration:
    """``sigmoid(score_weight logit(score) + usual_weight logit(usual) + bias)``, a logistic regression (Platt, 1999).

    How high the score of a target usually is differs from target to target: a sudden drop below that tells more than
    the score alone. The defaults hold for no model in particular; each has its own, fitted on the validation clips.
    """

    score_weight: float = 2.3
    usual_weight: float = -2.3
    bias: float = 1.86

    def probability(self, score: ArrayLike, usual: ArrayLike) -> FloatArray:
        """Probability that the IoU of the box with the true one is at least one half.

        Args:
            score: Of the network, 0 to 1.
            usual: What it usually is for this target, 0 to 1.
        """
        logit = self.score_weight * clipped_logit(score) + self.usual_weight * clipped_logit(usual) + self.bias
        return 1 / (1 + np.exp(-logit))


def clipped_logit(p: ArrayLike) -> FloatArray:
    """``log(p / (1 - p))``, finite for every p from 0 to 1."""
    p = np.clip(np.asarray(p, np.float64), EDGE, 1 - EDGE)
    return np.log(p / (1 - p))
