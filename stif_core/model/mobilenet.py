"""MobileNetV3-small at stride 16, the trunk of ``nano``; laid out as NanoTrack v3's backbone, batch norm folded."""

from typing import NamedTuple

from torch import Tensor, nn


class BlockSpec(NamedTuple):
    kernel: int
    expanded: int
    out: int
    squeeze: int  # width of the bottleneck of squeeze-and-excitation; 0: none
    hard_swish: bool
    stride: int


BLOCKS = (
    BlockSpec(3, 16, 16, 8, False, 2),
    BlockSpec(3, 72, 24, 0, False, 2),
    BlockSpec(3, 88, 24, 0, False, 1),
    BlockSpec(5, 96, 40, 24, True, 2),
    BlockSpec(5, 240, 40, 64, True, 1),
    BlockSpec(5, 240, 40, 64, True, 1),
    BlockSpec(5, 120, 48, 32, True, 1),
    BlockSpec(5, 144, 48, 40, True, 1),
    BlockSpec(5, 288, 96, 72, True, 1),
)


class SqueezeExcitation(nn.Module):
    """Scales the channels by ``hard_sigmoid(W2 relu(W1 mean(x)))``."""

    def __init__(self, channels: int, bottleneck: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(channels, bottleneck)
        self.expand = nn.Linear(bottleneck, channels)

    def forward(self, x: Tensor) -> Tensor:
        scale = nn.functional.hardsigmoid(self.expand(self.reduce(x.mean(dim=(2, 3))).relu()))
        return x * scale[:, :, None, None]


class Block(nn.Module):
    """Inverted residual: expand 1x1, depthwise, squeeze-and-excitation, project 1x1."""

    def __init__(self, channels: int, spec: BlockSpec, first: bool) -> None:
        super().__init__()
        # The first block neither expands nor squeezes before its activation.
        self.activation = nn.Hardswish() if spec.hard_swish else nn.ReLU()
        self.expand = None if first else nn.Conv2d(channels, spec.expanded, 1)
        self.depthwise = nn.Conv2d(
            spec.expanded, spec.expanded, spec.kernel, spec.stride, spec.kernel // 2, groups=spec.expanded
        )
        self.squeeze = SqueezeExcitation(spec.expanded, spec.squeeze) if spec.squeeze else None
        self.squeeze_last = first
        self.project = nn.Conv2d(spec.expanded, spec.out, 1)
        self.residual = spec.stride == 1 and channels == spec.out

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.activation(self.expand(x))
        y = self.depthwise(y)
        if self.squeeze is None:
            y = self.activation(y)
        elif self.squeeze_last:
            y = self.squeeze(self.activation(y))
        else:
            y = self.activation(self.squeeze(y))
        y = self.project(y)
        return x + y if self.residual else y


class MobileNetV3Small(nn.Module):
    """Maps crops (B, 3, S, S), BGR 0 to 255, to features (B, 96, S / 16, S / 16)."""

    channels = 96
    stem_channels = 16
    stride = 16
    grid_origin = 0.5  # crop coordinate of the centre of cell 0's receptive field

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        widths = [16, *(spec.out for spec in BLOCKS)]
        self.blocks = nn.Sequential(*(Block(widths[i], spec, first=i == 0) for i, spec in enumerate(BLOCKS)))

    def forward(self, image: Tensor, foreground_feature: Tensor | None = None) -> Tensor:
        """``foreground_feature`` (B, 16, S / 2, S / 2) is added to the first layer of a memory frame."""
        x = self.stem(image)
        if foreground_feature is not None:
            x = x + foreground_feature
        return self.blocks(nn.functional.hardswish(x))
