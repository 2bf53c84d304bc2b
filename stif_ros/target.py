"""The target as the node sees it: requests to set it, and its tracker."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stif_core.geometry import FloatArray, check_target_box


@dataclass(frozen=True)
class TargetRequest:
    """A checked TargetInit.

    Attributes:
        target_id: Empty for the first target.
        box: xywh, pixels or fractions of the image.
        normalized: Whether it is fractions.
        stamp_ns: The image it belongs to; None: the next one.
    """

    target_id: str
    box: FloatArray
    normalized: bool
    stamp_ns: int | None

    def pixels(self, width: int, height: int) -> FloatArray:
        """The box in pixels of an image of this size. Raises ValueError when it does not fit."""
        box = self.box * (width, height, width, height) if self.normalized else self.box
        return check_target_box(box, width, height)


def read_request(target_init: Any) -> TargetRequest:
    """Takes a TargetInit message.

    Raises:
        ValueError: The box is not finite or has no area.
    """
    box = np.array([target_init.x, target_init.y, target_init.width, target_init.height])
    # Where the image's size is not known yet, what can be checked is.
    check_target_box(box, np.inf, np.inf)
    stamp = target_init.header.stamp
    stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
    return TargetRequest(target_init.target_id, box, target_init.normalized, stamp_ns or None)
