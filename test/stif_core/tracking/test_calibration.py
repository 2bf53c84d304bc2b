import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stif_core.tracking.calibration import Calibration

SCORE = st.floats(0, 1)


@given(SCORE, SCORE, SCORE)
def test_probability_rises_with_the_score_and_falls_with_what_is_usual(low, high, usual):
    low, high = sorted((low, high))
    default = Calibration()
    assert 0 < default.probability(low, usual) <= default.probability(high, usual) <= 1
    assert default.probability(usual, high) <= default.probability(usual, low)


def test_weights_are_those_of_a_logistic_regression():
    calibration = Calibration(score_weight=2.0, usual_weight=-1.0, bias=0.5)
    logit = 2 * np.log(0.8 / 0.2) - np.log(0.6 / 0.4) + 0.5
    np.testing.assert_allclose(calibration.probability([0.8], [0.6]), [1 / (1 + np.exp(-logit))])
