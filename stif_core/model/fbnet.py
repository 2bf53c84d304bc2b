"""FBNet-C up to stride 16, laid out as FEAR-XS's trunk, batch norm folded: convolutions, ReLU and additions only."""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class BlockSpec(NamedTuple):
    kernel: int
    expanded: int  # 0: no expansion
    out: int
    stride: int


BLOCKS = (
    BlockSpec(3, 0, 16, 1),
    BlockSpec(3, 96, 24, 2),
    BlockSpec(3, 0, 24, 1),
    BlockSpec(3, 0, 24, 1),
    BlockSpec(5, 144, 32, 2),
    BlockSpec(5, 96, 32, 1),
    BlockSpec(5, 192, 32, 1),
    BlockSpec(3, 192, 32, 1),
    BlockSpec(5, 192, 64, 2),
    BlockSpec(5, 192, 64, 1),
    BlockSpec(5, 384, 64, 1),
    BlockSpec(5, 384, 64, 1),
    BlockSpec(5, 384, 112, 1),
    BlockSpec(5, 672, 112, 1),
    BlockSpec(5, 672, 112, 1),
    BlockSpec(5, 336, 112, 1),
)


class Block(nn.Module):
    """Inverted residual: expand 1x1, depthwise, project 1x1."""

    def __init__(self, channels: int, spec: BlockSpec) -> None:
        super().__init__()
        width = spec.expanded or channels
        self.expand = nn.Conv2d(channels, width, 1) if spec.expanded else None
        self.depthwise = nn.Conv2d(width, width, spec.kernel, spec.stride, spec.kernel // 2, groups=width)
        self.project = nn.Conv2d(width, spec.out, 1)
        self.residual = spec.stride == 1 and channels == spec.out

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.expand(x).relu()
        y = self.project(self.depthwise(y).relu())
        return x + y if self.residual else y


class Stem(nn.Conv2d):
    """First convolution, of BGR 0 to 255; trained on RGB in ImageNet's normalisation, as its weights are kept.

    Order and deviations are taken into the weights at every call, so that a graph holds one subtraction before it.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__(3, outputs, 3, 2, 1)
        self.register_buffer("mean", torch.tensor([103.53, 116.28, 123.675]).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([57.375, 57.12, 58.395]).view(3, 1, 1), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight.flip(1) / self.deviation
        return nn.functional.conv2d(input - self.mean, weight, self.bias, self.stride, self.padding)


class FBNet(nn.Module):
    """Maps crops (B, 3, S, S), BGR 0 to 255, to features (B, 112, S / 16, S / 16)."""

    channels = 112
    stem_channels = 16
    stride = 16
    grid_origin = 0.5  # crop coordinate of the centre of cell 0's receptive field

    def __init__(self) -> None:
        super().__init__()
        self.stem = Stem(self.stem_channels)
        widths = [16, *(spec.out for spec in BLOCKS)]
        self.blocks = nn.Sequential(*(Block(widths[i], spec) for i, spec in enumerate(BLOCKS)))

    def forward(self, image: Tensor, foreground_feature: Tensor | None = None) -> Tensor:
        """``foreground_feature`` (B, 16, S / 2, S / 2) is added to the first layer of a memory frame."""
        x = self.stem(image)
        if foreground_feature is not None:
            x = x + foreground_feature
        return self.blocks(x.relu())
