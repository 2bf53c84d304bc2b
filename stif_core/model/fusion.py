"""Spatio-temporal interactive fusion (STIF, section 3.2)."""

import torch
from torch import Tensor, nn

from stif_core.model.config import StifConfig


def attend(query: Tensor, key_value: Tensor) -> Tensor:
    """``softmax(Q K^T / sqrt(C)) V`` over positions, with K = V; eq. 8 of the paper, d_k = C (our reading).

    Args:
        query: (B, C, H, W).
        key_value: (B, C, M), the positions attended to.

    Returns:
        (B, C, H, W): at each position of ``query`` a blend of ``key_value``.
    """
    batch, channels, height, width = query.shape
    # Softmax in fp32: half precision loses the small weights that add up over several hundred positions.
    # Not divided before the product: OpenVINO 2026.4 then computes the int8 graphs wrongly.
    logits = query.flatten(2).transpose(1, 2) @ key_value / channels**0.5  # (B, N, M)
    weights = logits.float().softmax(dim=2).to(query.dtype)
    return (weights @ key_value.transpose(1, 2)).transpose(1, 2).reshape(batch, channels, height, width)


class Gate(nn.Module):
    """``conv3x3(x) * sigmoid(conv3x3(x))`` (our reading of the paper's gating unit)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.value = nn.Conv2d(channels, channels, 3, padding=1)
        self.gate = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.value(x) * self.gate(x).sigmoid()


class InteractiveFusion(nn.Module):
    """Attention both ways and gates: (B, C, H, W) twice -> (B, 2C, H, W); eq. 9 to 11 of the paper."""

    def __init__(self, config: StifConfig) -> None:
        super().__init__()
        self.memory_gate = Gate(config.channels)
        self.query_gate = Gate(config.channels)
        self.memory_residual = config.memory_residual
        self.query_residual = config.query_residual

    def forward(self, memory: Tensor, query: Tensor) -> Tensor:
        memory_read = attend(query, memory.flatten(2))
        query_read = attend(memory, query.flatten(2))
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
    positions = memory.transpose(1, 2).flatten(2)  # (B, C, T * N)
    return torch.cat([attend(query, positions), query], dim=1)
