"""Export of a network to its ONNX graphs, checked against PyTorch."""

import copy
import itertools
import warnings
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import onnx
import onnxslim
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.overrides import TorchFunctionMode

from stif_core import __version__
from stif_core.model.config import StifConfig
from stif_core.model.convolution import SeparableConvolution
from stif_core.model.stif import Stif, multiply_accumulates, parameter_count
from stif_core.runtime.backend import Backend
from stif_core.runtime.graph_check import Costs, config_hash
from stif_core.runtime.recording import Crops
from stif_core.weights import ModelFiles

OPSET = 17  # the newest that TensorRT 8.6 reads
LARGEST_HALF = 65504.0
COSTS = tuple(field.name for field in fields(Costs))
CARRIED_OVER = ("function", "batch", *COSTS)  # metadata that a quantised graph takes from the one that it is made of


@dataclass(frozen=True)
class ExportReport:
    """Differences between a backend and the fp32 network in PyTorch; its functions run one after the other.

    Attributes:
        feature: Largest difference of the memory feature, relative to the largest value.
        score: Largest difference of a score of any cell.
        mean_score: Mean over the crops of the largest difference in each.
        box: Mean over the crops of the largest difference of the box with the highest score, crop pixels.
    """

    feature: float
    score: float
    mean_score: float
    box: float

    @property
    def agrees(self) -> bool:
        """Whether fp32 graphs are what they should be; other precisions are judged by what they do to tracking."""
        return self.feature <= 1e-3 and self.score <= 2e-3 and self.box <= 0.1


@dataclass(frozen=True)
class LayerRange:
    """Largest magnitude that an operation put out; ``layer`` is the module that called it, and its name."""

    layer: str
    largest: float


