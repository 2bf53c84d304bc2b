import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stif_core.evaluation.long_term import claims, confidence_thresholds, long_term, pooled

HERE, GONE, AWAY = (0.0, 0.0, 10.0, 10.0), (math.nan,) * 4, (50.0, 50.0, 10.0, 10.0)
HALF = (0.0, 0.0, 10.0, 5.0)  # IoU 0.5 with HERE


def test_precision_recall_and_f_of_a_case_counted_by_hand():
    # At .8: IoU 1 + .5 over two claims, over three visible frames. At .3: a claim while the target is gone.
    found = long_term([HERE, HERE, HALF, HERE, AWAY], [math.nan, 0.9, 0.8, 0.3, 0.2], [HERE, HERE, HERE, GONE, HERE])
    assert found.thresholds.tolist() == [math.inf, 0.9, 0.8, 0.3, 0.2, -math.inf]
    assert found.precisions == pytest.approx([1, 1, 0.75, 0.5, 0.375, 0.375])
    assert found.recalls == pytest.approx([0, 1 / 3, 0.5, 0.5, 0.5, 0.5])
    assert (found.precision, found.recall, found.threshold) == (0.75, 0.5, 0.8)
    assert found.f == pytest.approx(0.6)


def test_a_frame_without_a_box_claims_nothing():
    found = long_term([HERE, HERE, GONE, GONE], [1, 0.5, 0.9, math.nan], [HERE, HERE, HERE, GONE])
    assert (found.precision, found.recall) == (1, 0.5)
    assert found.losses.false_frames_absent == 0


def test_a_box_held_on_to_in_lost_is_no_claim_one_in_uncertain_is():
    # Sure throughout: without its states it would claim all four frames, with precision 3 / 4 and recall 1.
    boxes, tracked = claims([HERE] * 5, ["", "TRACKING", "UNCERTAIN", "LOST", "LOST"])
    assert np.isnan(boxes).all(axis=1).tolist() == [False, False, False, True, True]
    assert tracked.tolist() == [True, True, False, False, False]
    found = long_term(boxes, [1] * 5, [HERE, HERE, HERE, GONE, HERE], tracked)
    assert (found.precision, found.recall) == (1, pytest.approx(2 / 3))
    assert found.losses.frames_to_report.tolist() == [0]


def test_a_tracker_without_confidence_has_one_operating_point():
    found = long_term([HERE] * 5, [1] * 5, [HERE, HERE, GONE, GONE, HERE])
    assert (found.precision, found.recall) == (0.5, 1)


frame = st.tuples(st.sampled_from([HERE, GONE]), st.sampled_from([HERE, HALF, AWAY, GONE]), st.floats(0, 1))


@given(st.lists(frame, min_size=1, max_size=150))
def test_the_curve_agrees_with_a_plain_count_at_each_of_its_thresholds(frames):
    truth, boxes, confidence = zip((HERE, HERE, 1.0), (HERE, HERE, 0.5), *frames, strict=True)
    found = long_term(boxes, confidence, truth)
    overlap = {HERE: 1.0, HALF: 0.5, AWAY: 0.0, GONE: 0.0}
    for threshold, precision, recall in zip(found.thresholds, found.precisions, found.recalls, strict=True):
        claimed = [i for i in range(1, len(truth)) if boxes[i] is not GONE and confidence[i] >= threshold]
        hit = sum(overlap[boxes[i]] for i in claimed if truth[i] is not GONE)
        assert precision == pytest.approx(hit / len(claimed) if claimed else 1)
        assert recall == pytest.approx(hit / sum(box is not GONE for box in truth[1:]))


@given(st.lists(st.floats(-5, 5), max_size=400))
def test_thresholds_fall_and_are_at_most_a_hundred(confidence):
    thresholds = confidence_thresholds(np.array(confidence))
    assert len(thresholds) == min(len(confidence), 98) + 2
    assert (np.diff(thresholds[1:-1]) <= 0).all()


