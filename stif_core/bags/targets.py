"""What to track in a replay: boxes from the command line or from a topic of TargetInit messages."""

from dataclasses import dataclass

import numpy as np

from stif_core.bags.images import BagFrame
from stif_core.bags.reading import Bag
from stif_core.bags.typestore import TARGET_INIT
from stif_core.geometry import FloatArray, check_target_box
from stif_core.io.stamps import nanoseconds_or_none

STAMP_TOLERANCE_NS = 500_000  # a stamp that went through a float of seconds is off by less
DEFAULT_TARGET_ID = "target"


@dataclass(frozen=True, eq=False)
class BoxRequest:
    """A box that was given for one image.

    Attributes:
        box: xywh, pixels or fractions of the image.
        from_ns: Without a stamp: the box is for the first image recorded at this time or later.
        stamp_ns: Stamp of the image that it belongs to; None: it has none.
        normalized: Whether the box is fractions.
        target_id: Name of the target.
        required: Whether a box that does not fit its image ends the replay.
    """

    box: FloatArray
    from_ns: int
    stamp_ns: int | None = None
    normalized: bool = False
    target_id: str = DEFAULT_TARGET_ID
    required: bool = False

    def is_for(self, frame: BagFrame) -> bool:
        if self.stamp_ns is None:
            return frame.time_ns >= self.from_ns
        return abs(frame.stamp_ns - self.stamp_ns) <= STAMP_TOLERANCE_NS

    def pixels(self, width: int, height: int) -> FloatArray:
        """The box in pixels of an image of this size. Raises ValueError when it does not fit."""
        box = self.box * (width, height, width, height) if self.normalized else self.box
        return check_target_box(box, width, height)


class Targets:
    """Requests that wait for their images."""

    def __init__(self, requests: list[BoxRequest]) -> None:
        self.waiting = list(requests)

    def take(self, frame: BagFrame) -> BoxRequest | None:
        """The request for this image, the latest if there are several; they no longer wait."""
        due = [request for request in self.waiting if request.is_for(frame)]
        self.waiting = [request for request in self.waiting if request not in due]
        return due[-1] if due else None


def read_requests(bag: Bag, topic: str) -> list[BoxRequest]:
    """The TargetInit messages of a topic. Raises ValueError when there are none, or one cannot be read."""
    return [
        BoxRequest(
            np.array([message.x, message.y, message.width, message.height]),
            time_ns,
            nanoseconds_or_none(message.header.stamp),
            bool(message.normalized),
            message.target_id or DEFAULT_TARGET_ID,
        )
        for time_ns, _, message in bag.messages(topic, TARGET_INIT)
    ]


def parse_request(text: str, start_ns: int) -> BoxRequest:
    """``x,y,w,h`` for the first image, ``x,y,w,h@TIME`` for the first one TIME seconds after the bag's start.

    Raises:
        ValueError: It is neither.
    """
    box, at, time = text.partition("@")
    try:
        x, y, w, h = (float(value) for value in box.split(","))
        from_ns = start_ns + (round(float(time) * 1e9) if at else 0)
    except (ValueError, OverflowError):
        raise ValueError(f"--init expects x,y,w,h or x,y,w,h@TIME (pixels; seconds), got '{text}'") from None
    return BoxRequest(check_target_box((x, y, w, h), np.inf, np.inf), from_ns, required=True)
