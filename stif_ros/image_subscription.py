"""The subscription to the camera: takes the publishers' quality of service, and says why no image arrives."""

import math
import time
from collections.abc import Callable
from difflib import SequenceMatcher
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_policy_name_from_kind
from sensor_msgs.msg import CompressedImage, Image

from stif_ros.intake import Report

try:
    from rclpy.event_handler import SubscriptionEventCallbacks

    GIVES_INFO = True
except ImportError:  # Humble: its callbacks take the message alone
    from rclpy.qos_event import SubscriptionEventCallbacks

    GIVES_INFO = False

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
REPEAT = 30.0  # seconds between two warnings that say the same
TOPICS_SHOWN = 5
LONGEST_RECEIVE_MS = 60_000.0  # longer means that the clock was set meanwhile

Take = Callable[[Any, "int | None", float], None]  # message, the publisher's count, ms in this machine


class ImageSubscription:
    """Subscribes to ``image``, or to ``image/compressed``, and again when the publishers' QoS asks for it.

    With ``auto`` it is reliable, or transient local, where every publisher is, and best effort, or volatile, elsewhere:
    those match any publisher.
    """

    def __init__(self, node: Node, compressed: bool, reliability: str, depth: int, take: Take, problem: Report) -> None:
        """
        Args:
            node: Used in its executor's thread alone, as are all methods.
            compressed: Whether images come as sensor_msgs/CompressedImage.
            reliability: auto, best_effort or reliable.
            depth: Of the queue.
            take: Takes each message.
            problem: Takes the kind of a problem ("silence" or "qos") and a line about it.
        """
        self._node = node
        self._kind, self._type = (CompressedImage, COMPRESSED) if compressed else (Image, RAW)
        self._name = "image/compressed" if compressed else "image"
        self._reliability = reliability
        self._depth = depth
        self._take = take
        self._problem = problem
        self._last = time.monotonic()  # when an image came, or the subscription was made
        self._warned = (-math.inf, "")  # when, and of what
        self._single: bool | None = None  # whether there is one publisher, whose counts tell of every loss
        self.topic: str = node.resolve_topic_name(self._name)
        self.silence = ""  # why no image arrives; empty while they do
        self._subscribe(self._fitting_policies(self._publishers(self.topic)))

    @property
    def qos(self) -> str:
        """In words, for diagnostics."""
        reliability, durability = self._policies
        return f"{reliability.name.lower()}, {durability.name.lower()}, depth {self._depth}"

    def close(self) -> None:
        self._node.destroy_subscription(self._subscription)

    def watch(self, timeout: float) -> None:
        """Follows the publishers' QoS, and warns when no image has come for ``timeout`` seconds; called regularly."""
        publishers = self._publishers(self.topic)
        self._single = len(publishers) == 1
        policies = self._fitting_policies(publishers)
        if publishers and policies != self._policies:
            self.close()
            self._subscribe(policies)
            self._node.get_logger().info(f"{self.topic}: subscribed again as its publishers are: {self.qos}")
        if time.monotonic() - self._last > timeout:
            self._explain_silence(publishers)
        elif self.silence:
            self.silence, self._warned = "", (-math.inf, "")
            self._node.get_logger().info(f"images arrive on {self.topic}")

    def _subscribe(self, policies: tuple[ReliabilityPolicy, DurabilityPolicy]) -> None:
        self._policies = policies
        self._subscription = self._node.create_subscription(
            self._kind,
            self._name,
            self._on_image_with_info if GIVES_INFO else self._on_image,
            QoSProfile(depth=self._depth, reliability=policies[0], durability=policies[1]),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._on_incompatible_qos),
        )

    def _on_image(self, message: Any) -> None:
        self._last = time.monotonic()
        self._take(message, None, math.nan)

    def _on_image_with_info(self, message: Any, info: dict[str, Any]) -> None:
        self._last = time.monotonic()
        if self._single is None:
            self._single = self._node.count_publishers(self.topic) == 1
        receive_ms = (time.time_ns() - info["received_timestamp"]) / 1e6
        if not 0 <= receive_ms < LONGEST_RECEIVE_MS:
            receive_ms = math.nan
        self._take(message, info.get("publication_sequence_number") if self._single else None, receive_ms)

    # -- the publishers

    def _publishers(self, topic: str) -> list[Any]:
        return list(self._node.get_publishers_info_by_topic(topic))

    def _fitting_policies(self, publishers: list[Any]) -> tuple[ReliabilityPolicy, DurabilityPolicy]:
        profiles = [publisher.qos_profile for publisher in publishers if publisher.topic_type == self._type]
        latched = bool(profiles) and all(p.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in profiles)
        if self._reliability == "auto":
            reliable = bool(profiles) and all(p.reliability == ReliabilityPolicy.RELIABLE for p in profiles)
        else:
            reliable = self._reliability == "reliable"
        return (
            ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )

    def _on_incompatible_qos(self, event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        remedy = "the subscription adapts within a second"
        if policy == "RELIABILITY" and self._reliability == "reliable":
            remedy = "no image comes from it until the parameter image_reliability is auto or best_effort"
        self._problem("qos", f"a publisher of {self.topic} offers another {policy} than {self.qos}: {remedy}")

    # -- silence

    def _explain_silence(self, publishers: list[Any]) -> None:
        reason = self._reason(publishers)
        self.silence = f"no image on {self.topic} for {time.monotonic() - self._last:.0f} s: {reason}"
        told, last_reason = self._warned
        if reason != last_reason or time.monotonic() - told > REPEAT:
            self._warned = (time.monotonic(), reason)
            self._problem("silence", self.silence)

    def _reason(self, publishers: list[Any]) -> str:
        if not publishers:
            return f"nobody publishes it; {self._other_image_topics()}"
        names = ", ".join(f"{node_of(publisher)} ({publisher.topic_type})" for publisher in publishers)
        right = [publisher for publisher in publishers if publisher.topic_type == self._type]
        if not right:
            text = f"published by {names}, expected {self._type}"
            if self._type == RAW and any(publisher.topic_type == COMPRESSED for publisher in publishers):
                return f"{text}; set image_transport to compressed and leave /compressed out of image_topic"
            return f"{text}; {self._other_image_topics()}"
        deaf = [p for p in right if p.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT]
        if self._policies[0] == ReliabilityPolicy.RELIABLE and len(deaf) == len(right):
            return f"{names} is best effort, image_reliability asks for reliable: set it to auto"
        return (
            f"{names} publishes it, but sends nothing, or every image is lost on the way "
            "(docs/troubleshooting.md: images get lost)"
        )

    def _other_image_topics(self) -> str:
        """A hint at topics that do carry images, the most similar names first."""
        found = []
        for topic, types in self._node.get_topic_names_and_types():
            kinds = {RAW, COMPRESSED} & set(types)
            if topic == self.topic or not kinds:
                continue
            if all(node_of(p) == self._node.get_fully_qualified_name() for p in self._publishers(topic)):
                continue  # no publisher, or our own drawn images
            found.append(f"{topic} (image_transport: {'compressed' if COMPRESSED in kinds else 'raw'})")
        if not found:
            return "no topic with images is published: does the camera run, with the same ROS_DOMAIN_ID?"
        found.sort(key=lambda topic: -SequenceMatcher(None, topic, self.topic).ratio())
        return f"images are on {', '.join(found[:TOPICS_SHOWN])}: set image_topic, or remap {self._name}"


def node_of(publisher: Any) -> str:
    """Full name of a publisher's node."""
    return f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name}"
