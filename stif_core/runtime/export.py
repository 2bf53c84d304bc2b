"""Export of a network to the two ONNX graphs, checked against PyTorch."""

import itertools
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from stif_core import __version__
from stif_core.model.stif import Stif
from stif_core.runtime.onnx_backend import OnnxBackend
from stif_core.weights import ModelFiles

OPSET = 17  # the newest that TensorRT 8.6 reads


@dataclass(frozen=True)
class ExportReport:
    """Largest differences between ONNX Runtime and PyTorch on random crops; the graphs run one after the other."""

    feature: float  # relative to the largest value
    score: float
    box: float  # crop pixels

    @property
    def agrees(self) -> bool:
        return self.feature <= 1e-3 and self.score <= 2e-3 and self.box <= 0.1


class _Function(nn.Module):
    """Lets the exporter call one of the network's two runtime functions."""

    def __init__(self, model: Stif, name: str) -> None:
        super().__init__()
        self.model = model
        self.name = name

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return getattr(self.model, self.name)(*inputs)


def fold_batch_norm(module: nn.Module) -> None:
    """Folds every batch norm into the convolution before it, in place; the network must be in evaluation mode."""
    children = list(module.named_children())
    for (name, child), (next_name, following) in itertools.pairwise(children):
        if isinstance(child, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(child, following))
            setattr(module, next_name, nn.Identity())
    for _, child in children:
        fold_batch_norm(child)


def export_onnx(model: Stif, files: ModelFiles) -> ExportReport:
    """Writes ``NAME.memorize.onnx`` and ``NAME.track.onnx`` and compares them with the network.

    The batch is dynamic; the memory always holds T frames (a shorter one repeats its initial frame).

    Args:
        model: Network in evaluation mode; its batch norms are folded.
        files: Where to write; the JSON file must be there already.
    """
    config = model.config
    frames, size = config.memory_frames, config.crop_size
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8, generator=generator)
    foreground = torch.zeros(2, 1, size, size, dtype=torch.uint8)
    foreground[:, :, size // 3 : 2 * size // 3, size // 3 : 2 * size // 3] = 1
    with torch.inference_mode():
        feature = model.memorize(image, foreground)
        memory = feature[:, None].repeat(1, frames, 1, 1, 1)
        score, box = model.track(image, memory)
    fold_batch_norm(model)
    _write(model, "memorize", files.memorize_onnx, {"image": image, "foreground": foreground}, ["feature"])
    _write(model, "track", files.track_onnx, {"image": image, "memory": memory}, ["score", "box"])

    backend = OnnxBackend(files, threads=0)
    onnx_feature = backend.memorize(image.numpy(), foreground.numpy())
    onnx_score, onnx_box = backend.track(image.numpy(), np.repeat(onnx_feature[:, None], frames, axis=1))
    return ExportReport(
        feature=float(np.abs(onnx_feature - feature.numpy()).max() / feature.abs().max()),
        score=float(np.abs(onnx_score - score.numpy()).max()),
        box=float(np.abs(onnx_box - box.numpy()).max()),
    )


def _write(model: Stif, function: str, path: Path, inputs: dict[str, Tensor], outputs: list[str]) -> None:
    with warnings.catch_warnings():
        # The tracing exporter needs no package beyond onnx; it says that a newer one exists, and notes each assertion.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Function(model, function),
            tuple(inputs.values()),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_axes={name: {0: "batch"} for name in [*inputs, *outputs]},
        )
    graph = onnx.load(path)
    onnx.helper.set_model_props(
        graph,
        {
            "model": path.name.split(".")[0],
            "crop_size": str(model.config.crop_size),
            "memory_frames": str(model.config.memory_frames),
            "stif_version": __version__,
        },
    )
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, path)
