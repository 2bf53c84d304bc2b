"""Thousands of damaged, contradictory and senseless messages: none is a defect, and a good image is tracked afterwards.

The normal run tries some hundreds; ``-m slow`` thousands.
"""

import os
import time
from array import array

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

if not os.environ.get("STIF_REQUIRE_ROS"):
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    pytest.importorskip("stif_ros.msg", reason="the messages are not built: run colcon build")

import rclpy
from builtin_interfaces.msg import Time
from rclpy.parameter import Parameter
from robot import CLIP, use_own_domain
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from stif_ros.msg import TargetInit
from stif_ros.srv import SetTarget

from stif_core.io.ros_images import ENCODINGS
from stif_ros.messages import image_message
from stif_ros.tracker_node import TrackerNode

FRAME, BOX = CLIP.render(0)
SMALL = cv2.resize(FRAME, (64, 48))
FILES = [cv2.imencode(".jpg", SMALL)[1].tobytes(), cv2.imencode(".png", SMALL)[1].tobytes()]

stamps = st.builds(
    Time,
    sec=st.one_of(st.integers(0, 100), st.integers(-(2**31), 2**31 - 1)),
    nanosec=st.one_of(st.just(0), st.integers(0, 2**32 - 1)),
)
headers = st.builds(Header, stamp=stamps, frame_id=st.text(max_size=8))
sides = st.one_of(st.integers(0, 70), st.sampled_from([640, 65535, 2**31, 2**32 - 1]))
encodings = st.one_of(st.sampled_from(ENCODINGS), st.sampled_from(["", "32FC1", "bgr16", "16UC3"]), st.text(max_size=8))
numbers = st.one_of(st.floats(), st.floats(-10, 700), st.sampled_from([0.0, 1e-300, 1e308, float("nan"), float("inf")]))


@st.composite
def raw_images(draw) -> Image:
    """Often nearly right: the fields agree but for one."""
    width, height = draw(sides), draw(sides)
    step = draw(st.one_of(st.just(min(4 * width, 2**32 - 1)), sides))
    right = step * height * 3 // 2
    size = draw(st.one_of(st.just(right if right < 100_000 else 5), st.integers(0, 20_000)))
    message = Image(header=draw(headers), width=width, height=height, step=step, encoding=draw(encodings))
    message.is_bigendian = draw(st.integers(0, 255))
    message.data = array("B", np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes())
    return message


@st.composite
def compressed_images(draw) -> CompressedImage:
    """A JPEG or PNG, cut off, with bits flipped, with bytes put in; or noise."""
    data = bytearray(draw(st.one_of(st.sampled_from(FILES), st.binary(max_size=64))))
    for at in draw(st.lists(st.integers(0, max(0, len(data) - 1)), max_size=12)):
        if data:
            data[at] ^= 1 << draw(st.integers(0, 7))
    end = draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))
    inserted = draw(st.binary(max_size=8))
    message = CompressedImage(header=draw(headers), format=draw(st.text(max_size=16)))
    message.data = array("B", bytes(data[:end]) + inserted)
    return message


targets = st.builds(
    TargetInit, header=headers, target_id=st.text(max_size=8), x=numbers, y=numbers, width=numbers, height=numbers,
    normalized=st.booleans(),
)  # fmt: skip
good_targets = st.builds(
    TargetInit, x=st.floats(0, 60), y=st.floats(0, 40), width=st.floats(1, 64), height=st.floats(1, 48)
)
inputs = st.lists(st.one_of(raw_images(), compressed_images(), targets, good_targets, st.just("reset")), max_size=8)


class Active:
    """The node, active, fed as its subscriptions would feed it."""

    def __init__(self) -> None:
        rclpy.init()
        self.node = TrackerNode(parameter_overrides=[Parameter("threads", value=1)])
        self.node.trigger_configure()
        self.node.trigger_activate()
        self.pipeline = self.node._pipeline

    def feed(self, message) -> None:
        if isinstance(message, TargetInit):
            self.node._on_target_init(message)
            self.node._on_set_target(SetTarget.Request(target=message), SetTarget.Response())
        elif message == "reset":
            self.pipeline.reset()
        else:
            self.pipeline.add_image(message)
            self.wait()
        assert self.node._problem.counts["defect"] == 0, self.node._problem.last

    def wait(self) -> None:
        counters, end = self.pipeline.counters, time.monotonic() + 20
        while counters.received > counters.tracked + counters.skipped + counters.refused:
            assert time.monotonic() < end, "the worker hangs"
            time.sleep(0.0005)

    def tracks_a_good_image(self) -> bool:
        self.pipeline.reset()
        self.feed(image_message(Header(), FRAME))  # until then the box is checked against the image before
        x, y, w, h = (float(v) for v in BOX)
        self.feed(TargetInit(x=x, y=y, width=w, height=h))
        tracked = self.pipeline.counters.tracked
        self.feed(image_message(Header(), FRAME))
        return self.pipeline.counters.tracked == tracked + 1 and "TRACKING" in self.pipeline.states.values()

    def close(self) -> None:
        self.node.stop()
        self.node.destroy_node()
        rclpy.shutdown()


@pytest.fixture
def active(monkeypatch):
    use_own_domain(monkeypatch)
    made = Active()
    yield made
    made.close()


def fuzz(active: Active, examples: int) -> int:
    """Number of inputs tried."""
    tried = 0

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def run(messages) -> None:
        nonlocal tried
        for message in messages:
            active.feed(message)
            tried += 1

    run()
    assert active.tracks_a_good_image()
    return tried


def test_hundreds_of_senseless_inputs_are_survived(active):
    assert fuzz(active, 150) > 300


@pytest.mark.soak
def test_thousands_of_senseless_inputs_are_survived(active):
    tried = fuzz(active, 3000)
    print(f"{tried} inputs: {active.node._problem.counts}, {active.pipeline.counters.tracked} images tracked")
    assert tried > 5000


@pytest.mark.parametrize("side", [20_000, 65_500])
def test_a_few_bytes_that_declare_a_huge_image_are_refused_before_they_are_decoded(active, side):
    png = bytearray(FILES[1])
    png[16:20] = png[20:24] = side.to_bytes(4, "big")
    jpeg = bytearray(FILES[0])
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 2] = jpeg[at + 2 : at + 4] = side.to_bytes(2, "big")
    for data in (png, jpeg):
        active.feed(CompressedImage(data=array("B", bytes(data))))
        assert f"declares {side * side} pixels" in active.node._problem.last
    assert active.tracks_a_good_image()
