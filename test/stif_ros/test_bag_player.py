"""`stif bag play` over real DDS: the recorded bytes, at their time, to whoever listens; and to the real node."""

import itertools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'stif_core[bags]'")
pytest.importorskip("skimage", reason="scikit-image is not installed")
if not os.environ.get("STIF_REQUIRE_ROS"):
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    pytest.importorskip("stif_ros.msg", reason="the messages are not built: run colcon build")

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from robot import Robot, box_of, use_own_domain, wait_until
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from stif_ros.msg import TargetInit, Track

from stif_core.bags.making import START_NS, make_bag
from stif_core.bags.reading import Bag
from stif_core.bags.typestore import IMAGE, TRACK, new_header, new_message, typestore
from stif_core.evaluation.rendered_clip import RenderedClip
from stif_core.evaluation.sequences import Sequence
from stif_core.geometry import iou
from stif_ros.bag_player import PlaySettings, play

CLIP = RenderedClip(frames=20, width=160, height=120)
TOPICS = {"/camera/image_raw": Image, "/camera/camera_info": CameraInfo, "/truth": Track, "/target_init": TargetInit}
DEPTH = 200


class Rendered(Sequence):
    """A sequence whose images are rendered, not read."""

    def frames(self):
        return iter(CLIP)


SEQUENCE = Rendered("clip", [Path(f"{i}.png") for i in range(CLIP.frames)], CLIP.truth())


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp("player") / "bag"
    make_bag(SEQUENCE, path, 20.0, "mcap", False, None, lambda: None)
    return path