def test_thresholds_are_shared_and_each_sequence_counts_alike_when_joined():
    good = long_term([HERE] * 3, [1, 0.9, 0.9], [HERE] * 3)
    bad = long_term([AWAY] * 101, [0.4] * 101, [HERE] * 101)
    joined = pooled([good, bad])
    # At .9 the bad one claims nothing: precision (1 + 1) / 2, recall (1 + 0) / 2.
    assert (joined.precision, joined.recall, joined.threshold) == (1, 0.5, 0.9)
    assert joined.f == pytest.approx(2 / 3)
    assert (joined.precisions[-1], joined.recalls[-1]) == (0.5, 0.5)
    assert pooled([pooled([good]), bad]).f == joined.f


def test_loss_and_return_are_timed_in_frames():
    # frame:  0     1     2     3     4     5     6     7     8
    truth = [HERE, HERE, GONE, GONE, GONE, HERE, HERE, HERE, HERE]
    boxes = [HERE, HERE, HERE, HERE, HERE, AWAY, AWAY, HERE, HERE]
    tracked = [1, 1, 1, 1, 0, 0, 1, 1, 1]
    losses = long_term(boxes, [1] * 9, truth, tracked).losses
    assert losses.frames_to_report.tolist() == [2]  # two frames claimed as tracked after it left
    assert losses.frames_to_reacquire.tolist() == [2]  # at 6 it claims to track, but something else
    assert (losses.false_frames_absent, losses.false_frames_visible) == (2, 1)
    assert (losses.absent_frames, losses.visible_frames) == (3, 5)
    assert (losses.reported, losses.reacquired) == (1, 1)


def test_what_is_never_reported_or_found_again_counts_as_a_miss():
    truth = [HERE, HERE, GONE, HERE, HERE, GONE, HERE]
    boxes = [HERE, HERE, HERE, AWAY, AWAY, AWAY, HERE]
    losses = long_term(boxes, [1] * 7, truth).losses
    assert (losses.absences, losses.returns) == (2, 2)
    assert np.isnan(losses.frames_to_report).all()
    assert losses.frames_to_reacquire.tolist() == pytest.approx([math.nan, 0], nan_ok=True)
    assert (losses.reported, losses.reacquired) == (0, 0.5)
    assert losses.median_frames_to_report == math.inf
    assert losses.median_frames_to_reacquire == math.inf


def test_a_target_that_is_gone_in_the_second_frame_is_an_absence():
    losses = long_term([HERE] * 3, [1] * 3, [HERE, GONE, HERE], [1, 0, 1]).losses
    assert losses.frames_to_report.tolist() == [0]
    assert losses.frames_to_reacquire.tolist() == [0]


def test_without_an_absence_there_is_nothing_to_report():
    losses = long_term([HERE] * 3, [1] * 3, [HERE] * 3).losses
    assert losses.absences == 0
    assert math.isnan(losses.median_frames_to_report) and math.isnan(losses.reported)


def test_losses_of_several_sequences_stand_side_by_side():
    one = long_term([HERE] * 4, [1] * 4, [HERE, HERE, GONE, HERE], [1, 1, 0, 1])
    two = long_term([HERE] * 4, [1] * 4, [HERE, HERE, GONE, GONE], [1, 1, 1, 0])
    losses = pooled([one, two]).losses
    assert losses.frames_to_report.tolist() == [0, 1]
    assert losses.frames_to_reacquire.tolist() == [0]
    assert losses.absent_frames == 3
    assert losses.median_frames_to_report == 1


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match=r"equal length, got \(2, 4\) and \(3, 4\)"):
        long_term([HERE] * 2, [1] * 2, [HERE] * 3)
    with pytest.raises(ValueError, match=r"each of 3 frames, got \(2,\)"):
        long_term([HERE] * 3, [1] * 2, [HERE] * 3)
    with pytest.raises(ValueError, match="confidence of frame 2 is NaN"):
        long_term([HERE] * 3, [1, 1, math.nan], [HERE] * 3)
    with pytest.raises(ValueError, match="no frame counts"):
        long_term([HERE] * 2, [1] * 2, [HERE, GONE])
    with pytest.raises(ValueError, match="no sequence"):
        pooled([])
