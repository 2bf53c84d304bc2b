"""Depthwise convolutions that can be trained on a CPU.

PyTorch's own backward pass of them takes there ten times as long as the forward pass, in bf16 up to forty times. Here
the gradient of the input is one more forward convolution, and that of the weight a sum of products for each tap of the
kernel, which ``torch.compile`` fuses. Whole networks train 1.5 to 1.8 times as fast.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DepthwiseConvolution(torch.autograd.Function):
    """``conv2d(x, weight, bias, stride, k // 2, groups=channels)`` for odd k."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, bias, stride, weight.shape[2] // 2, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        stride, kernel, channels = ctx.stride, weight.shape[2], x.shape[1]
        x_gradient = None
        if ctx.needs_input_grad[0]:
            spread = gradient
            if stride > 1:
                spread = torch.zeros_like(x)
                spread[:, :, ::stride, ::stride] = gradient
            x_gradient = F.conv2d(spread, weight.flip(2, 3), None, 1, kernel // 2, groups=channels)
        padded = F.pad(x, [kernel // 2] * 4)
        rows, columns = gradient.shape[2:]
        # Sums over the batch and all positions want fp32 whatever the precision of the maps.
        wide = gradient.float()
        taps = []
        for i in range(kernel):
            for j in range(kernel):
                seen = padded[:, :, i : i + stride * rows : stride, j : j + stride * columns : stride]
                taps.append((seen.float() * wide).sum((0, 2, 3)))
        weight_gradient = torch.stack(taps, 1).view_as(weight).to(weight.dtype)
        return x_gradient, weight_gradient, wide.sum((0, 2, 3)).to(gradient.dtype), None


def depthwise_convolution(x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    """``DepthwiseConvolution`` in the precision of autocast, which does not look into a Function."""
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
    return DepthwiseConvolution.apply(x, weight, bias, stride)


class TrainableDepthwise(nn.Conv2d):
    """A depthwise ``Conv2d`` with that backward pass; its weights have the same names."""

    def forward(self, input: Tensor) -> Tensor:
        assert self.bias is not None
        return depthwise_convolution(input, self.weight, self.bias, self.stride[0])


def use_trainable_depthwise(module: nn.Module) -> None:
    """Changes every depthwise convolution of ``module`` with a bias and an odd kernel that is to be trained."""
    for layer in module.modules():
        if (
            type(layer) is nn.Conv2d  # one that rounds has that backward pass already
            and layer.groups == layer.in_channels > 1
            and layer.kernel_size[0] % 2
            and layer.bias is not None
            and layer.weight.requires_grad
        ):
            layer.__class__ = TrainableDepthwise
