"""The network at work in an image: a crop in, a box in the image out; its passes are left to who runs the steps."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stif_core.crops import SearchWindow, foreground_map, plain_canvas
from stif_core.geometry import FloatArray, centre, clip_box, xyxy_to_xywh
from stif_core.model.config import StifConfig
from stif_core.tracking.memory import MemoryBank
from stif_core.tracking.passes import Pass, Steps
from stif_core.tracking.postprocess import Peak, best_cell, other_peaks
from stif_core.tracking.settings import TrackerSettings

SMALLEST_BOX = 2.0  # pixels; a box never shrinks below it


@dataclass(frozen=True)
class Sighting:
    """The best box xywh in a window, in image pixels, and the network's score for it, 0 to 1; others like it."""

    box: FloatArray
    score: float
    others: tuple["Sighting", ...] = ()


class Locator:
    """Finds a remembered target inside a window, and makes memories of it."""

    def __init__(self, config: StifConfig) -> None:
        self.crop_size = config.crop_size
        self._memory_frames = config.memory_frames

    def locate(
        self,
        image: NDArray[np.uint8],
        window: SearchWindow,
        size: FloatArray,
        enhanced: NDArray[np.float32],
        settings: TrackerSettings,
        others: bool = False,
    ) -> Steps[Sighting]:
        """The best box, its size blended with the one before; the position is not smoothed.

        Args:
            image: (H, W, 3) BGR.
            window: Where to look.
            size: Width and height before, (2,), image pixels.
            enhanced: From ``enhance``.
            settings: Those of the post-processing are used.
            others: Whether to tell of other peaks as well.
        """
        score, boxes = yield Pass("track", (_crop(image, window), enhanced))
        scale = window.scale
        peak = best_cell(score[0], boxes[0], size * scale, window.size, settings)
        peaks = [peak, *(other_peaks(score[0], boxes[0], peak, size * scale, settings) if others else ())]

        def sighting(peak: Peak, others: tuple[Sighting, ...] = ()) -> Sighting:
            found = window.to_image(xyxy_to_xywh(peak.box_xyxy))
            rate = peak.penalty * peak.score * settings.size_rate
            blended = (1 - rate) * size + rate * found[2:]
            box = np.concatenate([centre(found) - blended / 2, blended])
            return Sighting(clip_box(box, image.shape[1], image.shape[0], SMALLEST_BOX), peak.score, others)

        return sighting(peak, tuple(sighting(other) for other in peaks[1:]))

    def memorize(self, image: NDArray[np.uint8], box: FloatArray) -> Steps[NDArray[np.float32]]:
        """The memory feature (1, C, n, n) of the target in its xywh box."""
        window = SearchWindow.around(box, self.crop_size)
        foreground = foreground_map(window.to_crop(box), window.size)
        feature: NDArray[np.float32] = yield Pass("memorize", (_crop(image, window), foreground[None, None]))
        return feature

    def enhance(self, bank: MemoryBank) -> Steps[NDArray[np.float32]]:
        """The enhanced memory (1, K, C, n, n) of a bank as it is now."""
        enhanced: NDArray[np.float32] = yield Pass("enhance", (bank.select(self._memory_frames),))
        return enhanced


def _crop(image: NDArray[np.uint8], window: SearchWindow) -> NDArray[np.uint8]:
    """What the network sees of an image (H, W, 3): (1, 3, S, S); beyond the image its mean colour."""
    height, width = image.shape[:2]
    canvas = None if window.within(width, height) else plain_canvas(image, window.size)
    return np.ascontiguousarray(window.sample(image, canvas).transpose(2, 0, 1))[None]
