"""What the tests of the real node share: a robot's side of the topics and services."""

import itertools
import os
import socket
import threading
import time

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from stif_ros.msg import TargetInit, Track, TrackArray
from stif_ros.srv import RemoveTarget, SetTarget

from stif_core.evaluation.rendered_clip import RenderedClip
from stif_ros.messages import image_message
from stif_ros.tracker_node import TrackerNode

CLIP = RenderedClip()
PERIOD_NS = 33_000_000
RELIABLE = QoSProfile(depth=100)  # reliable is rclpy's default: no image of a test may get lost


class _Domains:
    """DDS domains from 1 to 100, each test in another, none that another process with these tests uses.

    DDS knows a node that is gone until its lease ends, up to 20 seconds: in the domain of the test before, services
    and names of dead nodes would be found. A domain is whose process has bound a name (an abstract one, without a file)
    that stands for it. Above 101 DDS's ports, 7400 + 250 * domain, reach those that Linux gives to any connection.
    """

    def __init__(self) -> None:
        self._numbers = itertools.cycle(range(1, 101))
        self._holder: socket.socket | None = None
        for _ in range(os.getpid() % 100):
            next(self._numbers)

    def take(self) -> int:
        if self._holder is not None:
            self._holder.close()
        for number in itertools.islice(self._numbers, 100):
            self._holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                self._holder.bind(f"\0stif_ros_tests_domain_{number}")
                return number
            except OSError:
                self._holder.close()
        raise AssertionError("a hundred processes run these tests on this machine")


_domains = _Domains()


def use_own_domain(monkeypatch) -> None:
    """Keeps the test's nodes away from any other on this machine or network, and from those of the tests before."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(_domains.take()))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")


def header(stamp_ns: int, frame_id: str = "camera") -> Header:
    return Header(stamp=Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9), frame_id=frame_id)


def target_init(box, stamp_ns: int = 0, **fields) -> TargetInit:
    x, y, width, height = (float(value) for value in box)
    return TargetInit(header=header(stamp_ns), x=x, y=y, width=width, height=height, **fields)


def box_of(track: Track) -> np.ndarray:
    return np.array([track.center_x - track.size_x / 2, track.center_y - track.size_y / 2, track.size_x, track.size_y])


def wait_until(condition, what: str, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.005)


class Robot:
    """The tracker node, and a node that plays camera, operator and follower, on one executor thread."""

    def __init__(self, **parameters) -> None:
        rclpy.init()
        overrides = {"image_reliability": "reliable", "image_depth": 100, **parameters}
        self.tracker = TrackerNode(parameter_overrides=[Parameter(k, value=v) for k, v in overrides.items()])
        self.node = rclpy.create_node("robot")
        self.tracks: list[Track] = []
        self.arrays: list[TrackArray] = []
        self.node.create_subscription(Track, "track", self.tracks.append, RELIABLE)
        self.node.create_subscription(TrackArray, "tracks", self.arrays.append, RELIABLE)
        compressed = overrides.get("image_transport") == "compressed"
        kind, topic = (CompressedImage, "image/compressed") if compressed else (Image, "image")
        self.camera = self.node.create_publisher(kind, topic, RELIABLE)
        self.operator = self.node.create_publisher(TargetInit, "target_init", RELIABLE)
        self.start_ns = time.time_ns()
        self._clients = {
            "change": self.node.create_client(ChangeState, "tracker/change_state"),
            "set_target": self.node.create_client(SetTarget, "tracker/set_target"),
            "remove": self.node.create_client(RemoveTarget, "tracker/remove_target"),
            "reset": self.node.create_client(Trigger, "tracker/reset"),
        }
        self._found: set[str] = set()  # services
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.tracker)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self.tracker.stop()
        self.tracker.destroy_node()
        self.node.destroy_node()
        rclpy.shutdown()

    def call(self, name: str, request):
        client = self._clients[name]
        # Found once is enough. While DDS has not yet forgotten a node that was restarted (up to its lease of 20 s), rmw
        # counts that one's endpoints too, and takes a service that answers for one half there.
        if name not in self._found:
            assert client.wait_for_service(30)
            self._found.add(name)
        for _ in range(5):  # the first answer of a service just found may get lost
            future = client.call_async(request)
            end = time.monotonic() + 4
            while not future.done() and time.monotonic() < end:
                time.sleep(0.005)
            if future.done():
                return future.result()
        raise AssertionError(f"no answer from {name}")

    def transition(self, transition: int) -> bool:
        before = self.tracker._state_machine.current_state
        success = self.call("change", ChangeState.Request(transition=Transition(id=transition))).success
        # Asked again because the first answer was lost or late, the node refuses what it has already done.
        return success or self.tracker._state_machine.current_state != before

    def bring_up(self) -> "Robot":
        assert self.transition(Transition.TRANSITION_CONFIGURE)
        self.activate()
        return self

    def activate(self) -> None:
        assert self.transition(Transition.TRANSITION_ACTIVATE)
        wait_until(lambda: self.camera.get_subscription_count() == 1, "the tracker to subscribe to images")
        wait_until(lambda: self.operator.get_subscription_count() == 1, "the tracker to subscribe to targets")
        wait_until(lambda: self.tracker.count_subscribers("track") == 1, "the subscription to track")

    def set_target(self, box, stamp_ns: int = 0, **fields) -> SetTarget.Response:
        return self.call("set_target", SetTarget.Request(target=target_init(box, stamp_ns, **fields)))

    def stamp(self, index: int) -> int:
        return self.start_ns + index * PERIOD_NS

    def image(self, index: int) -> Image:
        return image_message(header(self.stamp(index)), CLIP.render(index)[0])

    def show(self, *messages: Image | CompressedImage) -> Track:
        """Publishes images one by one, each after the track of the one before; returns the last track."""
        for message in messages:
            known = len(self.tracks)
            self.camera.publish(message)
            wait_until(lambda known=known: len(self.tracks) > known, "a track message")
        return self.tracks[-1]
