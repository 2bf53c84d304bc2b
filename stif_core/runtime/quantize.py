"""int8 graphs with explicit Q/DQ nodes (onnxruntime.quantization), calibrated on recorded crops.

Symmetric int8 throughout, as TensorRT wants it, weights per channel. Convolutions of the track graph alone are
quantised: attention, softmax and the decoding of boxes lose too much; the memory is computed rarely while every frame
hangs on it. Where weights were not trained for it depthwise convolutions are left out, which lose most, and layers
whose quantisation alone moves the result.
"""

import logging
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from stif_core.runtime.export import CARRIED_OVER, set_metadata
from stif_core.runtime.onnx_backend import OnnxBackend, open_session
from stif_core.runtime.recording import Crops
from stif_core.weights import ModelFiles

# A layer stays in floating point when its quantisation alone moves, in the mean over the crops, the score of some cell
# or the best box (crop pixels) by this much.
SCORE_LIMIT = 0.0025
BOX_LIMIT = 0.15
# Convolutions with so few outputs (scores, centreness, offsets, spatial weights) cost next to nothing, and much hangs
# on them: they are never quantised.
FEW_OUTPUTS = 4
EFFECT_CROPS = 32  # crops that the effect of a layer is measured on

Feed = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class LayerEffect:
    """What the quantisation of one layer alone does; means over crops of the largest differences.

    Attributes:
        layer: Name of the convolution in the graphs.
        score: Of the score of any cell.
        box: Of the best box, crop pixels.
    """

    layer: str
    score: float
    box: float

    @property
    def left_out(self) -> bool:
        return self.score >= SCORE_LIMIT or self.box >= BOX_LIMIT


