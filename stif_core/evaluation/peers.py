"""OpenCV's classical trackers, for comparison; they need opencv-contrib."""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from stif_core.geometry import FloatArray

PEERS = ("csrt", "kcf", "mil")


class OpenCvTracker:
    """One of OpenCV's trackers with ``init`` and ``track`` like ours; a lost target gives a NaN box."""

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
        x, y, w, h = np.round(np.asarray(box)).astype(int).tolist()
        self._tracker = self._create()
        self._tracker.init(image, (x, y, max(w, 1), max(h, 1)))

    def track(self, image: NDArray[np.uint8]) -> FloatArray:
        """The box xywh in this image."""
        found, box = self._tracker.update(image)
        return np.array(box, dtype=np.float64) if found else np.full(4, np.nan)
