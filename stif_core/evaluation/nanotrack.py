"""NanoTrack v3 on ONNX Runtime, for comparison; the user brings its two files.

Does what the PyTorch tracker of the source does (``nano_tracker.py`` with ``configv3.yaml``): the same crops, the same
grid, the same choice among the boxes. Network inputs are BGR, 0 to 255.
"""

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from stif_core.geometry import FloatArray
from stif_core.runtime.onnx_backend import open_session

SOURCE = "github.com/HonglinChu/SiamTrackers, NanoTrack/models/nanotrackv3"
BACKBONE, HEAD = "nanotrack_backbone.onnx", "nanotrack_head.onnx"

TEMPLATE, SEARCH = 127, 255  # sides of the two crops, pixels
CONTEXT = 0.5  # share of w + h that is added to each side of the template
STRIDE, CELLS = 16, 15  # the head's grid, centred on the search crop
SHAPE_PENALTY = 0.138
WINDOW_INFLUENCE = 0.455
SIZE_RATE = 0.348
SMALLEST = 10  # pixels of the image


class NanoTrack:
    """NanoTrack v3 with ``init`` and ``track`` like ours.

    Args:
        folder: Holds ``nanotrack_backbone.onnx`` and ``nanotrack_head.onnx``.
        threads: CPU threads for one inference; 0 leaves the choice to ONNX Runtime.

    Attributes:
        confidence: The network's score of the latest box.
        state: Empty: it has none.

    Raises:
        ValueError: No folder, a file is missing or broken, or the package onnx is not installed.
    """

    confidence = math.nan
    state = ""

    def __init__(self, folder: Path | None, threads: int = 0) -> None:
        needs = f"nanotrack needs {BACKBONE} and {HEAD} from {SOURCE}"
        if folder is None:
            raise ValueError(f"{needs}: name their folder with --nanotrack")
        missing = [name for name in (BACKBONE, HEAD) if not (folder / name).is_file()]
        if missing:
            raise ValueError(f"{needs}: no {' and no '.join(missing)} in {folder}")
        self._backbone = open_session(folder / BACKBONE, threads, "NanoTrack")
        self._head = open_session(folder / HEAD, threads, "NanoTrack")
        self._template_backbone = open_session(_template_graph(folder / BACKBONE), threads, "NanoTrack")
        steps = STRIDE * (np.arange(CELLS) - CELLS // 2)
        self._grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
        self._window = np.outer(np.hanning(CELLS), np.hanning(CELLS)).ravel()

    def init(self, image: NDArray[np.uint8], box: ArrayLike) -> None:
        corner, self._size = np.split(np.array(box, dtype=np.float64), 2)
        # Half a pixel short of the middle, as the source's tracker has it. Its test.py adds that half to the box first:
        # on our 17 sequences the mean success AUC is then .640, not .669, nearly all of it in two of them.
        self._centre = corner + (self._size - 1) / 2
        self.confidence = 1.0
        self._colour = image.mean(axis=(0, 1))
        crop = self._crop(image, round(float(_context_side(self._size))), TEMPLATE)
        (self._template,) = self._template_backbone.run(None, {"input": crop})

    def track(self, image: NDArray[np.uint8]) -> FloatArray:
        """The box xywh in this image."""
        side = float(_context_side(self._size))
        (feature,) = self._backbone.run(None, {"input": self._crop(image, round(side * (SEARCH / TEMPLATE)), SEARCH)})
        logits, distances = self._head.run(None, {"input1": self._template, "input2": feature})
        logits = logits.astype(np.float64).reshape(2, -1)
        score = 1 / (1 + np.exp(logits[0] - logits[1]))
        distances = distances.astype(np.float64).reshape(4, -1).T  # to left, top, right, bottom
        scale = TEMPLATE / side
        sizes = distances[:, :2] + distances[:, 2:]
        shift = self._grid + (distances[:, 2:] - distances[:, :2]) / 2

        growth = _larger_than_one(_context_side(sizes) / _context_side(self._size * scale))
        stretch = _larger_than_one((self._size[0] / self._size[1]) / (sizes[:, 0] / sizes[:, 1]))
        trusted = np.exp(-(growth * stretch - 1) * SHAPE_PENALTY) * score
        best = int(np.argmax(trusted * (1 - WINDOW_INFLUENCE) + self._window * WINDOW_INFLUENCE))
        self.confidence = float(score[best])

        limit = (image.shape[1], image.shape[0])
        rate = trusted[best] * SIZE_RATE
        self._centre = np.clip(self._centre + shift[best] / scale, 0, limit)
        size = self._size * (1 - rate) + sizes[best] / scale * rate
        self._size = np.maximum(np.minimum(size, limit), SMALLEST)
        return np.concatenate([self._centre - self._size / 2, self._size])

    def _crop(self, image: NDArray[np.uint8], side: int, size: int) -> NDArray[np.float32]:
        """The square of whole pixels around the target as (1, 3, size, size); outside the image, its mean colour."""
        left, top = np.floor(self._centre - side / 2).astype(int).tolist()
        height, width = image.shape[:2]
        square = np.empty((side, side, 3), np.uint8)
        square[:] = self._colour.astype(np.uint8)  # cut, not rounded, as in the source
        x0, x1 = np.clip([left, left + side], 0, width)
        y0, y1 = np.clip([top, top + side], 0, height)
        square[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
        return cv2.resize(square, (size, size)).transpose(2, 0, 1)[None].astype(np.float32)


def _context_side(size: FloatArray) -> FloatArray:
    """Side of the square with the area of a (..., 2) size and its context."""
    return np.sqrt((size + CONTEXT * size.sum(axis=-1, keepdims=True)).prod(axis=-1))


def _larger_than_one(ratio: FloatArray) -> FloatArray:
    return np.maximum(ratio, 1 / ratio)


def _template_graph(backbone: Path) -> bytes:
    """The backbone for crops of 127 pixels: it is written for 255, but no layer depends on the size."""
    try:
        import onnx
    except ModuleNotFoundError:
        raise ValueError("nanotrack needs the package onnx: pip install onnx") from None

    model = onnx.load(backbone)
    for axis in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        axis.dim_value = TEMPLATE
    for axis in model.graph.output[0].type.tensor_type.shape.dim[2:]:
        axis.dim_param = "n"
    del model.graph.value_info[:]
    return model.SerializeToString()
