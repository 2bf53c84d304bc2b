"""Frames that never arrived are counted by the publisher's sequence numbers, or guessed from the stamps."""

import random

from hypothesis import given
from hypothesis import strategies as st

from stif_ros.transport import TransportLoss

PERIOD = 33_000_000


@given(st.sets(st.integers(1, 500), min_size=2))
def test_losses_by_sequence_numbers_are_exact_whatever_the_stamps_say(arrived):
    loss, rng = TransportLoss(), random.Random(0)
    for sequence in sorted(arrived):
        loss.arrived(rng.choice([None, 0, -5, PERIOD, 10**18]), sequence)
    assert loss.lost == max(arrived) - min(arrived) + 1 - len(arrived)


def test_a_camera_that_starts_again_loses_nothing():
    loss = TransportLoss()
    for sequence in (70, 71, 73, 1, 2, 4):
        loss.arrived(PERIOD, sequence)
    assert loss.lost == 2


def test_a_pause_or_a_clock_set_forward_is_no_loss():
    loss = TransportLoss()
    for gap in [PERIOD] * 10 + [3_600_000_000_000] + [PERIOD] * 10 + [3 * PERIOD]:
        loss.arrived(gap)
    assert loss.lost == 2


def test_images_without_stamps_tell_nothing():
    loss = TransportLoss()
    for gap in [PERIOD] * 10 + [None] * 5 + [0] * 5:
        loss.arrived(gap)
    assert loss.lost == 0


def test_lost_frames_are_seen_in_the_gaps():
    loss = TransportLoss()
    for gap_ms in [33, 34, 33, 33, 34, 33, 100, 33, 66]:
        loss.arrived(gap_ms * 1_000_000)
    assert loss.lost == 2 + 1


def test_jitter_is_no_loss():
    loss = TransportLoss()
    for gap_ms in [33, 20, 45, 33, 25, 40, 33, 45, 22] * 5:
        loss.arrived(gap_ms * 1_000_000)
    assert loss.lost == 0
