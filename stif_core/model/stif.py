"""The STIF network: memory frames and a query frame in, scores and boxes out."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from stif_core.model.config import StifConfig
from stif_core.model.convolution import convolution3x3
from stif_core.model.enhancement import SpatialEnhancement, temporal_enhancement
from stif_core.model.fbnet import FBNet
from stif_core.model.fusion import InteractiveFusion, memory_readout
from stif_core.model.googlenet import ConvUnit, GoogLeNetBranches
from stif_core.model.head import Head, HeadOutput
from stif_core.model.mobilenet import MobileNetV3Small
from stif_core.model.shared_trunk import SharedTrunkBranches
from stif_core.model.weights import load_state


class ShortcutNeck(nn.Module):
    """1x1 and 3x3 convolutions with a 1x1 shortcut, for a trunk that was not trained along."""

    def __init__(self, inputs: int, channels: int, separable: bool) -> None:
        super().__init__()
        self.reduce = ConvUnit(inputs, channels, 1)
        convolution = convolution3x3(channels, channels, separable, bias=False)
        self.mix = nn.Sequential(convolution, nn.BatchNorm2d(channels))
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(self.reduce(x)) + self.shortcut(x)


def build_branches(trunk: str) -> GoogLeNetBranches | SharedTrunkBranches:
    """The trunk or trunks of the memory and query branch, untrained."""
    if trunk == "googlenet":
        return GoogLeNetBranches()
    return SharedTrunkBranches(FBNet() if trunk == "fbnet" else MobileNetV3Small())


class Stif(nn.Module):
    """Spatio-temporal interactive fusion tracker (doi 10.3389/fphy.2023.1269638).

    ``memorize``, ``enhance`` and ``track`` are what every runtime executes; ``forward`` joins them for training.
    """

    def __init__(self, config: StifConfig) -> None:
        super().__init__()
        self.config = config
        self.branches = build_branches(config.trunk)
        inputs, channels = self.branches.channels, config.channels
        if config.trunk == "googlenet":  # one neck for each branch, the memory's first
            self.necks = nn.ModuleList([convolution3x3(inputs, channels, config.separable) for _ in range(2)])
        else:
            self.necks = nn.ModuleList([ShortcutNeck(inputs, channels, config.separable)])
        self.memory_sde = SpatialEnhancement(config.sde_gain) if config.ste else None
        self.query_sde = SpatialEnhancement(config.sde_gain) if config.query_sde else None
        self.fusion = InteractiveFusion(config) if config.interaction else None
        self.head = Head(config, self.cells, self.branches.stride, self.branches.grid_origin)

    @property
    def cells(self) -> int:
        """n, the cells of the score map along a side."""
        return self.branches.cells(self.config.crop_size)

    @property
    def memory_neck(self) -> nn.Module:
        return self.necks[0]

    @property
    def query_neck(self) -> nn.Module:
        return self.necks[-1]

    @property
    def dtype(self) -> torch.dtype:
        """Of the parameters: what is computed in between is half after ``half()``, but for softmax, exp and boxes."""
        return next(self.parameters()).dtype

    def memory_feature(self, image: Tensor, foreground: Tensor) -> Tensor:
        """Feature of one memory frame: ``image`` (B, 3, S, S) BGR 0 to 255, ``foreground`` (B, 1, S, S) 0 or 1."""
        return self.memory_neck(self.branches.memory(image, foreground))

    def query_feature(self, image: Tensor) -> Tensor:
        """Feature of a query frame (B, C, n, n), before its enhancement."""
        return self.query_neck(self.branches.query(image))

    def enhanced_memory(self, memory: Tensor) -> Tensor:
        """What depends on the memory alone: features (B, T, C, n, n) -> (B, K, C, n, n), K as in the configuration."""
        if self.memory_sde is not None:
            return self.memory_sde(temporal_enhancement(memory, self.config.tde == "cosine"))[:, None]
        return memory if self.fusion is None else memory.mean(dim=1, keepdim=True)

    def find(self, enhanced: Tensor, query: Tensor) -> HeadOutput:
        """Fuses an enhanced memory (B, K, C, n, n) with a query feature (B, C, n, n)."""
        if self.query_sde is not None:
            query = self.query_sde(query)
        if self.fusion is None:
            return self.head(memory_readout(enhanced, query))
        return self.head(self.fusion(enhanced.squeeze(1), query))

    def match(self, memory: Tensor, query: Tensor) -> HeadOutput:
        """Enhances and fuses memory features (B, T, C, n, n) with a query feature (B, C, n, n)."""
        return self.find(self.enhanced_memory(memory), query)

    def forward(self, memory_image: Tensor, foreground: Tensor, query_image: Tensor) -> HeadOutput:
        """Training form.

        Args:
            memory_image: (B, T, 3, S, S), BGR 0 to 255; index 0 along T is the initial frame.
            foreground: (B, T, 1, S, S), 1 inside the target's box.
            query_image: (B, 3, S, S).
        """
        batch, frames = memory_image.shape[:2]
        memory = self.memory_feature(memory_image.flatten(0, 1), foreground.flatten(0, 1))
        return self.match(memory.unflatten(0, (batch, frames)), self.query_feature(query_image))

    def memorize(self, image: Tensor, foreground: Tensor) -> Tensor:
        """Runtime form of ``memory_feature``; ``image`` and ``foreground`` are uint8, the feature is fp32."""
        return self.memory_feature(image.to(self.dtype), foreground.to(self.dtype)).float()

    def enhance(self, memory: Tensor) -> Tensor:
        """Runtime form of ``enhanced_memory``; features of ``memorize`` and what comes out are fp32."""
        return self.enhanced_memory(memory.to(self.dtype)).float()

    def track(self, image: Tensor, enhanced: Tensor) -> tuple[Tensor, Tensor]:
        """Runtime form.

        Args:
            image: Query crops, (B, 3, S, S) uint8 BGR.
            enhanced: (B, K, C, n, n) fp32, from ``enhance``.

        Returns:
            Scores (B, N), 0 to 1, and boxes (B, N, 4), xyxy in crop pixels.
        """
        output = self.find(enhanced.to(self.dtype), self.query_feature(image.to(self.dtype)))
        score = output.class_logits.sigmoid() * output.centreness_logits.sigmoid()
        if self.config.score == "geometric_mean":
            score = score.sqrt()
        return score, output.boxes


def load_weights(config: StifConfig, path: Path) -> Stif:
    """A network in evaluation mode with the weights of a safetensors file.

    Raises:
        ValueError: The file is missing or damaged, or a name or shape does not agree with the configuration.
    """
    model = Stif(config)
    load_state(model, path)
    return model.eval()


def parameter_count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def multiply_accumulates(function: Callable[..., object], *args: Tensor) -> int:
    """Multiply-accumulates of one call, counted by PyTorch (convolutions and matrix products)."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        function(*args)
    return counter.get_total_flops() // 2
