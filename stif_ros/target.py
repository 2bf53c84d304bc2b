"""The target as the node sees it: requests to set it, and its tracker."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stif_core.geometry import FloatArray, check_target_box
from stif_core.io.stamps import nanoseconds_or_none

LEAST_SIDE = 4  # pixels of a target's visible part
LEAST_CONTRAST = 1.0  # standard deviation in grey levels; a camera's noise on a wall has more


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
        with np.errstate(over="ignore"):  # infinite is refused, too
            box = self.box * (width, height, width, height) if self.normalized else self.box
            return check_target_box(box, width, height)

    def pixels_on_something(self, image: NDArray[np.uint8]) -> FloatArray:
        """The box in pixels of an image (H, W, 3), if there is something in it that can be followed.

        Raises:
            ValueError: It does not fit, is tiny, or holds a flat patch.
        """
        height, width = image.shape[:2]
        box = self.pixels(width, height)
        left, top = np.clip(box[:2], 0, (width - 1, height - 1)).astype(int)
        right, bottom = np.clip(np.ceil(box[:2] + box[2:]), (left + 1, top + 1), (width, height)).astype(int)
        text = f"box ({', '.join(f'{value:g}' for value in box)})"
        if min(right - left, bottom - top) < LEAST_SIDE:
            seen = f"{right - left}x{bottom - top} pixels in the image"
            raise ValueError(f"{text} is too small: it has {seen}, expected at least {LEAST_SIDE}x{LEAST_SIDE}")
        if image[top:bottom, left:right].std(axis=(0, 1)).max() < LEAST_CONTRAST:
            raise ValueError(f"{text} holds nothing to follow: all its pixels have nearly the same colour")
        return box


def read_request(target_init: Any) -> TargetRequest:
    """Takes a TargetInit message.

    Raises:
        ValueError: The box is not finite or has no area.
    """
    box = np.array([target_init.x, target_init.y, target_init.width, target_init.height])
    # Where the image's size is not known yet, what can be checked is.
    check_target_box(box, np.inf, np.inf)
    return TargetRequest(
        target_init.target_id, box, target_init.normalized, nanoseconds_or_none(target_init.header.stamp)
    )
