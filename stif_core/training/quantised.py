"""Training with the rounding of int8 graphs, so that what is lost by it is learned back.

Rounding is symmetric, a tensor of inputs at a time and weights per output channel, as ``runtime.quantize`` writes it.
(In the graph a sum that reads a rounded input reads it rounded, too; that was measured to make no difference.)
Gradients pass straight through (Jacob et al., 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference").
"""

import copy
import itertools

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from stif_core.model.stif import Stif
from stif_core.runtime.quantize import FEW_OUTPUTS
from stif_core.training.depthwise import depthwise_convolution

STEPS = 127.0  # of int8 on either side of zero
IMAGE_CHANNELS = 3
RANGE_RATE = 0.05  # of the running means of the ranges


def rounded_layers(model: Stif) -> list[str]:
    """Names of the convolutions of ``track`` that are rounded: all but those over the image and over few maps."""
    return [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Conv2d) and layer.in_channels > IMAGE_CHANNELS and layer.out_channels > FEW_OUTPUTS
    ]


def use_rounding(model: Stif) -> None:
    """Rounds these convolutions from now on, in place; norms must not learn statistics any more.

    Norms are folded into the weights before them, which are rounded as they are in the graph; what is left of a norm
    adds its bias. Names stay.
    """
    _fold_norms(model)
    for name in rounded_layers(model):
        layer = model.get_submodule(name)
        assert isinstance(layer, nn.Conv2d)
        # The head's first convolutions see memory and query half, each with a range of its own in the graph.
        halves = name.startswith("head.") and layer.in_channels == 2 * model.config.channels
        layer.__class__ = RoundedConvolution
        layer.register_buffer("ranges", torch.zeros(2 if halves else 1), persistent=False)


def trained_beside(tracking: Stif, teacher: Stif) -> bool:
    """Whether weights were trained with rounding from this teacher: what runs for memory frames alone is still its."""
    known = dict(teacher.named_parameters())
    return all(
        torch.allclose(value, known[name], rtol=1e-4)
        for name, value in tracking.named_parameters()
        if name.startswith(("branches.foreground_", "memory_sde."))
    )


class RoundedConvolution(nn.Conv2d):
    """A convolution with inputs and weights rounded to int8."""

    ranges: Tensor  # running means of the inputs' extremes, of each part of the channels; 0 before the first batch

    def forward(self, input: Tensor) -> Tensor:
        parts = len(self.ranges)
        inputs, weights = [], []
        for i, (x, w) in enumerate(zip(input.chunk(parts, 1), self.weight.chunk(parts, 1), strict=True)):
            if self.training:
                self._update(i, x.detach())
            inputs.append(rounded(x, self.ranges[i]))
            weights.append(rounded(w, w.detach().abs().amax((1, 2, 3), keepdim=True)))
        x, weight = torch.cat(inputs, 1), torch.cat(weights, 1)
        if self.groups > 1:
            assert self.bias is not None
            return depthwise_convolution(x, weight, self.bias, self.stride[0])
        return nn.functional.conv2d(x, weight, self.bias, self.stride, self.padding)

    def _update(self, part: int, x: Tensor) -> None:
        """The mean over the crops of the extremes, as the calibration of a graph takes it."""
        largest = torch.maximum(x.amax((1, 2, 3)).mean(), -x.amin((1, 2, 3)).mean())
        known = self.ranges[part]
        self.ranges[part] = torch.where(known == 0, largest, known + RANGE_RATE * (largest - known))


def rounded(x: Tensor, limit: Tensor) -> Tensor:
    """``x`` in steps of ``limit`` / 127, within it; the gradient passes where ``x`` is within."""
    limit = limit.clamp(min=1e-8)
    step = limit / STEPS
    kept = torch.minimum(torch.maximum(x, -limit), limit)
    return kept + ((kept / step).round() * step - kept).detach()


@torch.no_grad()
def _fold_norms(module: nn.Module) -> None:
    children = list(module.children())
    for layer, norm in itertools.pairwise(children):
        if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            folded = fuse_conv_bn_eval(copy.deepcopy(layer).eval(), copy.deepcopy(norm).eval())  # ours keep their modes
            assert layer.bias is None and folded.bias is not None
            assert norm.running_mean is not None and norm.running_var is not None
            layer.weight.copy_(folded.weight)
            norm.bias.copy_(folded.bias)
            norm.weight.fill_(1.0).requires_grad_(False)
            norm.running_mean.zero_()
            norm.running_var.fill_(1.0 - norm.eps)
    for child in children:
        _fold_norms(child)
