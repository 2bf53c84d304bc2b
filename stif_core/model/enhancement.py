"""Temporal and spatial feature enhancement (STIF, section 3.1)."""

import math

import torch
from torch import Tensor, nn

COSINE_SCALE = 4.0  # sharpness of the cosine form: its weights stay within a factor exp(8) of each other


def temporal_weights(features: Tensor, cosine: bool) -> Tensor:
    """Weights of the memory frames by their likeness to the initial frame.

    Eq. 3 of the paper: per position, ``w = softmax_t(<f_t, f_0> / sqrt(C))``. Over unnormalised features of several
    hundred channels that saturates on ``f_0``; ``cosine`` normalises both and scales by 4 (our reading).

    Args:
        features: Memory features, (B, T, C, H, W); index 0 along T is the initial frame.
        cosine: Normalise the features first.

    Returns:
        Weights that sum to 1 along T, (B, T, 1, H, W).
    """
    dtype = features.dtype
    features = features.float()  # the squares would leave fp16's range
    if cosine:
        unit = nn.functional.normalize(features, dim=2)
        similarity = COSINE_SCALE * (unit * unit[:, :1]).sum(dim=2, keepdim=True)
    else:
        similarity = (features * features[:, :1]).sum(dim=2, keepdim=True) / math.sqrt(features.shape[2])
    return similarity.softmax(dim=1).to(dtype)


def temporal_enhancement(features: Tensor, cosine: bool = False) -> Tensor:
    """Blends the memory frames (B, T, C, H, W) into one map (B, C, H, W); eq. 2 of the paper, no parameters."""
    return (features * temporal_weights(features, cosine)).sum(dim=1)


class SpatialEnhancement(nn.Module):
    """Scales every position by ``gain * sigmoid(conv7x7([mean_C; max_C]))``; eq. 4 and 5 of the paper (gain 1)."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3)
        self.gain = gain
        if gain != 1.0:  # start as close to the identity as the gain allows
            nn.init.zeros_(self.conv.weight)
        assert self.conv.bias is not None
        nn.init.zeros_(self.conv.bias)

    def forward(self, feature: Tensor) -> Tensor:
        """Same shape as ``feature``, (B, C, H, W)."""
        pooled = torch.cat([feature.mean(dim=1, keepdim=True), feature.amax(dim=1, keepdim=True)], dim=1)
        return feature * (self.gain * self.conv(pooled).sigmoid())
