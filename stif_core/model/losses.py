"""Losses of the anchor-free head: focal, centreness and IoU (STIF, section 3.3; FCOS)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from stif_core.model.head import HeadOutput


@dataclass(frozen=True)
class LossWeights:
    """``lambda_1`` and ``lambda_2`` of the total; the paper sets both to 1, STMTrack the second to 3."""

    centreness: float = 1.0
    box: float = 1.0


@dataclass(frozen=True)
class Targets:
    """What the head should say at each cell."""

    positive: Tensor  # (B, N) bool
    centreness: Tensor  # (B, N), defined where positive
    box: Tensor  # (B, 1, 4) xyxy


def assign_targets(points: Tensor, box_xyxy: Tensor, present: Tensor, nearest_cell: bool) -> Targets:
    """Marks the cells inside the box as positive.

    Args:
        points: Cell centres, (N, 2) in crop pixels.
        box_xyxy: Target box of each sample, (B, 4) in crop pixels.
        present: (B,) bool; False where the query shows another object: no cell is positive.
        nearest_cell: The cell nearest to the box's centre is positive too, so that a target smaller than a cell
            has one.
    """
    box = box_xyxy[:, None]
    left_top = points - box[..., :2]
    right_bottom = box[..., 2:] - points
    inside = (left_top > 0).all(dim=2) & (right_bottom > 0).all(dim=2)
    if nearest_cell:
        centre = (box[..., :2] + box[..., 2:]) / 2
        nearest = (points - centre).square().sum(dim=2).argmin(dim=1)
        inside = inside | F.one_hot(nearest, len(points)).bool()
    small = torch.minimum(left_top, right_bottom).clamp(min=0)
    large = torch.maximum(left_top, right_bottom).clamp(min=1e-6)
    # sqrt(min(l, r) min(t, b) / (max(l, r) max(t, b))); the nearest cell of a tiny target may lie outside: floor.
    centreness = (small / large).prod(dim=2).sqrt().clamp(min=0.05 if nearest_cell else 0.0)
    return Targets(inside & present[:, None], centreness, box)


def focal_loss(logits: Tensor, positive: Tensor, alpha: float = 0.75, gamma: float = 2.0) -> Tensor:
    """Sum of ``-alpha_t (1 - p_t)^gamma log p_t`` (Lin et al., 2017)."""
    target = positive.to(logits.dtype)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    p = logits.sigmoid()
    p_t = p * target + (1 - p) * (1 - target)
    alpha_t = alpha * target + (1 - alpha) * (1 - target)
    return (alpha_t * (1 - p_t) ** gamma * cross_entropy).sum()


def generalised_iou(a: Tensor, b: Tensor) -> Tensor:
    """GIoU (Rezatofighi et al., 2019) of xyxy boxes, broadcast over the leading dimensions; -1 to 1."""
    overlap = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(dim=-1)
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(dim=-1)
    area_a = (a[..., 2:] - a[..., :2]).prod(dim=-1)
    area_b = (b[..., 2:] - b[..., :2]).prod(dim=-1)
    union = area_a + area_b - overlap
    return overlap / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)


def stif_loss(
    output: HeadOutput,
    targets: Targets,
    weights: LossWeights,
    mean_over_ranks: Callable[[Tensor], Tensor] = lambda value: value,
) -> dict[str, Tensor]:
    """Total loss and its parts, each a mean over the positive cells.

    ``mean_over_ranks`` averages the divisors where several processes share a batch: with it the mean of their gradients
    is the gradient of the whole batch, however its positive cells are spread.
    """
    positive = targets.positive
    centreness_target = targets.centreness[positive]
    count, weight = mean_over_ranks(torch.stack([positive.sum(), centreness_target.sum()]).float())
    count, weight = count.clamp(min=1), weight.clamp(min=1e-6)
    iou = generalised_iou(output.boxes, targets.box)[positive]
    parts = {
        "class": focal_loss(output.class_logits, positive) / count,
        "centreness": F.binary_cross_entropy_with_logits(
            output.centreness_logits[positive], centreness_target, reduction="sum"
        )
        / count,
        # Weighted by centreness, as FCOS does: a box guessed from the target's rim matters less.
        "box": ((1 - iou) * centreness_target).sum() / weight,
    }
    parts["total"] = parts["class"] + weights.centreness * parts["centreness"] + weights.box * parts["box"]
    return parts


def distillation_loss(
    output: HeadOutput,
    teacher: HeadOutput,
    weights: LossWeights,
    mean_over_ranks: Callable[[Tensor], Tensor] = lambda value: value,
) -> Tensor:
    """How far a network's output is from a teacher's: cross entropy of the class scores above its least value, of the
    centreness, and GIoU of the boxes.

    Class scores are compared at every cell, centreness and boxes weighted by the teacher's class score; the divisor is
    the sum of these weights. ``mean_over_ranks`` as for ``stif_loss``.
    """
    seen = teacher.class_logits.sigmoid()
    weight = mean_over_ranks(seen.sum()).clamp(min=1.0)
    cross_entropy = F.binary_cross_entropy_with_logits(output.class_logits, seen, reduction="sum")
    least = F.binary_cross_entropy_with_logits(teacher.class_logits, seen, reduction="sum")
    centreness = F.binary_cross_entropy_with_logits(
        output.centreness_logits, teacher.centreness_logits.sigmoid(), weight=seen, reduction="sum"
    )
    box = (seen * (1 - generalised_iou(output.boxes, teacher.boxes))).sum()
    return (cross_entropy - least + weights.centreness * centreness + weights.box * box) / weight
