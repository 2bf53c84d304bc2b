import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stif_core.evaluation.metrics import accuracy, frame_ious

side = st.floats(1, 100)
box = st.tuples(st.floats(-50, 200), st.floats(-50, 200), side, side)
tracks = st.lists(st.tuples(box, box), min_size=2, max_size=30)


def reference(predicted, truth, tie):
    """A second implementation, frame by frame in plain Python: success AUC, precision at 20 px, SR.5.

    An IoU within 1e-9 of a threshold may fall to either side: ``tie`` moves all thresholds by that much.
    """
    overlaps, distances = [], []
    for (px, py, pw, ph), (tx, ty, tw, th) in list(zip(predicted, truth, strict=True))[1:]:
        if any(value != value for value in (tx, ty, tw, th)):
            continue
        w = max(0.0, min(px + pw, tx + tw) - max(px, tx))
        h = max(0.0, min(py + ph, ty + th) - max(py, ty))
        overlap = w * h / (pw * ph + tw * th - w * h)
        overlaps.append(overlap if overlap == overlap else 0.0)
        distances.append(((px + pw / 2 - tx - tw / 2) ** 2 + (py + ph / 2 - ty - th / 2) ** 2) ** 0.5)
    rates = [sum(o > t / 20 + tie for o in overlaps) / len(overlaps) for t in range(21)]
    return (
        sum(rates) / 21,
        sum(d <= 20 - tie for d in distances) / len(distances),
        sum(o > 0.5 + tie for o in overlaps) / len(overlaps),
    )


@given(tracks)
def test_agrees_with_a_plain_implementation(pairs):
    predicted, truth = zip(*pairs, strict=True)
    found = accuracy(predicted, truth)
    values = (found.success_auc, found.precision, found.success_50)
    least, most = reference(predicted, truth, tie=1e-9), reference(predicted, truth, tie=-1e-9)
    assert all(low - 1e-12 <= value <= high + 1e-12 for low, value, high in zip(least, values, most, strict=True))


def test_perfect_track_reaches_20_of_21_thresholds():
    # IoU 1 is above every threshold but 1 itself.
    truth = np.tile([10.0, 10.0, 20.0, 20.0], (5, 1))
    found = accuracy(truth, truth)
    assert found.success_auc == pytest.approx(20 / 21)
    assert (found.precision, found.success_50, found.mean_iou, found.frames) == (1, 1, 1, 4)


def test_absent_frames_and_the_first_do_not_count():
    truth = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [np.nan] * 4, [0, 0, 10, 10]], float)
    predicted = np.array([[90, 90, 5, 5], [0, 0, 10, 10], [50, 50, 5, 5], [0, 0, 10, 10]], float)
    assert frame_ious(predicted, truth).tolist() == [1, 1]


def test_a_missing_prediction_scores_zero():
    truth = np.tile([10.0, 10.0, 20.0, 20.0], (3, 1))
    predicted = truth.copy()
    predicted[1] = np.nan
    found = accuracy(predicted, truth)
    assert found.mean_iou == 0.5
    assert found.precision == 0.5


def test_wrong_lengths_and_no_truth_are_errors():
    with pytest.raises(ValueError, match="equal length"):
        accuracy(np.zeros((3, 4)), np.zeros((4, 4)))
    with pytest.raises(ValueError, match="no frame counts"):
        accuracy(np.zeros((1, 4)), np.zeros((1, 4)))
