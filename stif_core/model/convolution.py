"""The 3x3 convolutions of neck, gates and head: full, or depthwise with a 1x1 behind, as the network is configured."""

import torch
from torch import Tensor, nn


class SeparableConvolution(nn.Sequential):
    """A depthwise 3x3 convolution and a 1x1 (MobileNet; Howard et al., 2017), without norm or activation between."""

    def __init__(self, inputs: int, outputs: int, bias: bool) -> None:
        # Its bias changes nothing that the 1x1's or a norm could not, but ``use_trainable_depthwise`` asks for one.
        depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs)
        super().__init__(depthwise, nn.Conv2d(inputs, outputs, 1, bias=bias))


def convolution3x3(inputs: int, outputs: int, separable: bool, bias: bool = True) -> nn.Module:
    """Maps (B, inputs, H, W) to (B, outputs, H, W)."""
    if separable:
        return SeparableConvolution(inputs, outputs, bias)
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)


def fitting_state(model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """What of another network's ``state`` fits ``model``.

    That is what has the same name and shape, and where the other network has a full convolution and the model a
    separable one, the nearest such.
    """
    candidates = dict(state)
    for name, module in model.named_modules():
        if isinstance(module, SeparableConvolution) and f"{name}.weight" in state:
            depthwise, pointwise = separated(state[f"{name}.weight"])
            candidates |= {f"{name}.0.weight": depthwise, f"{name}.1.weight": pointwise}
            candidates[f"{name}.0.bias"] = torch.zeros(len(depthwise))
            if f"{name}.bias" in state:
                candidates[f"{name}.1.bias"] = state[f"{name}.bias"]
    ours = model.state_dict()
    return {name: value for name, value in candidates.items() if name in ours and ours[name].shape == value.shape}


def separated(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weights of the separable convolution nearest to a full one, by the sum of squared differences.

    Args:
        weight: (O, I, 3, 3).

    Returns:
        (I, 1, 3, 3) and (O, I, 1, 1): for each input the best product of a kernel and a vector of the outputs.
    """
    u, s, vh = torch.linalg.svd(weight.transpose(0, 1).flatten(2), full_matrices=False)  # of (I, O, 9)
    strength = s[:, :1].sqrt()
    return (vh[:, 0] * strength).view(-1, 1, 3, 3), (u[:, :, 0] * strength).t()[..., None, None].contiguous()
