"""The images of a bag, one by one."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stif_core.bags.reading import Bag, Topic
from stif_core.bags.typestore import COMPRESSED_IMAGE, IMAGE
from stif_core.io.ros_images import decompress, to_bgr
from stif_core.io.source import DEFAULT_FPS
from stif_core.io.stamps import nanoseconds

IMAGE_TYPES = (IMAGE, COMPRESSED_IMAGE)
GAPS_FOR_RATE = 50


@dataclass(frozen=True, eq=False)
class BagFrame:
    """An image message of a bag.

    Attributes:
        index: 0, 1, ... in the order of the bag.
        time_ns: When it was recorded.
        stamp_ns: Of its header; where the message cannot be read, ``time_ns``.
        data: The serialised message.
        message: sensor_msgs Image or CompressedImage; None where it cannot be read.
        problem: Why it cannot be read.
    """

    index: int
    time_ns: int
    stamp_ns: int
    data: bytes
    message: Any
    problem: str = ""

    @property
    def frame_id(self) -> str:
        return "" if self.message is None else str(self.message.header.frame_id)

    def image(self) -> NDArray[np.uint8]:
        """(H, W, 3) BGR. Raises ValueError when it cannot be decoded."""
        if self.message is None:
            raise ValueError(self.problem)
        return decompress(self.message) if hasattr(self.message, "format") else to_bgr(self.message)


def image_topic(bag: Bag, name: str | None) -> Topic:
    """The topic of this name, or the bag's only one with images.

    Raises:
        ValueError: There is no such topic, it holds no images, or several do and none was named.
    """
    if name is not None:
        return bag.require(name, IMAGE_TYPES)
    found = [topic for topic in bag.topics.values() if topic.type in IMAGE_TYPES and topic.count]
    if len(found) != 1:
        names = ", ".join(f"{topic.name} ({topic.type}, {topic.count} messages)" for topic in found)
        raise ValueError(f"--image TOPIC is needed: {bag.path} has {names or 'no images'}")
    return found[0]


def read_frames(bag: Bag, topic: Topic) -> Iterator[BagFrame]:
    """All images of a topic in the order of their recording, those that cannot be read among them."""
    for index, (_, time_ns, data) in enumerate(bag.raw_messages([topic.name])):
        try:
            message = bag.deserialise(topic.name, data)
        except ValueError as error:
            yield BagFrame(index, time_ns, time_ns, data, None, str(error))
        else:
            yield BagFrame(index, time_ns, nanoseconds(message.header.stamp), data, message)


def frame_rate(bag: Bag, topic: Topic) -> float:
    """Images a second: one over the median gap between the recording times of the first images."""
    times = [time_ns for _, time_ns, _ in islice(bag.raw_messages([topic.name]), GAPS_FOR_RATE + 1)]
    gap = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return 1e9 / gap if gap > 0 else DEFAULT_FPS
