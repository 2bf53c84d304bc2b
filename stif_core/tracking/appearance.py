"""Does a box hold what was marked in the initial frame? Colours and a coarse picture, apart from the network's opinion.

How alike the same target looks later on differs: a car keeps its picture, a runner changes it with every step. So a
likeness is judged by what is usual for this target while it is tracked.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stif_core.geometry import FloatArray, centre

SIDE = 32  # pixels of the patch that a box is sampled to
COARSE = 6  # cells a side of the coarse picture
CHROMA_BINS, CHROMA_WIDTH, CHROMA_FIRST = 12, 10, 68  # of a and b in OpenCV's 8-bit Lab, whose grey is 128
LIGHT_BINS = 16
RATE = 0.1  # of the running means
LEAST_DEVIATION, MOST_DEVIATION = 0.06, 0.15
# Deviations below the usual likeness: up to the first it is the target for all we know, from the second on it is not.
LIKE, UNLIKE = 2.5, 6.0

_radius = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
_WEIGHT = np.clip(1 - _radius[:, None] ** 2 - _radius[None] ** 2, 0, None).astype(
    np.float32
)  # the corners count little
_COARSE_WEIGHT = cv2.resize(_WEIGHT, (COARSE, COARSE), interpolation=cv2.INTER_AREA)[..., None]


@dataclass(frozen=True)
class _Looks:
    """Square roots of the colour and light histograms, and the coarse picture, each of unit length."""

    chroma: NDArray[np.float32]
    light: NDArray[np.float32]
    picture: NDArray[np.float32]


class Appearance:
    """What one target looked like in the initial frame, and how alike it usually looks since then."""

    def __init__(self, looks: _Looks) -> None:
        self._initial = looks
        self._mean = np.array([1.0, 1.0])
        self._deviation = np.array([0.1, 0.1])

    @classmethod
    def of(cls, image: NDArray[np.uint8], box: FloatArray) -> "Appearance":
        """From an image (H, W, 3) BGR and the target's xywh box in it."""
        return cls(_looks(image, box))

    def likeness(self, image: NDArray[np.uint8], box: FloatArray) -> FloatArray:
        """Of an xywh box to the initial one, (2,), 0 to 1: colour and light; correlation of the coarse pictures."""
        looks, initial = _looks(image, box), self._initial
        colour = float(looks.chroma @ initial.chroma) * float(looks.light @ initial.light)
        return np.array([colour, max(0.0, float(looks.picture @ initial.picture))])

    def learn(self, likeness: FloatArray) -> None:
        """Takes a likeness that the target had in TRACKING."""
        self._deviation += RATE * (np.abs(likeness - self._mean) - self._deviation)
        self._mean += RATE * (likeness - self._mean)

    def belief(self, likeness: FloatArray) -> float:
        """Whether this is how the target usually looks: 1 as far as can be told, 0 certainly not."""
        below = (self._mean - likeness) / np.clip(self._deviation, LEAST_DEVIATION, MOST_DEVIATION)
        return float(np.clip((UNLIKE - below.max()) / (UNLIKE - LIKE), 0, 1))


def _looks(image: NDArray[np.uint8], box: FloatArray) -> _Looks:
    patch = _patch(image, box)
    lab = cv2.cvtColor(cv2.blur(patch, (3, 3)), cv2.COLOR_BGR2Lab)
    chroma_index = np.clip((lab[..., 1:].astype(np.int32) - CHROMA_FIRST) // CHROMA_WIDTH, 0, CHROMA_BINS - 1)
    index = chroma_index[..., 0] * CHROMA_BINS + chroma_index[..., 1]
    chroma = np.bincount(index.ravel(), _WEIGHT.ravel(), CHROMA_BINS**2).reshape(CHROMA_BINS, CHROMA_BINS)
    light = np.bincount((lab[..., 0] // (256 // LIGHT_BINS)).ravel(), _WEIGHT.ravel(), LIGHT_BINS)
    picture = cv2.resize(patch, (COARSE, COARSE), interpolation=cv2.INTER_AREA).astype(np.float32)
    picture -= (picture * _COARSE_WEIGHT).sum() / (3 * _COARSE_WEIGHT.sum())
    return _Looks(
        _unit(np.sqrt(cv2.GaussianBlur(chroma, (3, 3), 0.8))),
        _unit(np.sqrt(cv2.GaussianBlur(light[None], (3, 1), 0.8))),
        _unit(picture * np.sqrt(_COARSE_WEIGHT)),
    )


def _patch(image: NDArray[np.uint8], box: FloatArray) -> NDArray[np.uint8]:
    """The box's content on SIDE x SIDE pixels; averaged over blocks where the box is much larger."""
    height, width = image.shape[:2]
    x, y = centre(box)
    left, right = np.clip([x - box[2] / 2, x + box[2] / 2], 0, width)
    top, bottom = np.clip([y - box[3] / 2, y + box[3] / 2], 0, height)
    if box[2] >= 2 * SIDE and box[3] >= 2 * SIDE and right - left >= box[2] - 1 and bottom - top >= box[3] - 1:
        part = image[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))]
        return cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    scale_x, scale_y = box[2] / SIDE, box[3] / SIDE
    shift_x = x - box[2] / 2 + scale_x / 2 - 0.5
    shift_y = y - box[3] / 2 + scale_y / 2 - 0.5
    matrix = np.array([[scale_x, 0, shift_x], [0, scale_y, shift_y]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = values.ravel().astype(np.float32)
    return flat / max(float(np.linalg.norm(flat)), 1e-6)
