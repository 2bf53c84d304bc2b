"""From the tracker's results to ROS messages."""

from array import array

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Vector3
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from stif_ros.msg import Track
from stif_ros.targets import TargetTrack

NAN = float("nan")


def track_message(header: Header, image_size: tuple[int, int], target: TargetTrack | None) -> Track:
    """The message for one target in one image.

    Args:
        header: Of the image.
        image_size: (width, height).
        target: None while there is no target.
    """
    result = None if target is None else target.result
    unseen_ns = 0 if target is None else target.unseen_ns
    message = Track(
        header=header,
        target_id="" if target is None else target.target_id,
        image_width=image_size[0],
        image_height=image_size[1],
        bearing=Vector3(x=NAN, y=NAN, z=NAN),
        azimuth=NAN,
        elevation=NAN,
        azimuth_rate=NAN,
        elevation_rate=NAN,
        latency_ms=NAN,
        # A clock that was set forward may have made more of it than a Duration holds.
        time_since_seen=Duration(sec=min(unseen_ns // 10**9, 2**31 - 1), nanosec=unseen_ns % 10**9),
    )
    box = np.full(4, NAN) if result is None else result.box
    x, y, w, h = (float(value) for value in box)
    message.center_x, message.center_y, message.size_x, message.size_y = x + w / 2, y + h / 2, w, h
    message.box_valid = bool(np.isfinite(box).all())
    message.state = Track.IDLE if result is None else int(result.state)
    message.confidence = NAN if result is None else result.score
    return message


def image_message(header: Header, image: NDArray[np.uint8]) -> Image:
    """A bgr8 image message of (H, W, 3)."""
    message = Image(header=header, height=image.shape[0], width=image.shape[1], encoding="bgr8")
    message.step = 3 * image.shape[1]
    # An array.array is taken as it is; anything else is checked byte by byte.
    data = array("B")
    data.frombytes(np.ascontiguousarray(image).data.cast("B"))
    message.data = data
    return message
