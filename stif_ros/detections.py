"""Targets from a detector: the newest vision_msgs/Detection2DArray, and the choice of one of its boxes."""

import importlib.util
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from stif_core.geometry import FloatArray, check_target_box
from stif_core.io.stamps import nanoseconds_or_none
from stif_ros.target import TargetRequest

TOPIC = "detections"
# Matches reliable and best-effort publishers; the newest detections are those that count.
DETECTIONS_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


class Detections:
    """Listens to a detector, where vision_msgs is installed."""

    def __init__(self) -> None:
        self._newest: Any = None  # vision_msgs/Detection2DArray
        self._subscription: Subscription | None = None

    def start(self, node: Node) -> None:
        self._newest = None
        if importlib.util.find_spec("vision_msgs") is not None:
            from vision_msgs.msg import Detection2DArray

            self._subscription = node.create_subscription(Detection2DArray, TOPIC, self.take, DETECTIONS_QOS)

    def stop(self, node: Node) -> None:
        if self._subscription is not None:
            node.destroy_subscription(self._subscription)
            self._subscription = None

    def take(self, message: Any) -> None:
        """Takes the detections of an image."""
        self._newest = message

    def request(self, detection_id: str, target_id: str, image_size: tuple[int, int] | None) -> TargetRequest:
        """The target that a detection shows.

        Args:
            detection_id: Its id; empty: of those with a box the nearest to the middle of the image.
            target_id: Name of the target.
            image_size: (width, height); None before the first image.

        Raises:
            ValueError: There is no such detection, it has no box, or the middle is not known.
        """
        if self._newest is None:
            raise ValueError(self._why_none())
        detections = list(self._newest.detections)
        boxes = [box_of(detection) for detection in detections]
        if detection_id:
            found = [i for i, detection in enumerate(detections) if detection.id == detection_id]
            if not found:
                ids = ", ".join(sorted(detection.id for detection in detections if detection.id)) or "none"
                raise ValueError(f"no detection has the id '{detection_id}'; ids in the newest detections: {ids}")
            chosen = found[0]
        else:
            if image_size is None:
                raise ValueError("no image has come yet: which detection is nearest to the middle is not known")
            chosen = _nearest(boxes, np.array(image_size) / 2)
        check_target_box(boxes[chosen], np.inf, np.inf)
        return TargetRequest(target_id, boxes[chosen], False, nanoseconds_or_none(self._newest.header.stamp))

    def _why_none(self) -> str:
        if self._subscription is None:
            return (
                "vision_msgs is not installed: apt install ros-$ROS_DISTRO-vision-msgs, then configure the node again"
            )
        return f"no detections have come on {self._subscription.topic_name}"


def box_of(detection: Any) -> FloatArray:
    """The xywh box of a vision_msgs/Detection2D, pixels; of a turned one the box before it is turned."""
    centre, size = detection.bbox.center.position, np.array([detection.bbox.size_x, detection.bbox.size_y])
    return np.concatenate([np.array([centre.x, centre.y]) - size / 2, size])


def _nearest(boxes: list[FloatArray], middle: FloatArray) -> int:
    usable = [i for i, box in enumerate(boxes) if np.isfinite(box).all() and (box[2:] > 0).all()]
    if not usable:
        raise ValueError(f"none of the {len(boxes)} newest detections has a box")
    return min(usable, key=lambda i: float(np.linalg.norm(boxes[i][:2] + boxes[i][2:] / 2 - middle)))
