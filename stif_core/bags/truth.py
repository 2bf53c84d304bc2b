"""True boxes for the images of a bag: from a topic of stif_ros/Track, or from a file with a box a line."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stif_core.bags.messages import track_box
from stif_core.bags.reading import Bag, Topic
from stif_core.bags.replay import Step
from stif_core.bags.targets import STAMP_TOLERANCE_NS
from stif_core.bags.typestore import TRACK
from stif_core.evaluation.metrics import Accuracy, accuracy
from stif_core.evaluation.sequences import read_boxes
from stif_core.geometry import FloatArray
from stif_core.io.stamps import nanoseconds


class Truth:
    """True boxes xywh by the image's stamp (a topic) or number (a file); a row of NaN where the target is absent."""

    def __init__(self, boxes: FloatArray, stamps_ns: NDArray[np.int64] | None) -> None:
        order = slice(None) if stamps_ns is None else np.argsort(stamps_ns, kind="stable")
        self._boxes = boxes[order]
        self._stamps_ns = None if stamps_ns is None else stamps_ns[order]

    def box(self, index: int, image_stamp_ns: int) -> FloatArray:
        """Of one image; NaN where the target is absent or nothing is said of this image."""
        if self._stamps_ns is not None:
            index = int(np.searchsorted(self._stamps_ns, image_stamp_ns - STAMP_TOLERANCE_NS))
            if index < len(self._stamps_ns) and self._stamps_ns[index] > image_stamp_ns + STAMP_TOLERANCE_NS:
                return np.full(4, np.nan)
        return self._boxes[index] if index < len(self._boxes) else np.full(4, np.nan)


def read_truth(bag: Bag, source: str, images: Topic) -> Truth:
    """The truth of a topic of the bag, or else of a file.

    Raises:
        ValueError: It is neither, the topic is no stif_ros/Track, or the file has not a box for every image.
    """
    if source not in bag.topics and Path(source).is_file():
        boxes = read_boxes(Path(source))
        if len(boxes) != images.count:
            raise ValueError(f"{source} has {len(boxes)} boxes, but {images.name} {images.count} images")
        return Truth(boxes, None)
    messages = [message for _, _, message in bag.messages(source, TRACK)]
    stamps_ns = np.array([nanoseconds(message.header.stamp) for message in messages], dtype=np.int64)
    return Truth(np.array([track_box(message) for message in messages]), stamps_ns)


class Score:
    """Success and precision of a replay, over the images after the first box.

    An image that was skipped or refused counts with the box published last: what a robot would have at that time.
    Images for which a box was given do not count.
    """

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._boxes: list[FloatArray] = []
        self._true_boxes: list[FloatArray] = []
        self._held = np.full(4, np.nan)

    def add(self, step: Step) -> FloatArray:
        """Takes the next image; returns its true box."""
        true_box = self._truth.box(step.frame.index, step.frame.stamp_ns)
        if step.result is not None:
            self._held = step.result.box
        if self._boxes or step.initialised:
            self._boxes.append(self._held)
            self._true_boxes.append(np.full(4, np.nan) if step.initialised else true_box)
        return true_box

    def accuracy(self) -> Accuracy | None:
        """None where no image counts."""
        if not self._boxes or np.isnan(self._true_boxes).any(axis=1).all():
            return None
        return accuracy(self._boxes, self._true_boxes)
