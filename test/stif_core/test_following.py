"""The follower's control law and the guard that says whether it may move."""

import math
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stif_core.follow_guard import FollowGuard, GuardSettings, Mode
from stif_core.following import STOP, FollowLaw, FollowSettings, Sighting

AHEAD = Sighting(time=0.0, azimuth=0.0, elevation=0.0, azimuth_rate=math.nan, size=0.2, cut_off=False, certain=True)


def settled(law: FollowLaw, seconds: float = 5.0, **changes):
    """The command after a long look at a target that does not move."""
    law.want_size(AHEAD.size)
    for i in range(int(seconds * 20) + 1):
        command = law.command(replace(AHEAD, time=i / 20, **changes))
    return command


def test_target_to_the_right_turns_the_base_to_the_right():
    command = settled(FollowLaw(), azimuth=0.3)
    s = FollowSettings()
    assert command.yaw_rate == pytest.approx(-s.yaw_gain * (0.3 - s.yaw_dead_band))
    assert settled(FollowLaw(), azimuth=-0.3).yaw_rate == pytest.approx(-command.yaw_rate)


def test_target_that_moves_to_the_right_is_turned_after():
    s = FollowSettings()
    assert settled(FollowLaw(), azimuth_rate=0.5).yaw_rate == pytest.approx(-0.5 * s.yaw_damping)
    assert settled(FollowLaw(), azimuth_rate=math.nan) == STOP


def test_small_target_is_driven_to_and_a_large_one_backed_away_from():
    s = FollowSettings()
    command = settled(FollowLaw(), size=0.15)
    assert command.forward == pytest.approx(s.forward_gain * (math.log(0.2 / 0.15) - s.size_dead_band))
    assert settled(FollowLaw(), size=0.25).forward < 0
    assert settled(FollowLaw(replace(s, max_backward_speed=0.0)), size=0.9).forward == 0


def test_target_above_makes_the_base_climb_where_that_is_wanted():
    assert settled(FollowLaw(), elevation=0.2).vertical == 0
    assert settled(FollowLaw(FollowSettings(vertical_gain=1.0)), elevation=0.2).vertical == pytest.approx(0.17)


@pytest.mark.parametrize(
    "errors",
    [{"azimuth": 0.019}, {"azimuth": -0.019}, {"size": 0.2 * 1.045}, {"size": 0.2 * 0.96}, {"elevation": 0.029}],
)
def test_dead_bands_hold_the_base_still(errors):
    assert settled(FollowLaw(FollowSettings(vertical_gain=1.0)), **errors) == STOP


def test_no_speed_changes_faster_than_its_limit():
    s = FollowSettings()
    law = FollowLaw(s)
    law.want_size(AHEAD.size)
    last = law.command(replace(AHEAD, azimuth=1.0, size=0.1))
    assert last == STOP  # the time since the sighting before is not known
    for i in range(1, 40):
        flipped = -1 if i > 20 else 1
        command = law.command(replace(AHEAD, time=i / 20, azimuth=flipped * 0.2, size=0.1 if i < 20 else 0.4))
        assert abs(command.yaw_rate - last.yaw_rate) <= s.max_yaw_acceleration / 20 + 1e-9
        assert abs(command.forward - last.forward) <= s.max_acceleration / 20 + 1e-9
        last = command


def test_base_turns_before_it_drives():
    s = FollowSettings()
    assert settled(FollowLaw(), azimuth=s.turn_first + 0.01, size=0.1).forward == 0
    half = settled(FollowLaw(), azimuth=s.turn_first / 2, size=0.1).forward
    assert half == pytest.approx(settled(FollowLaw(), size=0.1).forward / 2)


def test_base_turns_to_but_never_drives_at_a_target_cut_off_by_the_border():
    """It is nearer than it looks."""
    assert settled(FollowLaw(), size=0.1).forward > 0.5
    command = settled(FollowLaw(), size=0.1, azimuth=0.3, cut_off=True)
    assert command.forward == 0
    assert command.yaw_rate < -0.3
    assert settled(FollowLaw(), size=0.4, cut_off=True).forward < 0


def test_base_comes_to_rest_while_the_target_is_uncertain():
    law = FollowLaw(FollowSettings(vertical_gain=1.0))
    errors = {"azimuth": 0.4, "size": 0.1, "elevation": 0.3}
    assert settled(law, **errors) != STOP
    one = law.command(replace(AHEAD, time=5.05, certain=False, **errors))
    assert 0 < one.vertical < law.settings.max_vertical_speed  # one doubtful image is a dip, not a stop
    for i in range(2, 20):
        last = law.command(replace(AHEAD, time=5 + i / 20, certain=False, **errors))
    assert last == STOP


def test_wanted_size_is_the_one_at_arming_unless_the_settings_name_one():
    law = FollowLaw()
    law.want_size(0.3)
    assert law.wanted_size == 0.3
    law = FollowLaw(FollowSettings(target_size=0.1))
    law.want_size(0.3)
    assert law.wanted_size == 0.1


