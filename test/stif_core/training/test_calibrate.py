import numpy as np
import pytest

pytest.importorskip("scipy")

from stif_core.training.calibrate import (
    ABSENT_SHARE,
    ScoredFrames,
    expected_calibration_error,
    fit,
    held_out_probabilities,
    reliability,
)


def frames(count=6000, clips=8, score_weight=3.0, usual_weight=-2.0, bias=1.0, painted=0):
    """Frames whose boxes are right with the probability of a known calibration."""
    rng = np.random.default_rng(0)
    score, usual = rng.uniform(0.05, 0.95, count), rng.uniform(0.5, 0.95, count)
    logit = score_weight * np.log(score / (1 - score)) + usual_weight * np.log(usual / (1 - usual)) + bias
    right = rng.random(count) < 1 / (1 + np.exp(-logit))
    painted_out = np.arange(count) < painted
    return ScoredFrames(rng.integers(clips, size=count), score, usual, right & ~painted_out, painted_out)


def test_fit_finds_the_calibration_that_made_the_frames():
    found = fit(frames())
    assert found.score_weight == pytest.approx(3.0, abs=0.3)
    assert found.usual_weight == pytest.approx(-2.0, abs=0.3)
    assert found.bias == pytest.approx(1.0, abs=0.3)


def test_held_out_probabilities_say_how_often_the_box_is_right():
    data = frames()
    table = reliability(held_out_probabilities(data), data.right, data.weights())
    assert sum(row.share for row in table) == pytest.approx(1)
    assert expected_calibration_error(table) < 0.03
    assert table[-1].right > 0.9
    wrong = reliability(1 - held_out_probabilities(data), data.right, data.weights())
    assert expected_calibration_error(wrong) > 0.3


def test_clip_is_judged_by_the_others():
    """A clip whose scores say the contrary of all others' cannot teach its own probabilities."""
    data = frames(clips=4)
    odd = data.clip == 0
    data.right[odd] = ~data.right[odd]
    probability = held_out_probabilities(data)
    assert np.corrcoef(probability[odd], data.right[odd])[0, 1] < 0
    assert np.corrcoef(probability[~odd], data.right[~odd])[0, 1] > 0


def test_frames_with_the_target_painted_out_have_a_fixed_weight():
    data = frames(count=1000, painted=500)
    weights = data.weights()
    assert weights.mean() == pytest.approx(1)
    assert weights[data.painted_out].sum() / weights.sum() == pytest.approx(ABSENT_SHARE)


def test_frames_that_are_all_right_teach_nothing():
    data = frames(count=100)
    data.right[:] = True
    with pytest.raises(ValueError, match="others in which it was wrong"):
        fit(data)
