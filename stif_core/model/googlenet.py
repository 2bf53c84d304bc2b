"""Inception-v3 trunk at stride 8, as STMTrack and STIF use it ("GoogLeNet" in the papers).

No second max-pool, the maps are cropped by four cells a side, and the memory and the query branch have weights of
their own.
"""

import pickle
import re
from pathlib import Path

import torch
from torch import Tensor, nn

# ImageNet statistics, RGB, for values of 0 to 255.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


Size = int | tuple[int, int]  # one number, or rows and columns


class ConvUnit(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: Size, stride: int = 1, padding: Size = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu()


def _average(x: Tensor) -> Tensor:
    return nn.functional.avg_pool2d(x, 3, 1, 1)


class InceptionA(nn.Module):
    """Mixed_5b to 5d: branches of 1x1, 5x5, double 3x3 and pooling."""

    def __init__(self, inputs: int, pool_features: int) -> None:
        super().__init__()
        self.branch1x1 = ConvUnit(inputs, 64, 1)
        self.branch5x5 = nn.Sequential(ConvUnit(inputs, 48, 1), ConvUnit(48, 64, 5, padding=2))
        self.branch3x3dbl = nn.Sequential(
            ConvUnit(inputs, 64, 1), ConvUnit(64, 96, 3, padding=1), ConvUnit(96, 96, 3, padding=1)
        )
        self.branch_pool = ConvUnit(inputs, pool_features, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(
            [self.branch1x1(x), self.branch5x5(x), self.branch3x3dbl(x), self.branch_pool(_average(x))], dim=1
        )


class InceptionB(nn.Module):
    """Mixed_6a: halves the resolution."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = ConvUnit(inputs, 384, 3, stride=2)
        self.branch3x3dbl = nn.Sequential(
            ConvUnit(inputs, 64, 1), ConvUnit(64, 96, 3, padding=1), ConvUnit(96, 96, 3, stride=2)
        )

    def forward(self, x: Tensor) -> Tensor:
        pooled = nn.functional.max_pool2d(x, 3, 2)
        return torch.cat([self.branch3x3(x), self.branch3x3dbl(x), pooled], dim=1)


class InceptionC(nn.Module):
    """Mixed_6b to 6e: 7x7 convolutions factorised into 1x7 and 7x1, ``width`` channels inside."""

    def __init__(self, width: int) -> None:
        super().__init__()

        def row(inputs: int, outputs: int) -> ConvUnit:
            return ConvUnit(inputs, outputs, (1, 7), padding=(0, 3))

        def column(inputs: int, outputs: int) -> ConvUnit:
            return ConvUnit(inputs, outputs, (7, 1), padding=(3, 0))

        self.branch1x1 = ConvUnit(768, 192, 1)
        self.branch7x7 = nn.Sequential(ConvUnit(768, width, 1), row(width, width), column(width, 192))
        self.branch7x7dbl = nn.Sequential(
            ConvUnit(768, width, 1),
            column(width, width),
            row(width, width),
            column(width, width),
            row(width, 192),
        )
        self.branch_pool = ConvUnit(768, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(
            [self.branch1x1(x), self.branch7x7(x), self.branch7x7dbl(x), self.branch_pool(_average(x))], dim=1
        )


class GoogLeNet(nn.Module):
    """Maps normalised RGB crops (B, 3, 289, 289) to features (B, 768, 25, 25)."""

    cropped = 4  # cells cut off on each side

    def __init__(self) -> None:
        super().__init__()
        self.conv1a = ConvUnit(3, 32, 3, stride=2)
        self.conv2a = ConvUnit(32, 32, 3)
        self.conv2b = ConvUnit(32, 64, 3, padding=1)
        self.conv3b = ConvUnit(64, 80, 1)
        self.conv4a = ConvUnit(80, 192, 3)
        self.mixed5 = nn.Sequential(InceptionA(192, 32), InceptionA(256, 64), InceptionA(288, 64))
        self.mixed6 = nn.Sequential(InceptionB(288), *(InceptionC(width) for width in (128, 160, 160, 192)))

    def forward(self, image: Tensor, foreground_feature: Tensor | None = None) -> Tensor:
        """``foreground_feature`` (B, 32, 144, 144) is added to the first layer of a memory frame."""
        x = self.conv1a.conv(image)
        if foreground_feature is not None:
            x = x + foreground_feature
        x = self.conv1a.bn(x).relu()
        x = nn.functional.max_pool2d(self.conv2b(self.conv2a(x)), 3, 2)
        x = self.mixed6(self.mixed5(self.conv4a(self.conv3b(x))))
        return x[:, :, self.cropped : -self.cropped, self.cropped : -self.cropped]


class GoogLeNetBranches(nn.Module):
    """Two trunks; crops come in as BGR 0 to 255."""

    channels = 768
    stride = 8
    # Cell i looks around 45.5 + 8 i: the pool and Mixed_6a each leave out the last row and column of an even map,
    # which moves the grid by three pixels from the 48.5 of a symmetric trunk.
    grid_origin = 45.5

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.memory_trunk = GoogLeNet()
        self.query_trunk = GoogLeNet()
        self.foreground_stem = nn.Conv2d(1, 32, 3, 2, bias=False)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def cells(self, crop_size: int) -> int:
        """Cells along a side: the trunk pads nothing, and four are cut off on each side."""
        return (crop_size - 25) // self.stride - 2 * GoogLeNet.cropped

    def _normalise(self, image: Tensor) -> Tensor:
        return (image.flip(1) - self.mean) / self.std

    def memory(self, image: Tensor, foreground: Tensor) -> Tensor:
        return self.memory_trunk(self._normalise(image), self.foreground_stem(foreground))

    def query(self, image: Tensor) -> Tensor:
        return self.query_trunk(self._normalise(image))

    def trunks(self) -> list[nn.Module]:
        """What comes pretrained, memory first."""
        return [self.memory_trunk, self.query_trunk]

    def frozen_with_trunk(self) -> list[nn.Module]:
        """Nothing: the foreground map comes in by its own stem alone, which starts untrained."""
        return []

    def load_trunk(self, path: Path) -> None:
        """Starts both trunks from torchvision's ``inception_v3`` checkpoint; what lies behind Mixed_6e is left out.

        Raises:
            ValueError: The file is missing, or is no such checkpoint.
        """
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            own = {name: state[torchvision_name(name)] for name in self.query_trunk.state_dict()}
            for trunk in self.trunks():
                trunk.load_state_dict(own, strict=True)
        except FileNotFoundError:
            raise ValueError(f"no weights file {path}") from None
        except (KeyError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise ValueError(f"{path} is no checkpoint of torchvision's inception_v3: {error}") from None


TORCHVISION_LAYERS = {
    "conv1a": "Conv2d_1a_3x3",
    "conv2a": "Conv2d_2a_3x3",
    "conv2b": "Conv2d_2b_3x3",
    "conv3b": "Conv2d_3b_1x1",
    "conv4a": "Conv2d_4a_3x3",
    **{f"mixed5.{i}": f"Mixed_5{letter}" for i, letter in enumerate("bcd")},
    **{f"mixed6.{i}": f"Mixed_6{letter}" for i, letter in enumerate("abcde")},
}


def torchvision_name(name: str) -> str:
    """``mixed5.0.branch5x5.1.conv.weight`` -> ``Mixed_5b.branch5x5_2.conv.weight``."""
    layer = next(layer for layer in TORCHVISION_LAYERS if name.startswith(layer + "."))
    rest = re.sub(r"^(branch\w+)\.(\d)\.", lambda m: f"{m[1]}_{int(m[2]) + 1}.", name[len(layer) + 1 :])
    return f"{TORCHVISION_LAYERS[layer]}.{rest}"
