"""The closed loop: rendered camera, real tracker process, real follower process, over DDS."""

import os
import signal
import time

import pytest

if not os.environ.get("STIF_REQUIRE_ROS"):
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    pytest.importorskip("stif_ros.msg", reason="the messages are not built: run colcon build")
pytest.importorskip("skimage", reason="the rendered world needs scikit-image")

import numpy as np
import rclpy
from robot import use_own_domain
from stif_ros.msg import Track

from demo.closed_loop import FPS, ClosedLoop, running_nodes
from demo.follow import START, summarise
from stif_core.evaluation.rendered_world import Pose, walk

# A stepped loop waits for every answer: what is asserted below holds at any pace of the machine. The follower must not
# take a slow machine for a dead tracker.
PATIENT = ("track_timeout:=10.0", "disarm_timeout:=0.0")
FOLLOWED = 8.0  # seconds of images
GONE = 2.0
STOPS_WITHIN = 1.2  # s of images from the target's disappearance: .5 uncertain_timeout, the rest to see it and to brake
TRACK_TIMEOUT = 2.0
MARGIN = 1.5  # seconds that a loaded machine may add


@pytest.fixture
def start_loop(monkeypatch):
    use_own_domain(monkeypatch)
    opened = []

    def start(path, pose: Pose, *parameters: str):
        nodes = running_nodes(*parameters)
        processes = nodes.__enter__()
        opened.append(nodes)
        rclpy.init()
        loop = ClosedLoop(path, pose)
        opened.append(loop)
        loop.bring_up()
        loop.set_target()
        return loop, processes

    yield start
    for thing in reversed(opened):
        if isinstance(thing, ClosedLoop):
            thing.destroy_node()
            rclpy.shutdown()
        else:
            thing.__exit__(None, None, None)


@pytest.mark.slow
def test_target_is_kept_in_view_and_its_loss_stops_the_base(start_loop):
    armed_at = 6 / FPS
    gone_from = armed_at + FOLLOWED

    loop, _ = start_loop(lambda time: walk(time) if time < gone_from else None, START, *PATIENT)
    for _ in range(6):
        step = loop.step()
        assert step.track.state == Track.TRACKING
    assert loop.base.pose == START  # disarmed
    assert loop.commands == []

    assert loop.arm().success
    while loop.steps[-1].time < gone_from + GONE:
        loop.step()
    figures = summarise(loop.steps[6:])
    print(figures)
    assert figures.in_view == 1.0
    assert figures.azimuth_mean < 0.12
    assert figures.azimuth_max < 0.35
    assert figures.bearing_error_mean < 0.015
    assert figures.distance_mean < 7
    assert loop.base.pose.x > 0.5  # it did drive
    assert figures.stopped_after <= STOPS_WITHIN
    assert figures.moved_while_gone < 0.02
    assert loop.last_command == (0.0, 0.0)
    # How fast the bearing turns, against the truth, over the time that the rate looks back on.
    followed = loop.steps[6 : 6 + round(FOLLOWED * FPS)]
    true = np.gradient([step.view.azimuth for step in followed], 1 / FPS)
    rates = np.array([step.track.azimuth_rate for step in followed])
    assert np.nanmean(np.abs(rates[10:-2] - true[8:-4])) < 0.05


@pytest.mark.slow
def test_death_of_the_tracker_stops_the_base(start_loop):
    loop, processes = start_loop(lambda time: (4.0, 0.0), Pose(heading=0.4), f"track_timeout:={TRACK_TIMEOUT}")
    for _ in range(4):
        loop.step()
    assert loop.arm().success
    while loop.last_command[1] > -0.2:
        loop.step()
    processes.tracker.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    stopped = loop.wait(lambda: loop.last_command == (0.0, 0.0), "the zero", TRACK_TIMEOUT + MARGIN)
    assert stopped > 0.3
    known = len(loop.commands)
    loop.wait(lambda: len(loop.commands) > known + 3, "the zeros to go on")
    assert time.monotonic() - killed < TRACK_TIMEOUT + 2 * MARGIN
    assert all(c.twist.linear.x == 0 and c.twist.angular.z == 0 for c in loop.commands[known:])
    answer = loop.arm()
    assert not answer.success
    assert "no track for" in answer.message
