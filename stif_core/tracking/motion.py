"""What the camera does between two images: its motion by sparse optical flow of the background, and cuts."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from stif_core.geometry import FloatArray

WIDTH = 240  # pixels of the downscaled image
POINTS = 80
FEWEST = 10  # points that must agree on a motion
AGREEMENT = 0.5  # share of the points that must
ZOOM = 1.25  # change of scale between two images up to which it is believed
TOLERANCE = 1.5  # pixels of the downscaled image

THUMBNAIL = 16  # samples a side by which cuts are told
CUT = 25.0  # grey values by which they change on average at a cut, at least
SUDDEN = 4.0  # and so many times as much as they usually do


class CutDetector:
    """Notices when the whole image changes at once: a cut, a flash, a dark frame."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """The next image has none before it."""
        self._before: NDArray[np.int16] | None = None
        self._usual: float | None = None

    def update(self, image: NDArray[np.uint8]) -> bool:
        """Whether there is a cut between the image before and this one; False for the first two images."""
        now = image[_thumbnail(*image.shape[:2])].astype(np.int16)
        before, self._before = self._before, now
        if before is None:
            return False
        change = float(np.abs(now - before).mean())
        if self._usual is None:
            self._usual = change
            return False
        cut = change > max(CUT, SUDDEN * self._usual)
        self._usual += 0.2 * (change - self._usual)
        return cut


@lru_cache(maxsize=8)
def _thumbnail(height: int, width: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Index of THUMBNAIL x THUMBNAIL pixels spread over an image of this size."""
    rows, columns = (np.linspace(0, side - 1, THUMBNAIL).astype(np.intp) for side in (height, width))
    return rows[:, None], columns


class CameraMotion:
    """Compares each image with the one before: Lucas-Kanade on corners, and RANSAC for a similarity."""

    def __init__(self) -> None:
        self._before: NDArray[np.uint8] | None = None

    def forget(self) -> None:
        """The next image has none before it."""
        self._before = None

    def update(self, image: NDArray[np.uint8]) -> FloatArray:
        """The map (2, 3) from the image before to this one, in pixels of the image; identity where it cannot be told.

        That is: no image before, another resolution, too few corners, or no motion that half of them agree on (a cut).
        """
        factor = max(1.0, image.shape[1] / WIDTH)
        size = (round(image.shape[1] / factor), max(1, round(image.shape[0] / factor)))
        now = cv2.cvtColor(cv2.resize(image, size), cv2.COLOR_BGR2GRAY)
        before, self._before = self._before, now
        if before is None or before.shape != now.shape:
            return np.eye(2, 3)
        matrix = similarity(before, now)
        matrix[:, 2] *= factor
        return matrix


def similarity(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> FloatArray:
    """The similarity (2, 3) that most corners of one grey image follow to the other; identity where too few do."""
    corners = cv2.goodFeaturesToTrack(before, POINTS, 0.01, 7)
    if corners is None or len(corners) < FEWEST:
        return np.eye(2, 3)
    moved, found, _ = cv2.calcOpticalFlowPyrLK(before, now, corners, None, winSize=(15, 15), maxLevel=3)
    kept = found.ravel() == 1
    if kept.sum() < FEWEST:
        return np.eye(2, 3)
    matrix, agree = cv2.estimateAffinePartial2D(
        corners[kept], moved[kept], method=cv2.RANSAC, ransacReprojThreshold=TOLERANCE, maxIters=200
    )
    if matrix is None or agree.sum() < max(FEWEST, AGREEMENT * len(corners)):
        return np.eye(2, 3)
    if not 1 / ZOOM < np.sqrt(abs(np.linalg.det(matrix[:, :2]))) < ZOOM:
        return np.eye(2, 3)
    return np.asarray(matrix, np.float64)


def move_box(matrix: FloatArray, box: FloatArray) -> FloatArray:
    """An xywh box whose centre follows a similarity (2, 3), and whose size follows its scale."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    centre = matrix[:, :2] @ (box[:2] + box[2:] / 2) + matrix[:, 2]
    size = box[2:] * scale
    return np.concatenate([centre - size / 2, size])
