"""fp16 and int8 graphs: what they hold, and that they still track."""

import itertools
import json

import numpy as np
import pytest

from stif_core.evaluation.metrics import accuracy
from stif_core.runtime.backend import load_backend
from stif_core.runtime.graph_check import graph_costs, read_metadata
from stif_core.tracking import Tracker, TrackerSettings
from stif_core.weights import PRECISIONS, ModelFiles, find_model

NANO = find_model("nano")
SETTINGS = TrackerSettings.from_dict(NANO.description()["tracking"])


@pytest.fixture(scope="module")
def clip():
    pytest.importorskip("skimage")
    from stif_core.evaluation.rendered_clip import RenderedClip

    rendered = RenderedClip(frames=60)
    return list(rendered), rendered.truth()


@pytest.fixture(scope="module")
def crops(clip, tmp_path_factory):
    """Recorded from the rendered clip."""
    import cv2

    from stif_core.evaluation.footage import footage_folders, record_crops

    folder = tmp_path_factory.mktemp("footage") / "clip"
    (folder / "img").mkdir(parents=True)
    images, truth = clip
    for i, image in enumerate(images):
        cv2.imwrite(str(folder / f"img/{i:04d}.png"), image)
    (folder / "groundtruth.txt").write_text("\n".join(",".join(map(str, box)) for box in truth))
    return record_crops(load_backend(NANO, "onnxruntime"), SETTINGS, footage_folders(folder.parent, folder / "none"))


def mean_iou(backend, clip) -> float:
    images, truth = clip
    tracker = Tracker(backend, SETTINGS)
    boxes = [tracker.init(images[0], truth[0]).box] + [tracker.track(image).box for image in images[1:]]
    return accuracy(boxes, truth).mean_iou


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_shipped_graphs_of_every_precision_track(clip, backend, precision):
    pytest.importorskip(backend)
    assert mean_iou(load_backend(NANO, f"{backend}:{precision}"), clip) > 0.8


@pytest.mark.parametrize("precision", PRECISIONS)
def test_shipped_graphs_say_what_they_are(precision):
    files = ModelFiles("nano", NANO.folder, precision)
    for name, path in files.graphs.items():
        metadata = read_metadata(path)
        assert metadata["function"] == name
        assert (metadata["model"], metadata["precision"], metadata["crop_size"]) == ("nano", precision, "256")
    costs = graph_costs(files)
    assert costs["track"].multiply_accumulates == pytest.approx(0.561e9, rel=0.01)
    assert costs["track"].parameters < costs["track"].activations
    assert costs["enhance"].multiply_accumulates == 16 * 16 * 2 * 7 * 7  # the one convolution of 7 x 7


def test_recorded_crops_are_those_that_the_tracker_saw(crops):
    assert crops.query_image.shape == (7, 3, 256, 256)  # every eighth of 59
    assert crops.memory_image.shape[1:] == (3, 256, 256)
    # At the initialisation the target fills the middle quarter of the crop's side, and nothing else.
    assert set(np.unique(crops.foreground[0])) == {0, 1}
    assert crops.foreground[0].mean() == pytest.approx(1 / 16, rel=0.05)
    assert (crops.source == 0).all()
    few = crops.thinned(3)
    np.testing.assert_array_equal(few.query_image, crops.query_image[[0, 3, 6]])
    assert len(few.memory_image) == 1


def test_true_halves_differ_little_from_fp32(crops):
    pytest.importorskip("torch")
    from stif_core.model.stif import load_weights
    from stif_core.runtime.export import LARGEST_HALF, compare, half_ranges, half_rounding
    from stif_core.runtime.torch_backend import TorchBackend

    network = load_weights(NANO.config(), NANO.weights)
    half = half_rounding(network)
    report = compare(network, TorchBackend(half), crops.thinned(3))
    assert 1e-5 < report.score < 5e-3  # not nothing: it was rounded
    assert report.box < 0.2
    largest = half_ranges(half, crops.thinned(3))
    assert 10 < largest[0].largest < LARGEST_HALF / 100
    assert any("fusion" in layer.layer and "matmul" in layer.layer for layer in largest)  # not layers alone