def test_after_a_stop_the_speeds_start_from_zero():
    law = FollowLaw()
    assert settled(law, azimuth=0.5).yaw_rate < -0.5
    law.stop()
    assert law.command(replace(AHEAD, time=6.0, azimuth=0.5)) == STOP


sightings = st.builds(
    Sighting,
    time=st.floats(0, 1e9),
    azimuth=st.floats(-math.pi, math.pi),
    elevation=st.floats(-math.pi / 2, math.pi / 2),
    azimuth_rate=st.one_of(st.floats(-1e6, 1e6), st.just(math.nan), st.just(math.inf)),
    size=st.floats(1e-6, 10),
    cut_off=st.booleans(),
    certain=st.booleans(),
)


@settings(deadline=None)
@given(st.lists(sightings, max_size=10))
def test_whatever_is_seen_the_limits_hold(seen):
    s = FollowSettings(vertical_gain=1.0)
    law = FollowLaw(s)
    for sighting in seen:
        command = law.command(sighting)
        assert -s.max_backward_speed - 1e-9 <= command.forward <= s.max_forward_speed + 1e-9
        assert abs(command.vertical) <= s.max_vertical_speed + 1e-9
        assert abs(command.yaw_rate) <= s.max_yaw_rate + 1e-9


@pytest.mark.parametrize("name", [field.name for field in fields(FollowSettings)])
def test_negative_or_infinite_settings_are_refused(name):
    for value in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match=name):
            FollowSettings(**{name: value})


# -- the guard


def guard_with_target(**settings) -> FollowGuard:
    guard = FollowGuard(GuardSettings(**settings))
    guard.on_track(10.0, 100.0, "head", None)
    return guard


def armed(**settings) -> FollowGuard:
    guard = guard_with_target(**settings)
    guard.arm(10.1)
    return guard


def test_nothing_moves_before_it_is_armed():
    guard = FollowGuard()
    for i in range(10):
        guard.on_track(10 + i / 10, 100 + i / 10, "head", None)
        guard.look(10 + i / 10, 50 + i / 10)
    assert guard.mode == Mode.DISARMED


@pytest.mark.parametrize(
    ("make", "now", "reason"),
    [
        (FollowGuard, 10.0, "no track has come"),
        (guard_with_target, 11.0, "no track for 1.0 s"),
    ],
)
def test_arming_without_a_target_in_view_is_refused(make, now, reason):
    guard = make()
    with pytest.raises(ValueError, match=reason):
        guard.arm(now)
    assert guard.mode == Mode.DISARMED


def test_arming_on_a_lost_target_is_refused():
    guard = FollowGuard()
    guard.on_track(10.0, 100.0, "head", "the target is LOST")
    with pytest.raises(ValueError, match="the target is LOST"):
        guard.arm(10.0)


def test_loss_holds_the_base_and_a_new_sight_lets_it_go_on():
    guard = armed()
    guard.on_track(10.2, 100.1, "head", "the target is LOST")
    assert (guard.mode, guard.reason) == (Mode.HOLDING, "the target is LOST")
    guard.on_track(10.3, 100.2, "head", None)
    assert guard.mode == Mode.FOLLOWING


def test_silence_of_the_tracker_holds_the_base():
    guard = armed(track_timeout=0.5)
    guard.look(10.45, 100.45)
    assert guard.mode == Mode.FOLLOWING
    guard.look(10.55, 100.55)
    assert guard.mode == Mode.HOLDING


def test_standing_for_long_disarms():
    guard = armed(disarm_timeout=3.0)
    guard.on_track(10.2, 100.1, "head", "the target is LOST")
    for tenth in range(1, 30):
        guard.on_track(10.2 + tenth / 10, 100.1 + tenth / 10, "head", "the target is LOST")
        guard.look(10.2 + tenth / 10, 50 + tenth / 10)
    assert guard.mode == Mode.HOLDING
    guard.look(13.25, 53.05)
    assert guard.mode == Mode.DISARMED
    guard.on_track(13.3, 104.0, "head", None)
    assert guard.mode == Mode.DISARMED


@pytest.mark.parametrize("shown", [1.2, -0.2, -1000.0])
def test_jump_of_the_clock_disarms(shown):
    guard = armed()
    guard.look(10.2, 50.0)
    guard.look(10.25, 50.0 + shown)
    assert guard.mode == Mode.DISARMED
    assert "clock jumped" in guard.reason


def test_clock_of_a_simulation_that_pauses_or_runs_at_another_pace_is_no_jump():
    guard = armed(track_timeout=10.0)
    for i, clock in enumerate([50.0, 50.0, 50.0, 50.2, 50.4, 50.6]):
        guard.look(10.2 + i / 20, clock)
    assert guard.mode == Mode.FOLLOWING


def test_images_whose_time_runs_backwards_disarm():
    guard = armed()
    guard.on_track(10.2, 99.0, "head", None)
    assert guard.mode == Mode.DISARMED


def test_another_target_disarms():
    guard = armed()
    guard.on_track(10.2, 100.1, "dog", None)
    assert guard.mode == Mode.DISARMED
    assert "'dog' after 'head'" in guard.reason
