"""Spatio-temporal interactive fusion (STIF, section 3.2)."""

import torch
from torch import Tensor, nn

from stif_core.model.config import StifConfig
from stif_core.model.convolution import convolution3x3


def positions(feature: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H * W, C); runtimes that keep channels last move nothing for it."""
    return feature.permute(0, 2, 3, 1).flatten(1, 2)


def attend(query: Tensor, key_value: Tensor) -> Tensor:
    """``softmax(Q K^T / sqrt(C)) V`` over positions, with K = V; eq. 8 of the paper, d_k = C (our reading).

    Args:
        query: (B, C, H, W).
        key_value: (B, M, C), the positions attended to.

    Returns:
        (B, C, H, W): at each position of ``query`` a blend of ``key_value``.
    """
    batch, channels, height, width = query.shape
    # Softmax in fp32: half precision loses the small weights that add up over several hundred positions.
    # Not divided before the product: OpenVINO 2026.4 then computes the int8 graphs wrongly.
    logits = positions(query) @ key_value.transpose(1, 2) / channels**0.5  # (B, N, M)
    weights = logits.float().softmax(dim=2).to(query.dtype)
    return (weights @ key_value).reshape(batch, height, width, channels).permute(0, 3, 1, 2)


class Gate(nn.Module):
    """``conv3x3(x) * sigmoid(conv3x3(x))`` (our reading of the paper's gating unit)."""

    def __init__(self, channels: int, separable: bool) -> None:
        super().__init__()
        self.value = convolution3x3(channels, channels, separable)
        self.gate = convolution3x3(channels, channels, separable)

    def forward(self, x: Tensor) -> Tensor:
        return self.value(x) * self.gate(x).sigmoid()


class InteractiveFusion(nn.Module):
    """Attention both ways and gates: (B, C, H, W) twice -> (B, 2C, H, W); eq. 9 to 11 of the paper."""

    def __init__(self, config: StifConfig) -> None:
        super().__init__()
        self.memory_gate = Gate(config.channels, config.separable)
        self.query_gate = Gate(config.channels, config.separable)
        self.memory_residual = config.memory_residual
        self.query_residual = config.query_residual

    def forward(self, memory: Tensor, query: Tensor) -> Tensor:
        memory_read = attend(query, positions(memory))
        query_read = attend(memory, positions(query))
        memory_half = self.memory_gate(memory_read)
        query_half = self.query_gate(query_read)
        if self.memory_residual:
            memory_half = memory_half + memory_read
        if self.query_residual:  # keeps this half aligned with the grid that the boxes are regressed on
            query_half = query_half + query
        return torch.cat([memory_half, query_half], dim=1)


def memory_readout(memory: Tensor, query: Tensor) -> Tensor:
    """STMTrack's read-out: every query position attends to all memory positions; ``concat(M', F_q)``.

    Args:
        memory: (B, T, C, H, W).
        query: (B, C, H, W).

    Returns:
        (B, 2C, H, W).
    """
    seen = memory.permute(0, 1, 3, 4, 2).flatten(1, 3)  # (B, T * N, C)
    return torch.cat([attend(query, seen), query], dim=1)