def test_fp16_graph_keeps_softmax_and_exp_in_fp32():
    onnx = pytest.importorskip("onnx")
    files = ModelFiles("nano", NANO.folder, "fp16")
    for path, softmaxes in ((files.enhance_onnx, 1), (files.track_onnx, 2)):
        graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
        types = {value.name: value.type.tensor_type.elem_type for value in [*graph.value_info, *graph.output]}
        of = {op: [types[n.output[0]] for n in graph.node if n.op_type == op] for op in ("Softmax", "Exp", "Conv")}
        assert len(of["Softmax"]) == softmaxes
        assert set(of["Softmax"] + of["Exp"]) == {onnx.TensorProto.FLOAT}
        assert set(of["Conv"]) == {onnx.TensorProto.FLOAT16}


def test_shipped_int8_graph_leaves_five_convolutions_in_floating_point():
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(ModelFiles("nano", NANO.folder, "int8").track_onnx).graph
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    floating = {n.name for n in graph.node if n.op_type == "Conv" and made_by.get(n.input[1]) != "DequantizeLinear"}
    outputs = {f"/head/{name}/Conv" for name in ("offsets", "class_logit", "centreness")}
    assert floating == {"/trunk/stem/Conv", "/query_sde/conv/Conv", *outputs}


def test_the_same_int8_graphs_give_the_same_in_openvino(crops):
    pytest.importorskip("openvino")
    backends = [load_backend(NANO, name) for name in ("onnxruntime:int8", "openvino:int8")]
    frames = backends[0].config.memory_frames
    enhanced = [
        backend.enhance(np.repeat(backend.memorize(crops.memory_image[:1], crops.foreground[:1])[:, None], frames, 1))
        for backend in backends
    ]
    for image in crops.query_image:
        (score, box), (its_score, its_box) = (
            backend.track(image[None], memory) for backend, memory in zip(backends, enhanced, strict=True)
        )
        # Rounding falls otherwise here and there; a convolution that OpenVINO gets wrong moves scores by .07.
        assert np.abs(its_score - score).max() < 0.04
        best = score[0].argmax()
        assert np.abs(its_box[0, best] - box[0, best]).max() < 1.5


def test_splitting_the_fused_halves_changes_nothing_in_fp32(crops, tmp_path):
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from stif_core.runtime.quantize import split_fused_halves

    model = onnx.load(NANO.track_onnx)
    split_fused_halves(model.graph)
    onnx.checker.check_model(model, full_check=True)
    names = {node.name for node in model.graph.node if node.op_type == "Conv" and node.name.startswith("/head/")}
    assert {"/head/class_tower/class_tower.0/Conv.0", "/head/box_tower/box_tower.0/Conv.1"} < names
    onnx.save(model, tmp_path / "split.onnx")
    backend = load_backend(NANO, "onnxruntime:fp32")
    memory = np.repeat(backend.memorize(crops.memory_image[:1], crops.foreground[:1])[:, None], 3, axis=1)
    feed = {"image": crops.query_image[:1], "enhanced": backend.enhance(memory)}
    session = onnxruntime.InferenceSession(tmp_path / "split.onnx", providers=["CPUExecutionProvider"])
    for ours, expected in zip(session.run(None, feed), backend.track(*feed.values()), strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-3)


@pytest.mark.slow
def test_int8_leaves_sensitive_layers_alone(crops, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("torch")
    from stif_core.model.stif import load_weights
    from stif_core.runtime.export import compare, export_onnx
    from stif_core.runtime.quantize import quantizable, quantize

    source, target = ModelFiles("nano", tmp_path), ModelFiles("nano", tmp_path, "int8")
    source.json.write_text(json.dumps(NANO.description()))
    network = load_weights(NANO.config(), NANO.weights)
    export_onnx(network, source)
    effects = quantize(source, target, crops)
    assert sorted(effect.layer for effect in effects) == sorted(quantizable(source.track_onnx))
    assert all(first.score >= second.score for first, second in itertools.pairwise(effects))
    left_out = {effect.layer for effect in effects if effect.left_out}
    assert 0 < len(left_out) < len(effects) / 3
    graph = onnx.load(target.track_onnx).graph
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    quantised = {node.name for node in convolutions if made_by.get(node.input[1]) == "DequantizeLinear"}
    assert quantised == {effect.layer for effect in effects} - left_out
    # Symmetric, as TensorRT wants it.
    values = {value.name: onnx.numpy_helper.to_array(value) for value in graph.initializer}
    zero_points = [values[node.input[2]] for node in graph.node if node.op_type == "QuantizeLinear"]
    assert all(point.dtype == np.int8 and not point.any() for point in zero_points)
    assert "QuantizeLinear" not in {node.op_type for node in onnx.load(target.enhance_onnx).graph.node}
    assert compare(network, load_backend(target, "onnxruntime:int8"), crops).mean_score < 0.05
