"""Any order of transitions and calls leaves the node in a state of ROS's life cycle, and usable."""

import os
import random
import threading
import time

import psutil
import pytest

if not os.environ.get("STIF_REQUIRE_ROS"):
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    pytest.importorskip("stif_ros.msg", reason="the messages are not built: run colcon build")

from lifecycle_msgs.msg import Transition
from robot import CLIP, Robot, target_init, use_own_domain, wait_until
from std_srvs.srv import Trigger
from stif_ros.msg import Track

from stif_core.tracking.target_set import TargetSet

CONFIGURE, CLEANUP = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP
ACTIVATE, DEACTIVATE = Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE
# What each transition leads to; any other pair of state and transition must be refused.
ALLOWED = {
    ("unconfigured", CONFIGURE): "inactive",
    ("inactive", ACTIVATE): "active",
    ("inactive", CLEANUP): "unconfigured",
    ("active", DEACTIVATE): "inactive",
}
STEPS = 25


@pytest.fixture
def node(monkeypatch):
    use_own_domain(monkeypatch)
    made = Robot()
    yield made
    made.close()


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.soak)])
def test_random_walk_through_the_life_cycle(node, seed):
    rng, state = random.Random(seed), "unconfigured"
    for index in range(STEPS):
        # Mostly allowed ones: else a walk seldom gets to active.
        allowed = [transition for name, transition in ALLOWED if name == state]
        transition = rng.choice(allowed * 2 + [CONFIGURE, ACTIVATE, DEACTIVATE, CLEANUP])
        expected = ALLOWED.get((state, transition))
        assert node.transition(transition) == (expected is not None), (index, state, transition)
        state = expected or state
        assert node.tracker._state_machine.current_state[1] == state
        node.camera.publish(node.image(index))
        node.operator.publish(target_init(CLIP.render(index)[1]))
        if state != "unconfigured":
            assert node.set_target(CLIP.render(index)[1]).success == (state == "active")
            assert node.call("reset", Trigger.Request()).success
    assert sum(thread.name == "tracker" for thread in threading.enumerate()) == (state == "active")
    assert node.tracker._problem.counts["defect"] == 0
    for transition in {"unconfigured": [CONFIGURE], "active": [DEACTIVATE], "inactive": []}[state]:
        assert node.transition(transition)
    node.activate()
    assert node.set_target(CLIP.render(STEPS)[1]).success
    assert node.show(node.image(STEPS)).state == Track.TRACKING


@pytest.mark.parametrize(
    "path", [[], ["configure"], ["configure", "activate"]], ids=["unconfigured", "inactive", "active"]
)
def test_node_shuts_down_from_every_state(node, path):
    for name in path:
        getattr(node.tracker, f"trigger_{name}")()
    node.tracker.trigger_shutdown()
    assert node.tracker._state_machine.current_state[1] == "finalized"
    assert node.tracker._pipeline is None
    assert not any(thread.name == "tracker" for thread in threading.enumerate())


def test_calls_are_answered_while_the_tracker_is_busy(node, monkeypatch):
    track, begun = TargetSet.track, threading.Event()

    def slow(self, image, names):
        if names:
            begun.set()
            time.sleep(1.0)
        return track(self, image, names)

    node.bring_up()
    monkeypatch.setattr(TargetSet, "track", slow)
    assert node.set_target(CLIP.render(0)[1]).success
    node.show(node.image(0))
    node.camera.publish(node.image(1))
    assert begun.wait(10)
    took = []
    for call in (lambda: node.set_target(CLIP.render(1)[1]), lambda: node.call("reset", Trigger.Request())):
        begin = time.monotonic()
        assert call().success
        took.append(time.monotonic() - begin)
    node.camera.publish(node.image(2))
    wait_until(lambda: node.tracker._pipeline.counters.received == 3, "the image while the tracker is busy")
    assert max(took) < 0.5
    assert len(node.tracks) == 1  # the tracker was busy all the while
    wait_until(lambda: len(node.tracks) == 3, "the tracks")
    assert node.tracks[-1].state == Track.IDLE
    stages = node.tracker._pipeline.counters
    assert stages.stage_percentile_ms("callback", 95) < 100 < stages.stage_percentile_ms("wait", 95)


def test_cleaning_up_lets_go_of_the_network_and_its_threads(node):
    threads = []
    for _ in range(4):
        node.bring_up()
        node.camera.publish(node.image(0))
        assert node.transition(DEACTIVATE)
        assert node.transition(CLEANUP)
        threads.append(psutil.Process().num_threads())
    assert threads[1:] == [threads[1]] * 3
