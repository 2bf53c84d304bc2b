import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stif_core.tracking import TrackerSettings
from stif_core.tracking.postprocess import best_cell, cosine_window, scale_penalty

side = st.floats(1, 300)


def test_same_size_is_not_penalised():
    assert scale_penalty(np.array([[30.0, 60.0]]), np.array([30.0, 60.0]), 0.1) == pytest.approx(1)


@given(side, side, side, side, st.floats(0.01, 1))
def test_penalty_is_symmetric_in_growing_and_shrinking(w, h, previous_w, previous_h, k):
    one = scale_penalty(np.array([[w, h]]), np.array([previous_w, previous_h]), k)
    other = scale_penalty(np.array([[previous_w, previous_h]]), np.array([w, h]), k)
    assert one == pytest.approx(other)
    assert 0 <= one[0] <= 1


def test_penalty_against_a_hand_computed_case():
    # 20x20 -> 40x40: shape 1, padded size 40 -> 80, so exp(-(1 * 2 - 1) k).
    assert scale_penalty(np.array([[40.0, 40.0]]), np.array([20.0, 20.0]), 0.3) == pytest.approx(np.exp(-0.3))


def test_window_is_1_in_the_middle_and_0_at_the_rim():
    np.testing.assert_allclose(cosine_window(np.array([[0.0, 0.0], [128.0, 0.0], [64.0, 0.0]]), 128), [1, 0, 0.5])


def test_equal_scores_are_decided_by_the_window():
    boxes = np.array([[10, 10, 40, 40], [110, 110, 146, 146]], np.float32)
    peak = best_cell(np.array([0.8, 0.8], np.float32), boxes, np.array([36.0, 36.0]), 256, TrackerSettings())
    assert peak.box_xyxy.tolist() == [110, 110, 146, 146]
    assert peak.score == pytest.approx(0.8)


def test_a_far_better_score_beats_the_window():
    boxes = np.array([[40, 40, 76, 76], [110, 110, 146, 146]], np.float32)
    peak = best_cell(np.array([0.95, 0.05], np.float32), boxes, np.array([36.0, 36.0]), 256, TrackerSettings())
    assert peak.box_xyxy[0] == 40
