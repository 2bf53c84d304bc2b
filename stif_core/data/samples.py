"""Training samples: memory crops with the target's box and a query crop."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from stif_core.data.drawing import draw_crop
from stif_core.data.images import Image
from stif_core.data.planner import SamplePlanner
from stif_core.geometry import FloatArray, xywh_to_xyxy


class Sample(NamedTuple):
    """T memory crops, the first being the initial frame, and one query crop; boxes are xywh in crop pixels."""

    memory: list[Image]  # T of (S, S, 3) BGR
    memory_boxes: FloatArray  # (T, 4)
    query: Image
    query_box: FloatArray  # (4,), of no meaning where the target is absent
    present: bool


class SampleDataset(Dataset[dict[str, Tensor]]):
    """Carries out the plans of a planner."""

    def __init__(self, planner: SamplePlanner) -> None:
        self.planner = planner

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Tensors ``memory`` (T, 3, S, S) and ``query`` (3, S, S) uint8, their boxes ``memory_xyxy`` (T, 4) and
        ``query_xyxy`` (4,) in crop pixels, and ``present``.
        """
        sample = self.sample(index)
        # Views: the batch is put together with the channels last, as the network takes them.
        return {
            "memory": torch.from_numpy(np.stack(sample.memory)).permute(0, 3, 1, 2),
            "memory_xyxy": torch.from_numpy(xywh_to_xyxy(sample.memory_boxes).astype(np.float32)),
            "query": torch.from_numpy(sample.query).permute(2, 0, 1),
            "query_xyxy": torch.from_numpy(xywh_to_xyxy(sample.query_box).astype(np.float32)),
            "present": torch.tensor(sample.present),
        }

    def sample(self, index: int) -> Sample:
        plan, images, size = self.planner[index], self.planner.images, self.planner.size
        crops = [draw_crop(crop, images, size) for crop in plan.crops]
        boxes = np.array([crop.final_box(size) for crop in plan.crops])
        return Sample(crops[:-1], boxes[:-1], crops[-1], boxes[-1], plan.present)
