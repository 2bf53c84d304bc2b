"""What a training sample consists of, before any of its pixels is drawn.

A plan holds every random choice. ``drawing`` carries it out with OpenCV, ``on_device`` with torch, on a GPU too.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stif_core.crops import SearchWindow
from stif_core.geometry import FloatArray


class Scenery(NamedTuple):
    """A square of a picture; its place is told in shares, so that the picture's size need not be known.

    Attributes:
        image: The picture.
        share: Side of the square over the picture's shorter side.
        x, y: Its place between the ends, 0 to 1.
        view: Centre x, y and side of the part of the square that is shown, in units of its side.
    """

    image: Path
    share: float
    x: float
    y: float
    view: tuple[float, float, float] = (0.5, 0.5, 1.0)

    def window(self, width: int, height: int, size: int) -> SearchWindow:
        """What it shows of a picture of that size, as a crop of ``size`` pixels."""
        side = min(height, width) * self.share
        x = side / 2 + (width - side) * self.x
        y = side / 2 + (height - side) * self.y
        view_x, view_y, view_side = self.view
        return SearchWindow(x + (view_x - 0.5) * side, y + (view_y - 0.5) * side, view_side * side, size)


class Picture(NamedTuple):
    """The part of a picture that a crop shows."""

    image: Path
    window: SearchWindow


class Cutout(NamedTuple):
    """A masked object.

    Attributes:
        image, mask: Files.
        part: Left, top, right and bottom of the object, image pixels.
    """

    image: Path
    mask: Path
    part: tuple[int, int, int, int]


class Pasted(NamedTuple):
    """A masked object, drawn into a crop.

    Attributes:
        cutout: What is drawn.
        matrix: Its pixels -> the crop's, (2, 3); both count from the edges, not from pixel centres.
    """

    cutout: Cutout
    matrix: FloatArray


class Cover(NamedTuple):
    """A rectangle (left, top, right, bottom, crop pixels) that shows another picture."""

    part: tuple[int, int, int, int]
    scenery: Scenery


class Look(NamedTuple):
    """How a finished crop is changed, in this order; None leaves a step out.

    Attributes:
        gain: Of each channel, and one offset, (4,).
        grey: Whether the colour is taken away.
        motion: Length in pixels and angle of a motion blur.
        blur: Standard deviation in pixels of a Gaussian blur.
        detail: Share of the resolution that is kept.
        noise: Standard deviation in grey levels, and a seed.
        jpeg: Quality.
        flipped: Whether left and right change places.
    """

    gain: NDArray[np.float32]
    grey: bool = False
    motion: tuple[float, float] | None = None
    blur: float | None = None
    detail: float | None = None
    noise: tuple[float, int] | None = None
    jpeg: int | None = None
    flipped: bool = False


UNCHANGED = Look(np.array([1, 1, 1, 0], np.float32))


@dataclass(frozen=True)
class CropPlan:
    """One crop, from the ground up.

    Attributes:
        box: xywh of the target in crop pixels, before it is flipped, (4,).
        picture: What it shows; None where the scenery is all of the ground.
        scenery: What it shows beyond the picture's border; None: the picture's mean colour.
        pasted: Objects over it, from the back to the front.
        cover: What hides a part of them.
        look: How it is changed in the end.
    """

    box: FloatArray
    picture: Picture | None
    scenery: Scenery | None
    pasted: tuple[Pasted, ...] = ()
    cover: Cover | None = None
    look: Look = UNCHANGED

    def final_box(self, size: int) -> FloatArray:
        """xywh in the finished crop, (4,)."""
        x, y, w, h = self.box
        return np.array([size - x - w if self.look.flipped else x, y, w, h])


@dataclass(frozen=True)
class SamplePlan:
    """Memory crops in order of time, the query crop last; the box of an absent target is of no meaning."""

    crops: tuple[CropPlan, ...]
    present: bool