class _Feeds(CalibrationDataReader):
    def __init__(self, feeds: list[Feed]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def quantize(
    source: ModelFiles,
    target: ModelFiles,
    crops: Crops,
    advance: Callable[[], None] = lambda: None,
    trained: Collection[str] | None = None,
) -> list[LayerEffect]:
    """Writes the int8 graphs of ``target`` from the fp32 graphs of ``source``.

    Args:
        source: Its graphs have an open batch or a batch of 1.
        target: Where to write.
        crops: Taken from footage with a tracker; ranges are taken from all of them, effects measured on some.
        advance: Called after each layer whose effect is measured, ``len(quantizable(source.track_onnx))`` in all.
        trained: Names in the network of the convolutions that were trained with their rounding. They are quantised,
            no other, and nothing is measured. None: those whose effect is small.

    Returns:
        The effect of each layer of the track graph, largest first; none where it was trained.
    """
    backend = OnnxBackend(source, threads=0)
    frames = backend.config.memory_frames
    features = [
        backend.memorize(image[None], foreground[None])
        for image, foreground in zip(crops.memory_image, crops.foreground, strict=True)
    ]
    enhanced = [backend.enhance(np.repeat(feature[:, None], frames, axis=1)) for feature in features]
    track_feeds: list[Feed] = [
        {"image": image[None], "enhanced": enhanced[i]}
        for image, i in zip(crops.query_image, crops.source, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder, _quiet():
        track = _Quantizer(source.track_onnx, track_feeds, Path(folder))
        if trained is not None:
            effects, chosen = [], track.nodes_of(trained)
        else:
            effects = sorted(track.effects(advance), key=lambda effect: -effect.score)
            chosen = [effect.layer for effect in effects if not effect.left_out]
        track.write(target.track_onnx, chosen)
        shutil.copyfile(source.memorize_onnx, target.memorize_onnx)
        shutil.copyfile(source.enhance_onnx, target.enhance_onnx)
        for name, path in target.graphs.items():
            graph = onnx.load(path)
            metadata = {entry.key: entry.value for entry in onnx.load(source.graphs[name]).metadata_props}
            set_metadata(graph, target, backend.config, {key: metadata[key] for key in CARRIED_OVER})
            onnx.checker.check_model(graph, full_check=True)
            onnx.save(graph, path)
    return effects


def quantizable(path: Path) -> list[str]:
    """Names of the full convolutions that have more than a few outputs, once the fused halves are split."""
    graph = onnx.load(path).graph
    split_fused_halves(graph)
    return _full_convolutions(graph)


def _full_convolutions(graph: onnx.GraphProto) -> list[str]:
    weights = {weight.name: weight for weight in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    shapes = {node.name: weights[node.input[1]].dims for node in convolutions}  # a depthwise kernel sees one input
    return [name for name, (outputs, inputs, *_) in shapes.items() if outputs > FEW_OUTPUTS and inputs > 1]


def split_fused_halves(graph: onnx.GraphProto) -> None:
    """The head's first convolutions, over the two joined halves, become sums of one over each half, in place.

    So each half has a range of its own. And OpenVINO 2026.4 computes an int8 convolution over this concatenation
    wrongly: it moves scores by .07 where ONNX Runtime moves them by .002.
    """
    made_by = {output: node for node in graph.node for output in node.output}
    weights = {weight.name: weight for weight in graph.initializer}
    for convolution in [node for node in graph.node if node.op_type == "Conv" and node.name.startswith("/head/")]:
        joined = made_by[convolution.input[0]]
        if joined.op_type != "Concat":
            continue
        weight = weights[convolution.input[1]]
        values = np.split(onnx.numpy_helper.to_array(weight), len(joined.input), axis=1)
        position = list(graph.node).index(convolution)
        parts = []
        for i, (part, value) in enumerate(zip(joined.input, values, strict=True)):
            name = f"{weight.name}.{i}"
            graph.initializer.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
            bias = convolution.input[2:] if i == 0 else []
            node = onnx.helper.make_node(
                "Conv", [part, name, *bias], [f"{convolution.output[0]}.{i}"], f"{convolution.name}.{i}"
            )
            node.attribute.extend(convolution.attribute)
            parts.append(node)
        total = onnx.helper.make_node("Sum", [node.output[0] for node in parts], convolution.output, convolution.name)
        graph.node.remove(convolution)
        for node in [total, *reversed(parts)]:
            graph.node.insert(position, node)
        graph.initializer.remove(weight)
        if not any(joined.output[0] in node.input for node in graph.node):
            graph.node.remove(joined)


class _Quantizer:
    """One graph, with ranges that are taken once."""

    def __init__(self, path: Path, feeds: list[Feed], folder: Path) -> None:
        self._prepared = folder / path.name
        self._ranges = folder / f"{path.name}.ranges.json"
        self._feeds = feeds
        quant_pre_process(path, self._prepared, skip_symbolic_shape=True)
        graph = onnx.load(self._prepared)
        split_fused_halves(graph.graph)
        onnx.save(graph, self._prepared)
        self.layers = _full_convolutions(graph.graph)
        self._convolutions = [node for node in graph.graph.node if node.op_type == "Conv"]

    def nodes_of(self, modules: Collection[str]) -> list[str]:
        """Names in the graph of the convolutions of a network, which the exporter names weights after."""
        return [
            node.name
            for node in self._convolutions
            if node.input[1].removeprefix("model.").partition(".weight")[0] in modules
        ]

    def write(self, path: Path, layers: Collection[str]) -> None:
        quantize_static(
            self._prepared,
            path,
            _Feeds(self._feeds),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_quantize=list(layers),
            calibration_cache_path=self._ranges,
            extra_options={
                "ActivationSymmetric": True,
                "CalibMovingAverage": True,  # the mean over crops of the extremes clips what a single crop has
                "QuantizeBias": False,  # TensorRT takes no biases in int32
                # Inputs of convolutions alone are rounded, each once: so TensorRT wants it, and OpenVINO gives
                # results of its own where an output is rounded before its activation.
                "OpTypesToExcludeOutputQuantization": ["Conv"],
            },
        )

    def effects(self, advance: Callable[[], None]) -> Iterator[LayerEffect]:
        picks = np.linspace(0, len(self._feeds) - 1, EFFECT_CROPS).round().astype(int)
        feeds = [self._feeds[i] for i in sorted(set(picks.tolist()))]
        reference = _run(self._prepared, feeds)
        path = self._prepared.with_suffix(".one.onnx")
        for layer in self.layers:
            self.write(path, [layer])
            differences = []
            for (score, box), (expected, expected_box) in zip(_run(path, feeds), reference, strict=True):
                best = int(expected[0].argmax())
                differences.append((np.abs(score - expected).max(), np.abs(box - expected_box)[0, best].max()))
            yield LayerEffect(layer, *np.mean(differences, axis=0).tolist())
            advance()


def _run(path: Path, feeds: list[Feed]) -> list[list[NDArray[np.float32]]]:
    session: onnxruntime.InferenceSession = open_session(path, 0, str(path))
    return [session.run(None, feed) for feed in feeds]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without onnxruntime's warnings on the root logger: it repeats its advice for each layer."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
