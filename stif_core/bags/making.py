"""A bag made of a sequence folder: its images, a CameraInfo for each, the true boxes, and the first box as target_init.

The truth is a topic of stif_ros/Track: it has a box in pixels and says when there is none, it is what a tracker answers
with, so that both can be compared field by field, and the bag carries its definition. No message of ROS's own packages
has a box in an image and its absence (vision_msgs is no part of them).
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stif_core.bags.messages import LOST, NAN, TRACKING, new_track
from stif_core.bags.typestore import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, TARGET_INIT, new_header, new_message
from stif_core.bags.writing import BagWriter
from stif_core.evaluation.sequences import Sequence
from stif_core.geometry import FloatArray
from stif_core.io.ros_images import ImageError, decompress

IMAGE_TOPIC = "/camera/image_raw"  # what launch/tracker.launch.py listens to
CAMERA_INFO_TOPIC = "/camera/camera_info"
TRUTH_TOPIC = "/truth"
TARGET_TOPIC = "/target_init"
FRAME_ID = "camera"
TARGET_ID = "target"
START_NS = 10**18  # 9 September 2001: the same bag whenever it is made; a stamp of zero would mean "no stamp"


def make_bag(
    sequence: Sequence,
    path: Path,
    fps: float,
    storage: str,
    compressed: bool,
    field_of_view: float | None,
    progress: Callable[[], None],
) -> str:
    """Writes the bag; returns the topic of the images.

    Args:
        sequence: Images and true boxes; the first frame needs a box.
        path: Folder of the bag, must not exist.
        fps: Images a second.
        storage: ``sqlite3`` or ``mcap``.
        compressed: sensor_msgs/CompressedImage instead of Image. JPEG and PNG files are passed on as they are, anything
            that would not decode to the same pixels becomes PNG.
        field_of_view: Horizontal, degrees, for CameraInfo; None: not calibrated (a matrix of zeros, as ROS has it).
        progress: Called after each image.

    Raises:
        ValueError: An image cannot be read, the bag exists, or a value is out of range.
    """
    if not fps > 0:
        raise ValueError(f"--fps is {fps:g}, expected images a second, above 0")
    if field_of_view is not None and not 0 < field_of_view < 180:
        raise ValueError(f"--fov is {field_of_view:g}, expected degrees between 0 and 180")
    topic = f"{IMAGE_TOPIC}/compressed" if compressed else IMAGE_TOPIC
    bag = BagWriter(path, storage)
    try:
        frames = zip(sequence.images, sequence.frames(), sequence.truth, strict=True)
        for i, (file, image, box) in enumerate(frames):
            time_ns = START_NS + round(i * 1e9 / fps)
            header = new_header(time_ns, FRAME_ID)
            height, width = image.shape[:2]
            if i == 0:
                x, y, w, h = box.tolist()
                target = new_message(TARGET_INIT, header=header, target_id=TARGET_ID, x=x, y=y, width=w, height=h)
                bag.write(TARGET_TOPIC, time_ns, target)
            bag.write(CAMERA_INFO_TOPIC, time_ns, _camera_info(header, width, height, field_of_view))
            bag.write(topic, time_ns, _compressed(header, file, image) if compressed else _raw(header, image))
            bag.write(TRUTH_TOPIC, time_ns, _truth(header, width, height, box))
            progress()
    except BaseException:
        bag.discard()
        raise
    bag.close()
    return topic


def _raw(header: Any, image: NDArray[np.uint8]) -> Any:
    height, width = image.shape[:2]
    data = np.ascontiguousarray(image).reshape(-1)
    return new_message(IMAGE, header=header, height=height, width=width, encoding="bgr8", step=3 * width, data=data)


def _compressed(header: Any, file: Path, image: NDArray[np.uint8]) -> Any:
    """The file as it is, if it decodes to this very image; a turned, padded, grey or other one becomes PNG."""
    data = np.fromfile(file, np.uint8)
    kind = {".jpg": "jpeg", ".jpeg": "jpeg"}.get(file.suffix.lower(), "png")
    message = new_message(COMPRESSED_IMAGE, header=header, format=f"bgr8; {kind} compressed bgr8", data=data)
    try:
        if np.array_equal(decompress(message), image):
            return message
    except ImageError:  # another format
        pass
    png = cv2.imencode(".png", image)[1].reshape(-1)
    return new_message(COMPRESSED_IMAGE, header=header, format="bgr8; png compressed bgr8", data=png)


def _camera_info(header: Any, width: int, height: int, field_of_view: float | None) -> Any:
    """A pinhole camera without distortion that looks through the middle of the image."""
    message = new_message(CAMERA_INFO, header=header, width=width, height=height)
    if field_of_view is not None:
        focal = width / 2 / math.tan(math.radians(field_of_view) / 2)
        # ROS counts pixel centres as integers, so the middle lies half a pixel to the left and above ours.
        cx, cy = width / 2 - 0.5, height / 2 - 0.5
        message.distortion_model, message.d = "plumb_bob", np.zeros(5)
        message.k[:] = focal, 0, cx, 0, focal, cy, 0, 0, 1
        message.r[:] = np.eye(3).ravel()
        message.p[:] = focal, 0, cx, 0, 0, focal, cy, 0, 0, 0, 1, 0
    return message


def _truth(header: Any, width: int, height: int, box: FloatArray) -> Any:
    """A Track with the true box; LOST, without one, where the target is absent."""
    seen = bool(np.isfinite(box).all())
    return new_track(header, (width, height), box, TRACKING if seen else LOST, TARGET_ID, 1.0 if seen else NAN)
