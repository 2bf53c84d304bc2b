"""Plans of samples as tensors, for ``on_device``."""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from stif_core.crops import SearchWindow
from stif_core.data.augment import LONGEST_MOTION, motion_kernel
from stif_core.data.drawing import inside
from stif_core.data.picture_store import FILLING, MASKED, PICTURE, PictureStore
from stif_core.data.plans import CropPlan, Look, Picture, SamplePlan, Scenery
from stif_core.geometry import FloatArray, xywh_to_xyxy


class PlanPacker:
    """Turns plans into tensors; runs in the loader, which has no access to the device."""

    def __init__(self, store: PictureStore, size: int) -> None:
        """``size`` is the side of the crops."""
        self.numbers = store.numbers
        self.sizes = store.sizes
        self.stored = store.stored
        self.scale = store.stored / store.sizes
        self.size = size

    def __call__(self, plans: Sequence[SamplePlan]) -> dict[str, Tensor]:
        """A batch for ``draw_batch``: boxes and presence as in ``SampleDataset``, and layers, looks and kernels."""
        boxes = np.array([[crop.final_box(self.size) for crop in plan.crops] for plan in plans])
        boxes_xyxy = torch.from_numpy(xywh_to_xyxy(boxes).astype(np.float32))
        crops = [crop for plan in plans for crop in plan.crops]
        layers = [(number, *layer) for number, crop in enumerate(crops) for layer in self._layers(crop)]
        owner, depth, kind, picture, matrix, part, clip = zip(*layers, strict=True)
        ground = [self.numbers[str((crop.picture or crop.scenery).image)] for crop in crops]  # type: ignore[union-attr]
        return {
            "memory_xyxy": boxes_xyxy[:, :-1],
            "query_xyxy": boxes_xyxy[:, -1],
            "present": torch.tensor([plan.present for plan in plans]),
            "ground": torch.tensor(ground),
            "layer_crop": torch.tensor(owner),
            "layer_depth": torch.tensor(depth),
            "layer_kind": torch.tensor(kind),
            "layer_picture": torch.tensor(picture),
            "layer_matrix": torch.from_numpy(np.array(matrix, np.float32)),
            "layer_part": torch.from_numpy(np.array(part, np.float32)),
            "layer_clip": torch.tensor(clip),
            **_looks([crop.look for crop in crops]),
        }

    def _layers(self, plan: CropPlan) -> Iterable[tuple[int, int, int, FloatArray, FloatArray, tuple[int, ...]]]:
        """Depth, kind, picture, map from the crop to stored pixels, part of the picture and of the crop."""
        whole, depth = (0, 0, self.size, self.size), 0
        covered = plan.picture is not None and self._covers(plan.picture)
        if plan.scenery is not None and not covered:
            yield depth, FILLING, *self._scenery(plan.scenery), whole
            depth += 1
        if plan.picture is not None:
            number = self.numbers[str(plan.picture.image)]
            yield depth, FILLING if covered else PICTURE, *self._window(number, plan.picture.window), whole
            depth += 1
        for pasted in plan.pasted:
            number = self.numbers[str(pasted.cutout.image)]
            to_object = cv2.invertAffineTransform(pasted.matrix)
            left, top = pasted.cutout.part[:2]
            matrix = self._stored_matrix(number, to_object + np.array([[0, 0, left], [0, 0, top]]))
            part = (np.array(pasted.cutout.part).reshape(2, 2) * self.scale[number]).round().reshape(4)
            yield depth, MASKED, number, matrix, part, whole
            depth += 1
        if plan.cover is not None:
            yield depth, FILLING, *self._scenery(plan.cover.scenery), plan.cover.part

    def _covers(self, picture: Picture) -> bool:
        width, height = self.sizes[self.numbers[str(picture.image)]]
        return inside(picture.window, int(width), int(height))

    def _scenery(self, scenery: Scenery) -> tuple[int, FloatArray, FloatArray]:
        number = self.numbers[str(scenery.image)]
        width, height = self.sizes[number]
        return self._window(number, scenery.window(int(width), int(height), self.size))

    def _window(self, number: int, window: SearchWindow) -> tuple[int, FloatArray, FloatArray]:
        step, half = 1 / window.scale, window.side / 2
        matrix = np.array([[step, 0, window.x - half], [0, step, window.y - half]])
        return number, self._stored_matrix(number, matrix), np.array([0, 0, *self.stored[number]])

    def _stored_matrix(self, number: int, matrix: FloatArray) -> FloatArray:
        return matrix * self.scale[number][:, None]


def _looks(looks: Sequence[Look]) -> dict[str, Tensor]:
    """Motion blur and Gaussian blur as kernels (n, K, K); 0 stands for a step that is left out."""
    kernels = np.zeros((2, len(looks), LONGEST_MOTION, LONGEST_MOTION), np.float32)
    for i, look in enumerate(looks):
        if look.motion is not None:
            line = motion_kernel(*look.motion)
            margin = (LONGEST_MOTION - len(line)) // 2
            kernels[0, i] = np.pad(line, margin)
        if look.blur is not None:
            line = cv2.getGaussianKernel(LONGEST_MOTION, look.blur)
            kernels[1, i] = line @ line.T
    return {
        "look_gain": torch.from_numpy(np.array([look.gain for look in looks])),
        "look_grey": torch.tensor([look.grey for look in looks]),
        "look_flipped": torch.tensor([look.flipped for look in looks]),
        "look_kernels": torch.from_numpy(kernels),
        "look_detail": torch.tensor([look.detail or 0.0 for look in looks]),
        "look_noise": torch.tensor([look.noise or (0.0, 0) for look in looks], dtype=torch.float64),
    }
