"""Draws a batch of sample plans with torch, on whatever device the training runs: the pictures lie there.

The same plans as in ``drawing``, with three differences: pictures are kept at a bounded size, what is made smaller is
averaged over single samples instead of areas, and JPEG is left out.
"""

import torch
from torch import Tensor
from torch.nn import functional

from stif_core.data.augment import SMALLEST
from stif_core.data.picture_store import FILLING, MASKED, PICTURE, PictureStore

MOST_SAMPLES = 4  # a side, averaged in a pixel of a crop
GREY = (0.114, 0.587, 0.299)  # weights of blue, green and red, as OpenCV's
_LAYER = ("layer_crop", "layer_picture", "layer_matrix", "layer_part", "layer_clip")

Batch = dict[str, Tensor]


def draw_batch(batch: Batch, store: PictureStore, size: int) -> Batch:
    """The batch that the network is trained on, as the loader would have made it (see ``SampleDataset``)."""
    crops = _changed(_drawn(batch, store, size), batch).to(torch.uint8)
    crops = crops.unflatten(0, (len(batch["present"]), -1))
    kept = {name: batch[name] for name in ("memory_xyxy", "query_xyxy", "present")}
    return {"memory": crops[:, :-1], "query": crops[:, -1], **kept}


def _drawn(batch: Batch, store: PictureStore, size: int) -> Tensor:
    """Crops before they are changed, (n, 3, S, S), 0 to 255."""
    canvas = store.colours(batch["ground"])[:, None, None].expand(-1, size, size, 3).contiguous()
    step = batch["layer_matrix"][..., :2].det().abs().sqrt()  # stored pixels per pixel of the crop
    samples = step.floor().clamp(1, MOST_SAMPLES).long()
    for depth in range(int(batch["layer_depth"].max()) + 1):
        for kind in (FILLING, PICTURE, MASKED):
            for count in range(1, MOST_SAMPLES + 1):
                chosen = (batch["layer_depth"] == depth) & (batch["layer_kind"] == kind) & (samples == count)
                if chosen.any():
                    _draw_layers(canvas, {name: batch[name][chosen] for name in _LAYER}, store, kind, count)
    return canvas.round().permute(0, 3, 1, 2)


def _draw_layers(canvas: Tensor, layers: Batch, store: PictureStore, kind: int, samples: int) -> None:
    """Draws layers of different crops into ``canvas`` (n, S, S, 3), from ``samples`` ** 2 samples a pixel."""
    size = canvas.shape[1]
    pixels = torch.arange(size, device=canvas.device)
    matrix = layers["layer_matrix"][:, None, None]
    colour: Tensor | float = 0.0
    opacity: Tensor | float = 0.0
    for i in range(samples**2):
        x = pixels + (i % samples + 0.5) / samples
        y = pixels + (i // samples + 0.5) / samples
        places = matrix[..., 0] * x[:, None] + matrix[..., 1] * y[:, None, None] + matrix[..., 2]
        part = store.sample(layers["layer_picture"], places, layers["layer_part"], kind)
        colour, opacity = colour + part[0] / samples**2, opacity + part[1] / samples**2
    left, top, right, bottom = layers["layer_clip"].T[..., None, None]
    shown = (pixels >= left) & (pixels < right) & (pixels[:, None] >= top) & (pixels[:, None] < bottom)
    before = canvas[layers["layer_crop"]]
    canvas[layers["layer_crop"]] = torch.where(shown[..., None], before * (1 - opacity) + colour, before)


def _changed(crops: Tensor, batch: Batch) -> Tensor:
    """Carries out the looks; whole numbers from 0 to 255."""
    gain = batch["look_gain"][..., None, None]
    crops = (crops * gain[:, :3] + gain[:, 3:]).round().clamp(0, 255)
    grey = (crops * torch.tensor(GREY, device=crops.device)[:, None, None]).sum(dim=1, keepdim=True).round()
    crops = torch.where(batch["look_grey"][:, None, None, None], grey, crops)
    for kernels in batch["look_kernels"]:
        chosen = kernels.sum(dim=(1, 2)) > 0
        if chosen.any():
            crops[chosen] = _filtered(crops[chosen], kernels[chosen]).round()
    for i, share in enumerate(batch["look_detail"].tolist()):
        if share > 0:
            size = crops.shape[-1]
            small = functional.adaptive_avg_pool2d(crops[i : i + 1], max(SMALLEST, int(size * share)))
            crops[i] = functional.interpolate(small, size=(size, size), mode="bilinear")[0].round()
    generator = torch.Generator(crops.device)
    for i, (sigma, seed) in enumerate(batch["look_noise"].tolist()):
        if sigma > 0:  # by a seed of its own: the same whatever batch the sample is in
            generator.manual_seed(int(seed))
            crops[i] += sigma * torch.randn(crops.shape[1:], generator=generator, device=crops.device)
    crops = crops.round().clamp(0, 255)
    return torch.where(batch["look_flipped"][:, None, None, None], crops.flip(-1), crops)


def _filtered(crops: Tensor, kernels: Tensor) -> Tensor:
    """Each crop (n, 3, S, S) through its own kernel (n, K, K)."""
    reach = kernels.shape[-1] // 2
    padded = functional.pad(crops, (reach, reach, reach, reach), mode="reflect").flatten(0, 1)[None]
    weights = kernels.repeat_interleave(3, dim=0)[:, None]
    return functional.conv2d(padded, weights, groups=len(weights)).reshape(crops.shape)
