"""Each protocol against a plain implementation, frame by frame, and against cases counted by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stif_core.evaluation.metrics import accuracy
from stif_core.evaluation.protocols import PROTOCOLS, describe_protocol, score, summarise
from stif_core.evaluation.sequences import Sequence, read_sequences

SIZE = (64, 48)
number = st.integers(-10, 70)
box = st.tuples(number, number, st.integers(1, 40), st.integers(1, 40)).map(lambda values: tuple(map(float, values)))
nothing = st.just((math.nan,) * 4)
frames = st.lists(st.tuples(st.one_of(box, nothing), st.one_of(box, box, nothing)), min_size=1, max_size=12)


def sequence_of(truth, **fields):
    truth = np.array(truth, float).reshape(-1, 4)
    return Sequence("s", [None] * len(truth), truth, **({"size": SIZE} | fields))


@st.composite
def tracks(draw):
    """Boxes found and true; the first frame has both."""
    first = draw(box)
    pairs = [(first, first), (draw(box), draw(box)), *draw(frames)]
    return tuple(zip(*pairs, strict=True))


def plain_iou(a, b):
    w = max(0.0, min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]))
    h = max(0.0, min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]))
    return w * h / (a[2] * a[3] + b[2] * b[3] - w * h)


def plain_distance(a, b, width=1.0, height=1.0):
    across = (a[0] + a[2] / 2 - b[0] - b[2] / 2) / width
    down = (a[1] + a[3] / 2 - b[1] - b[3] / 2) / height
    return math.sqrt(across * across + down * down)


def plain_success(overlaps, total, tie):
    """Mean over the 21 thresholds, all moved by ``tie``: whole numbers make many an IoU that is a threshold exactly."""
    return sum(sum(o > t / 20 + tie for o in overlaps) / total for t in range(21)) / 21


def assert_between(value, low, high):
    assert low - 1e-12 <= value <= high + 1e-12


def plain_toolkit(found, true, origin, absent):
    """The Matlab toolkits: IoU of each frame, precision, normalised precision."""
    overlaps, distances, shares = [], [], []
    last = true[0]
    for i, (box_found, box_true) in enumerate(zip(found, true, strict=True)):
        if i == 0:
            box_found = box_true
        elif math.isnan(box_found[0]) and not math.isnan(box_true[0]):
            box_found = last
        last = box_found
        if absent[i]:
            continue
        if math.isnan(box_true[0]) or min(box_true[0] + origin, box_true[1] + origin) <= 0:
            overlaps.append(-1.0)
            distances.append(-1.0)
            shares.append(-1.0)
        elif math.isnan(box_found[0]):
            overlaps.append(-1.0)
            distances.append(math.inf)
            shares.append(math.inf)
        else:
            overlaps.append(plain_iou(box_found, box_true))
            distances.append(plain_distance(box_found, box_true))
            shares.append(plain_distance(box_found, box_true, *box_true[2:]))
    total = len(true)
    return (
        overlaps,
        sum(d <= 20 for d in distances) / total,
        sum(s <= 0.2 for s in shares) / total,
    )


def assert_like_the_toolkit(figures, expected, total):
    overlaps, *precisions = expected
    low, high = (plain_success(overlaps, total, tie) for tie in (1e-9, -1e-9))
    # At the threshold 0 both sides of the tie agree but for a frame without any overlap, which is a miss.
    high -= sum(o == 0 for o in overlaps) / total / 21
    assert_between(figures["success_auc"], low, high)
    assert [figures["precision"], figures["normalised_precision"]] == pytest.approx(precisions, abs=1e-12)


@given(tracks(), st.sampled_from([0.0, 1.0]), st.sampled_from(["otb", "uav"]))
def test_otb_and_uav_agree_with_a_plain_implementation(track, origin, protocol):
    found, true = track
    figures = score(protocol, sequence_of(true, origin=origin), found).figures
    assert_like_the_toolkit(figures, plain_toolkit(found, true, origin, [False] * len(true)), len(true))


@given(tracks(), st.randoms(use_true_random=False))
def test_lasot_agrees_with_a_plain_implementation(track, random):
    found, true = track
    absent = [False, *(random.random() < 0.3 for _ in true[1:])]
    figures = score("lasot", sequence_of(true, origin=1.0, absent=np.array(absent)), found).figures
    assert_like_the_toolkit(figures, plain_toolkit(found, true, 1.0, absent), len(true))


def plain_clip(box, size):
    x, y = min(max(box[0], 0), size[0]), min(max(box[1], 0), size[1])
    return x, y, min(max(box[2], 0), size[0] - x), min(max(box[3], 0), size[1] - y)


@given(tracks(), st.sampled_from([0.0, 1.0]))
def test_got10k_agrees_with_a_plain_implementation(track, origin):
    found, true = track
    overlaps = []
    for box_found, box_true in list(zip(found, true, strict=True))[1:]:
        if math.isnan(box_true[0]):
            continue
        if math.isnan(box_found[0]):
            overlaps.append(0.0)
            continue
        a, b = (plain_clip((x + origin, y + origin, w, h), SIZE) for x, y, w, h in (box_found, box_true))
        area = a[2] * a[3] + b[2] * b[3]
        overlaps.append(plain_iou(a, b) if area else 0.0)
    result = score("got10k", sequence_of(true, origin=origin), found)
    assert result.figures["ao"] == pytest.approx(sum(overlaps) / len(overlaps), abs=1e-12)
    low, high = (sum(o > 0.5 + tie for o in overlaps) / len(overlaps) for tie in (1e-9, -1e-9))
    assert_between(result.figures["sr_50"], low, high)
    assert np.count_nonzero(~np.isnan(result.overlap)) == len(overlaps)


def trapezoid(values):
    return sum(values[1:-1]) / 20 + (values[0] + values[-1]) / 40


@given(tracks(), st.floats(-0.45, 0.45), st.sampled_from([0.0, 1.0]))
def test_trackingnet_agrees_with_a_plain_implementation(track, fraction, origin):
    found, true = track
    true = tuple(true_box if not math.isnan(true_box[0]) else (5.0, 5.0, 9.0, 9.0) for true_box in true)
    found = tuple(tuple(value + fraction for value in box_found) for box_found in found)  # rounded away again
    overlaps, distances = [], []
    for i, (box_found, box_true) in enumerate(zip(found, true, strict=True)):
        box_found = box_true if i == 0 else tuple(value - fraction for value in box_found)
        known = not math.isnan(box_found[0])
        overlaps.append(plain_iou(box_found, box_true) if known else -1.0)
        distances.append(plain_distance(box_found, box_true) if known else math.inf)
    precision = [sum(d <= 2.5 * t for d in distances) / len(distances) for t in range(21)]
    figures = score("trackingnet", sequence_of(true, origin=origin), found).figures
    low, high = (
        trapezoid([sum(o >= t / 20 + tie for o in overlaps) / len(overlaps) for t in range(21)])
        for tie in (1e-9, -1e-9)
    )
    low += sum(o == 0 for o in overlaps) / len(overlaps) / 40  # no overlap does reach the threshold 0
    assert_between(figures["success"], low, high)
    assert figures["precision"] == pytest.approx(trapezoid(precision))


def test_folder_scores_as_the_metrics_do():
    truth = [[0, 0, 10, 10], [0, 0, 10, 10], [math.nan] * 4, [5, 5, 10, 10], [5, 5, 10, 10]]
    found = [[90, 90, 5, 5], [1, 2, 10, 10], [50, 50, 5, 5], [math.nan] * 4, [5, 5, 12, 12]]
    figures = score("folder", sequence_of(truth), found).figures
    known = accuracy(found, truth)
    assert figures["success_auc"] == pytest.approx(known.success_auc, abs=1e-15)
    assert figures["precision"] == known.precision == pytest.approx(2 / 3)
    assert (figures["success_50"], figures["mean_iou"]) == pytest.approx((known.success_50, known.mean_iou))


def test_folder_scores_the_real_sequences_as_the_metrics_do(shared_data):
    for sequence in read_sequences(shared_data / "sequences"):
        still = np.tile(sequence.truth[0], (len(sequence.truth), 1))
        known = accuracy(still, sequence.truth)
        figures = score("folder", sequence, still).figures
        assert figures["success_auc"] == pytest.approx(known.success_auc, abs=1e-14)
        assert (figures["precision"], figures["success_50"]) == (known.precision, known.success_50)


def test_the_first_frame_counts_in_otb_and_not_in_folder():
    truth = [[10, 10, 10, 10], [10, 10, 10, 10]]
    found = [[10, 10, 10, 10], [50, 50, 10, 10]]
    assert score("otb", sequence_of(truth), found).figures["success_auc"] == pytest.approx(20 / 21 / 2)
    assert score("folder", sequence_of(truth), found).figures["success_auc"] == 0


def test_a_frame_without_truth_is_a_miss_in_success_and_a_hit_in_precision_in_otb_but_not_in_lasot():
    truth = [[10, 10, 10, 10], [math.nan] * 4]
    otb = score("otb", sequence_of(truth), truth).figures
    assert (otb["success_50"], otb["precision"], otb["normalised_precision"], otb["mean_iou"]) == (0.5, 1, 1, 1)
    lasot = score("lasot", sequence_of(truth), truth).figures
    assert (lasot["success_50"], lasot["precision"], lasot["normalised_precision"]) == (0.5, 0.5, 0.5)


def test_a_true_box_at_the_edge_counts_as_missing_only_where_the_file_has_no_positive_number():
    truth = [[5, 5, 10, 10], [0, 5, 10, 10]]
    assert score("otb", sequence_of(truth, origin=1.0), truth).figures["success_50"] == 1
    assert score("otb", sequence_of(truth, origin=0.0), truth).figures["success_50"] == 0.5


def test_normalised_precision_is_given_in_both_conventions():
    # The centre is 3/10 of the width away: within 0.30 to 0.50, 21 of the 51 thresholds, but not within 0.20.
    truth = [[10, 10, 10, 10], [10, 10, 10, 10]]
    figures = score("folder", sequence_of(truth), [truth[0], [13, 10, 10, 10]]).figures
    assert figures["normalised_precision"] == 0
    assert figures["normalised_precision_auc"] == pytest.approx(21 / 51)


def test_got10k_pools_frames_and_counts_those_with_cover():
    short = sequence_of([[0, 0, 10, 10]] * 2, cover=np.array([8, 8]))
    long = sequence_of([[0, 0, 10, 10]] * 5, cover=np.array([8, 8, 1, 0, 8]))
    scores = {
        "short": score("got10k", short, short.truth),
        "long": score("got10k", long, [[0, 0, 10, 10], [0, 0, 10, 6], [0, 0, 10, 5], [0, 0, 10, 10], [0, 0, 10, 8]]),
    }
    summary = summarise("got10k", scores)
    assert summary.figures["ao"] == pytest.approx((1 + 0.6 + 0.5 + 0.8) / 4)
    assert (summary.figures["sr_50"], summary.figures["sr_75"]) == (0.75, 0.5)
    assert summary.curves["success"].values[[0, 50, 100]] == pytest.approx([1, 0.75, 0])
    assert np.isnan(scores["long"].overlap).tolist() == [True, False, False, True, False]


def test_got10k_moves_a_box_that_starts_left_of_the_image():
    # The toolkit clips the corner and keeps the width: (-10, 0, 20, 10) becomes (0, 0, 20, 10), not (0, 0, 10, 10).
    sequence = sequence_of([[0, 0, 20, 10]] * 2)
    assert score("got10k", sequence, [[0, 0, 20, 10], [-10, 0, 20, 10]]).figures["ao"] == pytest.approx(1)


def test_trackingnet_reaches_every_threshold_with_a_perfect_box_and_rounds_halves_as_in_the_file():
    truth = [[10, 10, 10, 10]] * 2
    assert score("trackingnet", sequence_of(truth), truth).figures == {
        "success": 1,
        "precision": 1,
        "normalised_precision": 1,
        "coverage": 1,
    }
    # 10.5 in the file rounds to 10, 11.5 to 12: an IoU of 1 in one origin, of .8 / 1.2 with the other.
    found = [truth[0], [10.5, 10, 10, 10]]
    assert score("trackingnet", sequence_of(truth), found).curves["success"].values[-1] == 1
    assert score("trackingnet", sequence_of(truth, origin=1.0), found).curves["success"].values[-1] == 0.5


def test_trackingnet_counts_frames_without_a_box_in_the_coverage():
    long = sequence_of([[10, 10, 10, 10]] * 6)
    found = np.array(long.truth)
    found[1:4] = np.nan
    short = sequence_of([[10, 10, 10, 10]] * 2)
    scores = {"long": score("trackingnet", long, found), "short": score("trackingnet", short, short.truth)}
    assert scores["long"].figures == {"success": 0.5, "precision": 0.5, "normalised_precision": 0.5, "coverage": 0.5}
    summary = summarise("trackingnet", scores)
    assert (summary.figures["success"], summary.figures["coverage"]) == (0.75, 5 / 8)


def test_attributes_are_summed_up_over_the_sequences_that_have_them():
    truth = [[10, 10, 10, 10]] * 2
    miss = [truth[0], [40, 40, 5, 5]]
    fast = sequence_of(truth, attributes=frozenset({"FM", "SV"}))
    slow = sequence_of(truth, attributes=frozenset({"SV"}))
    scores = {"fast": score("folder", fast, miss), "slow": score("folder", slow, truth)}
    summary = summarise("folder", scores)
    assert list(summary.by_attribute) == ["FM", "SV"]
    assert summary.sequences_of_attribute == {"FM": 1, "SV": 2}
    assert summary.by_attribute["FM"]["success_50"] == 0
    assert summary.by_attribute["SV"] == summary.figures
    assert summary.figures["success_50"] == 0.5


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_curves_end_in_the_figures_they_name(protocol):
    truth = np.array([[10.0, 10, 10, 10]] * 4)
    result = summarise(protocol, {"s": score(protocol, sequence_of(truth), truth + np.array([0, 0, 2, 0]))})
    assert next(iter(result.figures)) == result.curves["success"].figure
    for curve in result.curves.values():
        assert curve.figure in result.figures
        assert curve.thresholds.shape == curve.values.shape
    assert describe_protocol(protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_result_of_another_length_is_an_error(protocol):
    sequence = sequence_of([[10, 10, 10, 10]] * 4)
    with pytest.raises(ValueError, match=r"s has 4 frames, but its result is an array \(3, 4\)"):
        score(protocol, sequence, sequence.truth[:3])


def test_what_cannot_be_scored_is_said():
    on_server = Sequence("s", [None] * 3, np.array([[1.0, 1, 5, 5]]))
    with pytest.raises(ValueError, match="its test server keeps all but the first true box"):
        score("got10k", on_server, np.ones((3, 4)))
    with pytest.raises(ValueError, match="unknown protocol 'vot': use one of folder, otb"):
        score("vot", on_server, np.ones((3, 4)))
    gone = sequence_of([[1, 1, 5, 5], [math.nan] * 4])
    for protocol in ("folder", "got10k"):
        with pytest.raises(ValueError, match="no frame counts"):
            score(protocol, gone, np.ones((2, 4)))
    with pytest.raises(ValueError, match="no scores"):
        summarise("otb", {})
