"""Rounding in the training against the int8 graphs, and what it does to numbers and gradients."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from stif_core.model.stif import Stif, load_weights  # noqa: E402
from stif_core.runtime.export import export_onnx  # noqa: E402
from stif_core.runtime.onnx_backend import OnnxBackend  # noqa: E402
from stif_core.runtime.quantize import quantize  # noqa: E402
from stif_core.runtime.recording import Crops  # noqa: E402
from stif_core.training.quantised import rounded, rounded_layers, trained_beside, use_rounding  # noqa: E402
from stif_core.weights import ModelFiles, find_model  # noqa: E402

NANO = find_model("nano")


@pytest.fixture(scope="module")
def crops():
    """Smooth pictures with a target in the middle."""
    import cv2

    noise = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    images = np.stack([cv2.resize(image, (256, 256), interpolation=cv2.INTER_CUBIC) for image in noise])
    foreground = np.zeros((4, 1, 256, 256), np.uint8)
    foreground[:, :, 96:160, 96:160] = 1
    images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return Crops(images, foreground, images, np.arange(4))


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=20), st.floats(0.1, 5))
def test_rounded_numbers_are_whole_steps_within_the_limit(values, limit):
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    y = rounded(x, torch.tensor(limit, dtype=torch.float64))
    steps = (y.detach() * 127 / limit).numpy()
    np.testing.assert_allclose(steps, steps.round(), atol=1e-9)
    assert np.abs(steps).max() <= 127 + 1e-9
    inside = np.abs(values) < limit
    assert (np.abs(y.detach().numpy() - values)[inside] <= limit / 127 / 2 + 1e-9).all()
    y.sum().backward()
    assert (x.grad.numpy()[inside] == 1).all()
    assert (x.grad.numpy()[np.abs(values) > limit] == 0).all()


def test_folded_norms_change_nothing_and_names_stay(crops, monkeypatch):
    network = load_weights(NANO.config(), NANO.weights)
    known = {name: value.clone() for name, value in network.state_dict().items()}
    query, enhanced = _inputs(network, crops)
    before = network.track(query, enhanced)
    monkeypatch.setattr("stif_core.training.quantised.rounded", lambda x, limit: x)  # the folding alone
    use_rounding(network)
    assert network.state_dict().keys() == known.keys()
    assert not torch.equal(network.head.class_tower[0].weight, known["head.class_tower.0.weight"])
    for ours, expected in zip(network.track(query, enhanced), before, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    "layers",
    [["branches.trunk.blocks.4.depthwise"], ["necks.0.mix.0"], ["head.class_tower.0", "head.box_tower.0"]],
    ids=["depthwise", "full", "halves"],
)
def test_layers_round_as_their_int8_graph_does(crops, tmp_path, monkeypatch, layers):
    """One at a time, or two side by side: one after the other what falls on the other side of a half multiplies."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime.quantization")
    monkeypatch.setattr("stif_core.training.quantised.rounded_layers", lambda model: layers)
    files, int8 = ModelFiles("nano", tmp_path), ModelFiles("nano", tmp_path, "int8")
    files.json.write_text(json.dumps(NANO.description()))
    network = load_weights(NANO.config(), NANO.weights).requires_grad_(False)
    export_onnx(network, files)
    assert quantize(files, int8, crops, trained=layers) == []

    query, enhanced = _inputs(network, crops)
    plain_score, plain_box = (tensor.numpy() for tensor in network.track(query, enhanced))
    use_rounding(network)
    for layer in layers:
        network.get_submodule(layer).train()
    network.track(query, enhanced)  # takes the ranges
    network.eval()
    score, box = (tensor.numpy() for tensor in network.track(query, enhanced))
    graph_score, graph_box = OnnxBackend(int8, threads=2).track(query.numpy(), enhanced.numpy())
    assert np.abs(graph_score - score).mean() < 0.05 * np.abs(plain_score - score).mean()
    assert np.abs(graph_box - box).mean() < 0.05 * np.abs(plain_box - box).mean()
    graph = onnx.load(int8.track_onnx).graph
    constants = {value.name: onnx.numpy_helper.to_array(value) for value in graph.initializer}
    scales = sorted(float(constants[node.input[1]]) for node in graph.node if node.op_type == "QuantizeLinear")
    ranges = network.get_submodule(layers[0]).ranges  # those of the other tower are the same: it has the same inputs
    assert scales == pytest.approx(sorted((ranges / 127).tolist()), rel=1e-3)


def test_convolutions_over_the_image_and_over_few_maps_are_not_rounded():
    layers = rounded_layers(load_weights(NANO.config(), NANO.weights))
    assert len(layers) == 56
    assert {"branches.trunk.blocks.1.depthwise", "necks.0.reduce.conv", "head.box_tower.3"} < set(layers)
    assert not {"branches.trunk.stem", "query_sde.conv", "head.offsets", "branches.foreground_cells"} & set(layers)


def test_weights_for_int8_are_known_to_be_of_their_model():
    network = load_weights(NANO.config(), NANO.weights)
    shipped = load_weights(NANO.config(), NANO.int8_weights)
    assert trained_beside(shipped, network)
    assert not torch.equal(shipped.necks[0].mix[0].weight, network.necks[0].mix[0].weight)
    assert not trained_beside(shipped, Stif(NANO.config()))


def _inputs(network, crops):
    with torch.no_grad():
        feature = network.memorize(*(torch.from_numpy(array) for array in (crops.memory_image, crops.foreground)))
        return torch.from_numpy(crops.query_image), network.enhance(feature[:, None].repeat(1, 3, 1, 1, 1))
