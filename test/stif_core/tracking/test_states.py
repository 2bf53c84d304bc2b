"""Hysteresis of the states."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from stif_core.tracking.settings import TrackerSettings
from stif_core.tracking.states import StateMachine, TrackState

SETTINGS = TrackerSettings()
T, U, L = TrackState.TRACKING, TrackState.UNCERTAIN, TrackState.LOST


def _states(probabilities, settings=SETTINGS, **given):
    machine = StateMachine()
    return [machine.see(p, settings, **given) for p in probabilities]


def test_probability_between_the_thresholds_keeps_the_state():
    assert _states([0.6, 0.4, 0.6, 0.6]) == [T, U, U, U]


def test_what_is_seen_again_is_taken_at_once_unless_it_is_doubted():
    assert _states([0.4] * 5 + [0.9]) == [U] * 5 + [T]
    assert _states([0.4, 0.9], doubted=True) == [U, T]
    assert _states([0.4] * 5 + [0.9] * 3, doubted=True) == [U] * 5 + [U, U, T]
    assert _states([0.4] * 5 + [0.9, 0.9, 0.6, 0.9], doubted=True) == [U] * 9


def test_clear_absence_is_lost_sooner_than_doubt():
    assert _states([0.1] * 20, absent=True)[-2:] == [U, L]
    assert _states([0.1] * 30)[-2:] == [U, L]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.booleans()), max_size=80))
def test_tracking_is_never_reported_on_a_probability_below_the_lower_threshold(frames):
    machine = StateMachine()
    for probability, absent, doubted in frames:
        state = machine.see(probability, SETTINGS, absent, doubted)
        assert state != T or probability >= SETTINGS.uncertain_probability


@given(st.lists(st.floats(0, 0.49), min_size=30, max_size=60), st.booleans())
def test_thirty_doubtful_frames_are_lost(probabilities, doubted):
    assert _states(probabilities, doubted=doubted)[-1] == L


@given(st.lists(st.floats(0, 1), max_size=60))
def test_thresholds_of_zero_never_leave_tracking(probabilities):
    settings = replace(SETTINGS, uncertain_probability=0.0, tracking_probability=0.0)
    assert set(_states(probabilities, settings)) <= {T}
