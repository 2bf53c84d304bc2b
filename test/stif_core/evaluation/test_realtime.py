import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stif_core.evaluation.realtime import RealtimeClock, hold, seen_frames
from stif_core.evaluation.run import run_sequence
from stif_core.evaluation.sequences import Sequence


class Counter:
    """A tracker whose box says how many images it has been given."""

    confidence, state = math.nan, ""

    def init(self, image, box):
        self.images = 0

    def track(self, image):
        self.images += 1
        self.confidence = self.images / 10
        return np.array([self.images, image[0, 0, 0], 1.0, 1.0])


@pytest.fixture
def sequence(tmp_path):
    """Ten images, each filled with its number."""
    for i in range(10):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((4, 4, 3), i, np.uint8))
    return Sequence("ten", [tmp_path / f"{i}.png" for i in range(10)], np.zeros((10, 4)))


def test_a_tracker_within_two_intervals_sees_every_image():
    assert seen_frames([0.1] * 6, fps=20, grace=0).all()  # 50 ms between images, 100 ms for each


def test_a_tracker_of_two_and_a_half_intervals_sees_every_second_image():
    assert seen_frames([0.125] * 6, fps=20, grace=0).tolist() == [True, False, True, False, True, False]


def test_the_first_slow_steps_are_forgiven():
    assert seen_frames([0.125] * 8, fps=20, grace=3).tolist() == [True] * 4 + [False, True, False, True]


def test_one_slow_step_skips_the_images_that_arrive_meanwhile():
    seconds = [0, 0, 0.24, 0, 0, 0, 0, 0]  # 4.8 intervals: the step's own one and three more are over when it ends
    assert seen_frames(seconds, fps=20, grace=0).tolist() == [True] * 3 + [False] * 3 + [True] * 2


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.integers(0, 4), st.floats(1, 100))
def test_as_the_toolkit_accounts_for_time(seconds, grace, fps):
    """The bookkeeping of VOT's ``RealtimeTrackerRuntime``, written down apart."""
    interval, left, owed, expected = 1 / fps, grace, 0.0, []
    for taken in seconds:
        if owed > interval:
            owed -= interval
            expected.append(False)
            continue
        expected.append(True)
        owed = 0.0
        if taken > interval:
            if left > 0:
                left -= 1
            else:
                owed = taken - interval
    assert seen_frames(seconds, fps, grace).tolist() == expected


def test_boxes_of_skipped_images_are_the_last_ones_before():
    boxes = np.arange(20.0).reshape(5, 4)
    assert hold(boxes, [True, False, False, True, False])[:, 0].tolist() == [0, 0, 0, 12, 12]


def test_a_slow_tracker_is_given_only_the_images_for_which_it_is_free(sequence):
    track = run_sequence(Counter(), sequence, RealtimeClock(20, grace=0, seconds_per_frame=0.125))
    assert track.boxes[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert track.boxes[:, 1].tolist() == [0, 0, 2, 2, 4, 4, 6, 6, 8, 8]
    assert np.isnan(track.seconds).tolist() == [True, False] * 4 + [True]
    assert track.confidence[1:] == pytest.approx([math.nan, *np.repeat([0.1, 0.2, 0.3, 0.4], 2)], nan_ok=True)
    assert track.initial_seconds == 0.125


def test_given_times_agree_with_the_frames_seen(sequence):
    seen = seen_frames([0.16] * 10, fps=20)
    track = run_sequence(Counter(), sequence, RealtimeClock(20, seconds_per_frame=0.16))
    assert (~np.isnan(track.seconds)).tolist() == seen[1:].tolist()


def test_a_tracker_that_keeps_up_gives_what_it_gives_without_a_clock(sequence):
    track = run_sequence(Counter(), sequence, RealtimeClock(0.1))  # measured: microseconds against ten seconds
    assert track.boxes[:, 0].tolist() == list(range(10))
    assert not np.isnan(track.seconds).any()


def test_no_rate_is_an_error():
    with pytest.raises(ValueError, match="positive number of images a second, got 0"):
        RealtimeClock(0)