class Listener:
    """Notes what arrives on topics, and when, in a ROS context of its own: the player starts and ends another."""

    def __init__(self, topics, **quality) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("listener", context=self.context)
        self.heard = {topic: [] for topic in topics}
        for topic, kind in topics.items():
            self.node.create_subscription(
                kind,
                topic,
                lambda m, t=topic: self.heard[t].append((time.monotonic(), m)),
                QoSProfile(depth=DEPTH, **quality),
            )
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.thread = threading.Thread(target=self.executor.spin, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.executor.shutdown()
        self.thread.join(10)
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def listen(monkeypatch):
    use_own_domain(monkeypatch)
    made = []

    def start(topics, **quality) -> Listener:
        made.append(Listener(topics, **quality))
        return made[-1]

    yield start
    for listener in made:
        listener.close()


def played(path, **settings):
    with Bag(path) as opened:
        return play(opened, PlaySettings(**{"wait_seconds": 20.0, "depth": DEPTH, **settings}))


def test_what_arrives_is_what_was_recorded(bag, listen):
    listener = listen(TOPICS)
    result = played(bag, rate=4.0)
    assert result.messages == 3 * CLIP.frames + 1
    assert result.problems == []
    wait_until(lambda: sum(map(len, listener.heard.values())) == result.messages, "all messages")
    with Bag(bag) as opened:
        for topic, heard in listener.heard.items():
            recorded = [data for _, _, data in opened.raw_messages([topic])]
            assert len(recorded) == len(heard)
            for data, (_, message) in zip(recorded, heard, strict=True):
                sent = opened.deserialise(topic, data)
                assert (sent.header.stamp.sec, sent.header.frame_id) == (START_NS // 10**9, "camera")
                heard_again = opened.deserialise(topic, bytes(serialize_message(message)))
                kind = opened.topics[topic].type  # serialised once more: ROS leaves padding as it is
                assert typestore().serialize_cdr(heard_again, kind) == typestore().serialize_cdr(sent, kind)


@pytest.mark.parametrize("rate", [1.0, 2.0])
def test_messages_keep_their_pace_without_drift(bag, listen, rate):
    listener = listen({"/camera/image_raw": Image})
    result = played(bag, rate=rate)
    wait_until(lambda: len(listener.heard["/camera/image_raw"]) == CLIP.frames, "all images")
    times = np.array([moment for moment, _ in listener.heard["/camera/image_raw"]])
    expected = np.arange(CLIP.frames) / 20.0 / rate
    # A loaded machine delivers any message late, the first too: each half's most punctual one tells the pace.
    late = times - expected
    assert np.median(late - late.min()) < 0.03
    assert abs(late[CLIP.frames // 2 :].min() - late[: CLIP.frames // 2].min()) < 0.03
    assert 0 <= result.latest_ms < 500


def test_topics_can_be_chosen(bag, listen):
    listener = listen(TOPICS)
    assert played(bag, rate=20.0, topics=("/truth",), wait_seconds=0.0).messages == CLIP.frames
    assert not listener.heard["/camera/image_raw"]


def test_the_clock_ticks_in_bag_time(bag, listen):
    listener = listen({"/clock": Clock, "/camera/image_raw": Image})
    played(bag, clock_hz=100.0, rate=2.0)
    ticks = [(moment, m.clock.sec * 10**9 + m.clock.nanosec) for moment, m in listener.heard["/clock"]]
    times = np.array([tick for _, tick in ticks]) - START_NS
    assert (np.diff(times) == 20_000_000).all()  # 100 a second at twice the pace
    assert times[-1] == pytest.approx(950_000_000, abs=40_000_000)
    moments = np.array([moment for moment, _ in ticks])
    assert np.mean(np.diff(moments)) == pytest.approx(0.01, abs=0.004)


def test_a_loop_starts_again_until_the_process_is_interrupted(bag, listen):
    listener = listen({"/camera/image_raw": Image})
    command = [sys.executable, "-m", "stif_core.cli", "bag", "play", bag, "--loop", "--rate", "10", "--wait", "20"]
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: len(listener.heard["/camera/image_raw"]) > 2.5 * CLIP.frames, "the third round", 60)
        process.send_signal(2)  # Ctrl-C
        output, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "messages published" in output
    stamps = [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for _, m in listener.heard["/camera/image_raw"]]
    # A loaded machine may lose single messages; each round starts with a jump back.
    assert sum(later < earlier for earlier, later in itertools.pairwise(stamps)) >= 2
    assert len(set(stamps)) <= CLIP.frames


def test_a_late_subscriber_gets_a_latched_message_and_best_effort_is_kept(tmp_path, listen):
    def quality(reliability, durability):
        never = QosTime(0, 0)
        return Qos(
            QosHistory.KEEP_LAST, 1, reliability, durability, never, never, QosLiveliness.AUTOMATIC, never, False
        )

    store = typestore()
    with Writer(tmp_path / "bag", version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
        for topic, reliability, durability in (
            ("/map", QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL),
            ("/lossy", QosReliability.BEST_EFFORT, QosDurability.VOLATILE),
        ):
            connection = writer.add_connection(
                topic, IMAGE, typestore=store, offered_qos_profiles=[quality(reliability, durability)]
            )
            message = new_message(IMAGE, header=new_header(1, ""), width=1, height=1, encoding="mono8", step=1)
            writer.write(connection, 1, store.serialize_cdr(message, IMAGE))
    listener = listen({"/map": Image})
    offered = {}

    def look():
        for topic in ("/map", "/lossy"):
            wait_until(lambda topic=topic: listener.node.get_publishers_info_by_topic(topic), topic)
            (info,) = listener.node.get_publishers_info_by_topic(topic)
            offered[topic] = (info.qos_profile.reliability.name, info.qos_profile.durability.name)

    watcher = threading.Thread(target=look)
    watcher.start()
    played(tmp_path / "bag")
    watcher.join()
    assert offered == {"/map": ("RELIABLE", "TRANSIENT_LOCAL"), "/lossy": ("BEST_EFFORT", "VOLATILE")}


def test_types_that_are_not_here_or_differ_are_left_out_and_named(tmp_path, monkeypatch):
    use_own_domain(monkeypatch)
    store = typestore()
    with Writer(tmp_path / "bag", version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
        strange = writer.add_connection("/strange", "robot_msgs/msg/Arm", msgdef="int32 a\n", rihs01="RIHS01_0")
        older = writer.add_connection("/older", TRACK, msgdef="uint8 state\n", rihs01="RIHS01_1")
        today = writer.add_connection("/today", IMAGE, typestore=store)
        writer.write(strange, 1, b"\0\1\0\0\1\0\0\0")
        writer.write(older, 1, b"\0\1\0\0\1")
        writer.write(today, 1, store.serialize_cdr(new_message(IMAGE), IMAGE))
    result = played(tmp_path / "bag", wait_seconds=0.0)
    assert result.messages == 1
    other = "it was recorded with another definition of stif_ros/msg/Track than the one installed"
    assert result.problems == [
        f"topic /older is left out: {other}",
        "topic /strange is left out: robot_msgs/msg/Arm is not installed",
    ]
    with pytest.raises(ValueError, match=r"nothing in .* can be published: topic /older is left out"):
        played(tmp_path / "bag", topics=("/older",))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"rate": 0.0}, "--rate is 0"),
        ({"rate": float("nan")}, "--rate is nan"),
        ({"reliability": "perfect"}, "unknown --reliability 'perfect'"),
        ({"topics": ("/nothing",)}, "has no topic /nothing; its topics: /camera/camera_info"),
    ],
)
def test_impossible_settings_are_refused(bag, settings, reason):
    with pytest.raises(ValueError, match=reason):
        played(bag, **settings)


def test_without_ros_the_command_says_what_to_do(bag):
    code = (
        "import sys; sys.modules.update(rclpy=None);"
        f"sys.argv = ['stif', 'bag', 'play', {str(bag)!r}]; from stif_core.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "bag play needs ROS 2 (rclpy is missing): source its setup.bash" in done.stderr


def test_the_real_node_tracks_a_bag_that_is_played_to_it(tmp_path, monkeypatch):
    use_own_domain(monkeypatch)
    monkeypatch.setattr("stif_core.bags.making.IMAGE_TOPIC", "/image")  # the node's own name for it
    make_bag(SEQUENCE, tmp_path / "bag", 20.0, "mcap", False, None, lambda: None)
    command = [sys.executable, "-m", "stif_core.cli", "bag", "play", str(tmp_path / "bag"), "--wait", "20"]
    robot = Robot().bring_up()
    try:
        process = subprocess.Popen([*command, "--rate", "0.5", "--depth", "100"])
        wait_until(lambda: process.poll() is not None, "the end of the bag", 60)
        assert process.returncode == 0
        wait_until(lambda: robot.tracks and robot.tracks[-1].header.stamp.nanosec == 950_000_000, "the last image")
    finally:
        robot.close()
    tracks = [track for track in robot.tracks if track.state == Track.TRACKING]
    numbers = [round(track.header.stamp.nanosec / 50_000_000) for track in tracks]
    assert len(tracks) + sum(track.frames_skipped for track in robot.tracks) == CLIP.frames
    assert np.mean([iou(box_of(t), CLIP.render(i)[1]) for t, i in zip(tracks, numbers, strict=True)]) > 0.6
    assert all(np.isnan(track.latency_ms) for track in tracks)  # stamps of 2001
