"""OpenCV's classical trackers, for comparison; they need opencv-contrib."""

import math

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from stif_core.geometry import FloatArray, xywh_to_xyxy

OPENCV_TRACKERS = ("csrt", "kcf", "mil")
PEERS = (*OPENCV_TRACKERS, "nanotrack")  # the last in a module of its own


class OpenCvTracker:
    """One of OpenCV's trackers with ``init`` and ``track`` like ours; without a box it holds the last one, as we do."""

    confidence = math.nan
    state = ""

    def __init__(self, name: str) -> None:
        factory = f"Tracker{name.upper()}_create"
        module = next((m for m in (cv2, getattr(cv2, "legacy", None)) if hasattr(m, factory)), None)
        if module is None:
            raise ValueError(
                f"this OpenCV has no {name.upper()} tracker: pip install opencv-contrib-python-headless "
                "instead of the OpenCV that is installed"
            )
        self._create = getattr(module, factory)

    def init(self, image: NDArray[np.uint8], box: ArrayLike) -> None:
        # OpenCV's trackers take whole pixels inside the image.
        size = (image.shape[1], image.shape[0])
        corners = np.clip(np.round(xywh_to_xyxy(box)), 0, (*size, *size)).astype(int)
        left, top, right, bottom = corners.tolist()
        self._box = np.asarray(box, dtype=np.float64)
        self.state = "TRACKING"
        self._tracker = self._create()
        self._tracker.init(image, (left, top, max(right - left, 1), max(bottom - top, 1)))

    def track(self, image: NDArray[np.uint8]) -> FloatArray:
        """The box xywh in this image."""
        found, box = self._tracker.update(image)
        self.state = "TRACKING" if found else "LOST"
        if found:
            self._box = np.array(box, dtype=np.float64)
        return self._box