class _Function(nn.Module):
    """Lets the exporter call one of the network's runtime functions."""

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
        depthwise, last = child if isinstance(child, SeparableConvolution) else (None, child)
        if isinstance(last, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
            folded = fuse_conv_bn_eval(last, following)
            setattr(module, name, folded if depthwise is None else nn.Sequential(depthwise, folded))
            setattr(module, next_name, nn.Identity())
    for _, child in children:
        fold_batch_norm(child)


def random_crops(config: StifConfig) -> Crops:
    """Two crops of noise around a square target; enough to compare graphs that should be equal."""
    size = config.crop_size
    image = np.random.default_rng(0).integers(0, 256, (2, 3, size, size), dtype=np.uint8)
    foreground = np.zeros((2, 1, size, size), np.uint8)
    foreground[:, :, size // 3 : 2 * size // 3, size // 3 : 2 * size // 3] = 1
    return Crops(image, foreground, image, np.zeros(2, np.int64))


def export_onnx(model: Stif, files: ModelFiles, batch: int | None = None, tracking: Stif | None = None) -> None:
    """Writes the graphs in the precision of ``files``, fp32 or fp16, simplified.

    The memory always holds T frames (a shorter one repeats its initial frame). In fp16 the attention's and the memory's
    softmax, exp and the decoding of boxes stay in fp32, and so do inputs and outputs.

    Args:
        model: Network in evaluation mode; it is not changed.
        files: Where to write; the folder must be there.
        batch: Fixed batch of every input; None leaves it open.
        tracking: The network that ``track`` is made of, where it is another, in evaluation mode too.
    """
    config = model.config
    tracking, model = copy.deepcopy(tracking or model), copy.deepcopy(model)
    for network in (model, tracking):
        fold_batch_norm(network)
        if files.precision == "fp16":
            network.half()
    crops = random_crops(config)
    image, foreground = (torch.from_numpy(array[: batch or 2]) for array in (crops.memory_image, crops.foreground))
    if batch is not None and batch > len(image):
        image, foreground = (tensor[:1].repeat(batch, 1, 1, 1) for tensor in (image, foreground))
    with torch.no_grad():
        feature = model.memorize(image, foreground)
        memory = feature[:, None].repeat(1, config.memory_frames, 1, 1, 1)
        enhanced = model.enhance(memory)
    _write(model, "memorize", files, {"image": image, "foreground": foreground}, ["feature"], batch)
    _write(model, "enhance", files, {"memory": memory}, ["enhanced"], batch)
    _write(tracking, "track", files, {"image": image, "enhanced": enhanced}, ["score", "box"], batch)


def compare(model: Stif, backend: Backend, crops: Crops) -> ExportReport:
    """Runs a backend and the fp32 network ``model`` over the same crops, one by one."""
    frames = model.config.memory_frames
    features, largest = [], 0.0
    differences = []
    with torch.inference_mode():
        for image, foreground in zip(crops.memory_image, crops.foreground, strict=True):
            feature = model.memorize(torch.from_numpy(image[None]), torch.from_numpy(foreground[None])).numpy()
            its_feature = backend.memorize(image[None], foreground[None])
            features.append((feature, its_feature))
            largest = max(largest, float(np.abs(feature).max()))
        for image, source in zip(crops.query_image, crops.source, strict=True):
            memory, its_memory = (np.repeat(feature[:, None], frames, axis=1) for feature in features[source])
            enhanced = model.enhance(torch.from_numpy(memory))
            score, box = (tensor.numpy()[0] for tensor in model.track(torch.from_numpy(image[None]), enhanced))
            its_score, its_box = (array[0] for array in backend.track(image[None], backend.enhance(its_memory)))
            best = int(score.argmax())
            differences.append((np.abs(its_score - score).max(), np.abs(its_box[best] - box[best]).max()))
    scores, boxes = np.array(differences).T
    return ExportReport(
        feature=max(float(np.abs(a - b).max()) for a, b in features) / largest,
        score=float(scores.max()),
        mean_score=float(scores.mean()),
        box=float(boxes.mean()),
    )


def half_rounding(model: Stif) -> Stif:
    """The network in fp16 in PyTorch, where every layer's output is rounded to a half, on a CPU too.

    ONNX Runtime's CPU kernels compute fp16 graphs in fp32.
    """
    model = copy.deepcopy(model)
    fold_batch_norm(model)
    return model.half()


class _Watch(TorchFunctionMode):
    """Notes the largest magnitude of what every operation puts out, under the name of the module that calls it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.largest: dict[str, float] = {}
        self._inside: list[str] = []
        self._hooks = []
        for name, module in model.named_modules():
            self._hooks += [
                module.register_forward_pre_hook(lambda _module, _inputs, name=name: self._inside.append(name)),
                module.register_forward_hook(self._leave),
            ]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if isinstance(output, Tensor) and output.dtype == torch.float16 and output.numel():
            name = f"{self._inside[-1] if self._inside else ''} {getattr(func, '__name__', func)}".strip()
            self.largest[name] = max(self.largest.get(name, 0.0), float(output.detach().float().abs().max()))
        return output

    def _leave(self, _module: nn.Module, _inputs: Any, _output: Any) -> None:
        self._inside.pop()

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()


def half_ranges(half: Stif, crops: Crops) -> list[LayerRange]:
    """Largest magnitude of what each operation of a network in fp16 puts out over the crops, largest first.

    Products, sums and gates between the layers count, too. fp16 ends at 65504; beyond it is infinity.
    """
    watch = _Watch(half)
    try:
        with torch.inference_mode():
            features = [
                half.memorize(torch.from_numpy(image[None]), torch.from_numpy(foreground[None]))
                for image, foreground in zip(crops.memory_image, crops.foreground, strict=True)
            ]
            with watch:
                for image, source in zip(crops.query_image, crops.source, strict=True):
                    memory = features[source][:, None].repeat(1, half.config.memory_frames, 1, 1, 1)
                    half.track(torch.from_numpy(image[None]), half.enhance(memory))
    finally:
        watch.remove()
    return sorted((LayerRange(*item) for item in watch.largest.items()), key=lambda layer: -layer.largest)


def set_metadata(graph: onnx.ModelProto, files: ModelFiles, config: StifConfig, more: dict[str, str]) -> None:
    """What a runtime checks before it runs the graph; ``more``: its function, batch and costs (``CARRIED_OVER``)."""
    onnx.helper.set_model_props(
        graph,
        {
            "model": files.name,
            "crop_size": str(config.crop_size),
            "memory_frames": str(config.memory_frames),
            "precision": files.precision,
            "stif_version": __version__,
            "config_hash": config_hash(config),
            **more,
        },
    )


def _costs(model: Stif, function: str, inputs: list[Tensor]) -> dict[str, str]:
    """Of one crop: multiply-accumulates, numbers that layers put out, and parameters of the layers that run."""
    counted: dict[nn.Module, int] = {}
    layers = [layer for layer in model.modules() if not list(layer.children())]
    hooks = [
        layer.register_forward_hook(lambda layer, _inputs, output: counted.__setitem__(layer, output.numel()))
        for layer in layers
    ]
    call = getattr(model, function)
    try:
        with torch.inference_mode():
            call(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return dict(
        zip(
            COSTS,
            map(str, (multiply_accumulates(call, *inputs), sum(counted.values()), sum(map(parameter_count, counted)))),
            strict=True,
        )
    )


def _write(
    model: Stif, function: str, files: ModelFiles, inputs: dict[str, Tensor], outputs: list[str], batch: int | None
) -> None:
    path = files.graphs[function]
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
            dynamic_axes={name: {0: "batch"} for name in [*inputs, *outputs]} if batch is None else None,
        )
    graph = onnxslim.slim(onnx.load(path))
    costs = _costs(model, function, [tensor[:1] for tensor in inputs.values()])
    more = {"function": function, "batch": "dynamic" if batch is None else str(batch), **costs}
    set_metadata(graph, files, model.config, more)
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, path)
