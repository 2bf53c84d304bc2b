"""Anchor-free head: classification, centreness and box offsets per cell (STIF, section 3.3; FCOS)."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stif_core.model.config import StifConfig
from stif_core.model.convolution import convolution3x3

MAX_EXPONENT = 8.0  # exp(8) cells are far beyond any crop; keeps an untrained network's boxes finite


class HeadOutput(NamedTuple):
    """Raw output of the head over the N cells, row by row."""

    class_logits: Tensor  # (B, N)
    centreness_logits: Tensor  # (B, N)
    boxes: Tensor  # (B, N, 4), xyxy in crop pixels


def tower(config: StifConfig) -> nn.Sequential:
    inputs, channels = 2 * config.channels, config.tower_channels
    layers: list[nn.Module] = []
    for _ in range(config.tower_depth):
        convolution = convolution3x3(inputs, channels, config.separable, bias=False)
        layers += [convolution, nn.BatchNorm2d(channels), nn.ReLU()]
        inputs = channels
    return nn.Sequential(*layers)


def output_layer(inputs: int, outputs: int, bias: float) -> nn.Conv2d:
    """1x1 convolution that starts near its bias."""
    layer = nn.Conv2d(inputs, outputs, 1)
    assert layer.bias is not None
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.constant_(layer.bias, bias)
    return layer


def cell_centres(cells: int, stride: int, origin: float) -> Tensor:
    """Crop coordinates (x, y) of the cells' centres, row by row, (cells * cells, 2)."""
    axis = origin + stride * torch.arange(cells, dtype=torch.float32)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)


class Head(nn.Module):
    """Two towers over the fused map (B, 2C, n, n)."""

    points: Tensor

    def __init__(self, config: StifConfig, cells: int, stride: int, origin: float) -> None:
        super().__init__()
        self.class_tower = tower(config)
        self.box_tower = tower(config)
        # Start at one positive in a hundred (RetinaNet).
        self.class_logit = output_layer(config.tower_channels, 1, bias=-math.log(99.0))
        self.centreness = output_layer(config.tower_channels, 1, bias=0.0)
        self.offsets = output_layer(config.tower_channels, 4, bias=0.0)
        self.offset_scale = nn.Parameter(torch.tensor(1.0))
        self.offset_bias = nn.Parameter(torch.tensor(config.offset_bias))
        self.stride = stride
        self.register_buffer("points", cell_centres(cells, stride, origin), persistent=False)

    def forward(self, fused: Tensor) -> HeadOutput:
        class_feature = self.class_tower(fused)
        raw = self.offsets(self.box_tower(fused)).flatten(2).transpose(1, 2).float()  # (B, N, 4) as l, t, r, b
        exponent = (self.offset_scale * raw + self.offset_bias).clamp(max=MAX_EXPONENT)
        left_top, right_bottom = (exponent.exp() * self.stride).split(2, dim=2)
        return HeadOutput(
            self.class_logit(class_feature).flatten(1).float(),
            self.centreness(class_feature).flatten(1).float(),
            torch.cat([self.points - left_top, self.points + right_bottom], dim=2),
        )
