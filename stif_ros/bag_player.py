"""Plays a bag into ROS: every message at its time, with the bytes that were recorded."""

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import rclpy
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from rosbags.interfaces import Connection, QosDurability, QosReliability
from rosgraph_msgs.msg import Clock

from stif_core.bags.images import IMAGE_TYPES
from stif_core.bags.reading import Bag
from stif_core.bags.typestore import store_for, typestore

RELIABILITIES = ("recorded", "reliable", "best_effort")
LONGEST_SLEEP = 0.1  # seconds between two looks at whether the player was asked to stop
LINGER = 0.5  # seconds for the last messages to leave before the process ends


@dataclass(frozen=True)
class PlaySettings:
    """How to play.

    Attributes:
        topics: Empty: all of the bag.
        rate: 1 is as fast as it was recorded.
        loop: Start again at the end, until asked to stop.
        clock_hz: Messages a second on /clock; 0: none.
        reliability: One of RELIABILITIES.
        depth: Of the publishers' queues.
        wait_seconds: How long to wait at most until something subscribes to an image topic.
    """

    topics: tuple[str, ...] = ()
    rate: float = 1.0
    loop: bool = False
    clock_hz: float = 0.0
    reliability: str = "recorded"
    depth: int = 10
    wait_seconds: float = 0.0


@dataclass(frozen=True)
class Played:
    """Messages published, how late the latest of them was, and what could not be done."""

    messages: int
    latest_ms: float
    problems: list[str]


def play(bag: Bag, settings: PlaySettings, progress: Callable[[], None] = lambda: None) -> Played:
    """Plays a bag to its end, or until ROS is asked to shut down.

    Raises:
        ValueError: A setting is out of range, the bag has no such topic, or none that can be published.
    """
    if not settings.rate > 0:
        raise ValueError(f"--rate is {settings.rate:g}, expected a number above 0")
    if settings.reliability not in RELIABILITIES:
        raise ValueError(f"unknown --reliability '{settings.reliability}', expected one of: {', '.join(RELIABILITIES)}")
    for name in settings.topics:
        if name not in bag.topics:
            raise ValueError(f"{bag.path} has no topic {name}; its topics: {', '.join(bag.topics) or 'none'}")
    rclpy.init()
    try:
        player = _Player(bag, settings)
        try:
            player.wait_for_subscriber()
            player.run(progress)
        except KeyboardInterrupt:
            pass
        player.close()
        return Played(player.messages, player.latest_ns / 1e6, player.problems)
    finally:
        rclpy.try_shutdown()


class _Player:
    """Publishers, and the pace: bag time T is due at one moment of the monotonic clock, however late others were."""

    def __init__(self, bag: Bag, settings: PlaySettings) -> None:
        self._bag = bag
        self._settings = settings
        self.messages = 0
        self.latest_ns = 0
        self.problems: list[str] = []
        self._node = Node("bag_player")
        self._publishers = self._create_publishers()
        if not self._publishers:
            raise ValueError(
                f"nothing in {bag.path} can be published: {'; '.join(self.problems) or 'it has no topics'}"
            )
        self._clock = self._node.create_publisher(Clock, "/clock", 10) if settings.clock_hz else None
        self._start_ns = self._next_tick_ns = 0

    def _create_publishers(self) -> dict[str, Publisher]:
        publishers = {}
        for name in self._settings.topics or tuple(self._bag.topics):
            if name == "/clock" and self._settings.clock_hz:
                continue  # there would be two clocks
            connection = self._bag.connection(name)
            problem = _hindrance(connection)
            if problem:
                self.problems.append(f"topic {name} is left out: {problem}")
            else:
                qos = _quality(connection, self._settings.reliability, self._settings.depth)
                publishers[name] = self._node.create_publisher(_message_class(connection.msgtype), name, qos)
        return publishers

    def wait_for_subscriber(self) -> None:
        images = [p for name, p in self._publishers.items() if self._bag.topics[name].type in IMAGE_TYPES]
        watched = images or list(self._publishers.values())
        deadline = time.monotonic() + self._settings.wait_seconds
        while not any(publisher.get_subscription_count() for publisher in watched):
            if time.monotonic() >= deadline or not rclpy.ok():
                if self._settings.wait_seconds:
                    self.problems.append(f"nothing subscribed within {self._settings.wait_seconds:g} s")
                return
            time.sleep(0.02)

    def run(self, progress: Callable[[], None]) -> None:
        while True:
            self._start_ns = time.monotonic_ns()
            self._next_tick_ns = self._bag.start_ns
            for topic, time_ns, data in self._bag.raw_messages(list(self._publishers)):
                if not self._wait_until(time_ns):
                    return
                self.latest_ns = max(self.latest_ns, time.monotonic_ns() - self._due_ns(time_ns))
                self._publishers[topic].publish(data)
                self.messages += 1
                progress()
            if not self._settings.loop or self._bag.damage:
                break
        time.sleep(LINGER)

    def close(self) -> None:
        self._node.destroy_node()

    def _due_ns(self, bag_ns: int) -> int:
        return self._start_ns + round((bag_ns - self._bag.start_ns) / self._settings.rate)

    def _wait_until(self, bag_ns: int) -> bool:
        """Sleeps until this bag time, with the ticks of /clock on the way; False when asked to stop."""
        while self._clock is not None and self._next_tick_ns <= bag_ns:
            if not self._sleep_until(self._due_ns(self._next_tick_ns)):
                return False
            self._clock.publish(Clock(clock=Time(nanoseconds=self._next_tick_ns).to_msg()))
            self._next_tick_ns += round(1e9 * self._settings.rate / self._settings.clock_hz)
        return self._sleep_until(self._due_ns(bag_ns))

    def _sleep_until(self, due_ns: int) -> bool:
        while rclpy.ok():
            seconds = (due_ns - time.monotonic_ns()) / 1e9
            if seconds <= 0:
                return True
            time.sleep(min(seconds, LONGEST_SLEEP))
        return False


def _hindrance(connection: Connection) -> str:
    """Why a topic's bytes cannot be published; empty where they can."""
    kind = connection.msgtype
    try:
        _message_class(kind)
    except (ImportError, AttributeError, ValueError):
        return f"{kind} is not installed"
    # Bytes of another definition would be taken for something else without a word.
    if kind.startswith("stif_ros/") and store_for(connection).hash_rihs01(kind) != typestore().hash_rihs01(kind):
        return f"it was recorded with another definition of {kind} than the one installed"
    return ""


def _message_class(kind: str) -> type:
    """The class of ``package/msg/Name``. Raises ImportError, AttributeError or ValueError when there is none."""
    package, folder, name = kind.split("/")
    found: type = getattr(importlib.import_module(f"{package}.{folder}"), name)
    return found


def _quality(connection: Connection, reliability: str, depth: int) -> QoSProfile:
    """Reliability as asked for, or as recorded; durability as recorded, so that a late subscriber gets a map."""
    recorded = next(iter(getattr(connection.ext, "offered_qos_profiles", ())), None)
    if reliability == "recorded":
        lossy = recorded is not None and recorded.reliability == QosReliability.BEST_EFFORT
        reliability = "best_effort" if lossy else "reliable"
    keeps = recorded is not None and recorded.durability == QosDurability.TRANSIENT_LOCAL
    return QoSProfile(
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliability == "reliable" else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if keeps else DurabilityPolicy.VOLATILE,
    )
