"""Sizes and costs of a network."""

import torch

from stif_core.model.config import StifConfig
from stif_core.model.stif import Stif, multiply_accumulates, parameter_count


def describe(config: StifConfig) -> list[tuple[str, str]]:
    """Rows of name and value: shapes, parameters, multiply-accumulates of one crop."""
    model = Stif(config).eval()
    size, frames, cells = config.crop_size, config.memory_frames, model.cells
    image = torch.zeros(1, 3, size, size, dtype=torch.uint8)
    foreground = torch.zeros(1, 1, size, size, dtype=torch.uint8)
    memory = torch.zeros(1, frames, config.channels, cells, cells)
    enhanced = torch.zeros(1, config.enhanced_frames, config.channels, cells, cells)
    fused = torch.zeros(1, 2 * config.channels, cells, cells)
    with torch.no_grad():
        trunk_feature = model.branches.query(image.float())
    rows = [
        ("crop", f"{size} x {size}"),
        ("cells", f"{cells} x {cells}, cell i at {model.branches.grid_origin:g} + {model.branches.stride} i"),
        ("feature", f"{config.channels} channels, {frames} memory frames"),
        ("parameters", f"{parameter_count(model) / 1e6:.2f} M"),
        ("  trunk", f"{parameter_count(model.branches) / 1e6:.2f} M"),
        ("  neck", f"{parameter_count(model.necks) / 1e6:.2f} M"),
        ("  gates", f"{(parameter_count(model.fusion) if model.fusion else 0) / 1e6:.2f} M"),
        ("  head", f"{parameter_count(model.head) / 1e6:.2f} M"),
    ]
    costs = [
        ("memorize", multiply_accumulates(model.memorize, image, foreground)),
        ("enhance", multiply_accumulates(model.enhance, memory)),
        ("track", multiply_accumulates(model.track, image, enhanced)),
        ("  trunk, one pass", multiply_accumulates(model.branches.query, image.float())),
        ("  neck", multiply_accumulates(model.necks[-1], trunk_feature)),
        ("  head", multiply_accumulates(model.head, fused)),
    ]
    return rows + [(name, f"{cost / 1e9:.3f} GMAC") for name, cost in costs]
