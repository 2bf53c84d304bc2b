"""Real engines from the real graphs, with TensorRT-RTX, which needs no GPU to build."""

import json
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from stif_core.runtime.engine.builder import BuildOptions, build_engine, engine_key
from stif_core.runtime.engine.graph import Graph, read_graphs
from stif_core.runtime.engine.library import find_library
from stif_core.runtime.engine.targets import Target, parse_targets
from stif_core.runtime.engine.turing import without_fp32_products
from stif_core.weights import ModelFiles

pytest.importorskip("tensorrt_rtx_bindings")
SM86 = Target("SM86")


@pytest.fixture(scope="module")
def library():
    return find_library("tensorrt_rtx")


def track_graph(files: ModelFiles) -> Graph:
    (graph,) = (graph for graph in read_graphs(files) if graph.name == "track")
    return graph


def specs(tensors) -> list:
    return [(spec.name, spec.dtype, spec.shape) for spec in tensors]


def test_real_engines_of_all_graphs_have_static_shapes_and_the_graph_s_types(library, nano):
    memorize, enhance, track = (build_engine(library, graph, SM86) for graph in read_graphs(nano))
    assert specs(memorize.inputs) == [
        ("image", "uint8", (1, 3, 256, 256)),
        ("foreground", "uint8", (1, 1, 256, 256)),
    ]
    assert specs(memorize.outputs) == [("feature", "float32", (1, 96, 16, 16))]
    assert specs(enhance.inputs) == [("memory", "float32", (1, 3, 96, 16, 16))]
    assert specs(enhance.outputs) == [("enhanced", "float32", (1, 1, 96, 16, 16))]
    assert specs(track.inputs) == [("image", "uint8", (1, 3, 256, 256)), ("enhanced", "float32", (1, 1, 96, 16, 16))]
    assert specs(track.outputs) == [("score", "float32", (1, 256)), ("box", "float32", (1, 256, 4))]
    # The weights of fp32, and little beside them: with a profile of shapes it would be five times that.
    assert 1.0 < len(memorize.payload) / nano.memorize_onnx.stat().st_size < 2.0
    assert 1.0 < len(track.payload) / nano.track_onnx.stat().st_size < 2.0


def test_key_names_model_library_target_and_precision(library, nano):
    graph = read_graphs(nano)[0]
    key = engine_key(library, graph, SM86, batch=1)
    assert (key.flavour, key.version, key.target, key.gpu, key.precision) == (
        "tensorrt_rtx",
        library.module.__version__,
        "SM86",
        "",
        "fp32",
    )
    assert key.file_name.startswith("nano.memorize.SM86.fp32-b1.")
    assert engine_key(library, replace(graph, sha256="0" * 64), SM86, 1).file_name != key.file_name


def test_engine_with_a_batch(library, nano):
    engine = build_engine(library, track_graph(nano), SM86, BuildOptions(batch=4, workspace_mb=64))
    assert [spec.shape[0] for spec in (*engine.inputs, *engine.outputs)] == [4, 4, 4, 4]


def test_progress_runs_up_to_one(library, nano):
    shares = []
    build_engine(library, read_graphs(nano)[0], SM86, progress=shares.append)
    assert len(shares) > 20 and shares == sorted(shares) and shares[0] < 0.1 and shares[-1] == 1.0


def test_turing_gets_a_graph_without_products_in_fp32(library, nano):
    pytest.importorskip("onnx")
    (turing,) = parse_targets("SM75", library)
    graph = track_graph(nano)
    assert len(build_engine(library, graph, turing).payload) > 1e6
    with pytest.raises(ValueError, match="for a batch of 1 alone"):
        build_engine(library, graph, turing, BuildOptions(batch=2))


def test_the_graph_for_turing_computes_the_same(nano):
    onnx = pytest.importorskip("onnx")
    content = without_fp32_products(track_graph(nano))
    operations = [node.op_type for node in onnx.load_from_string(content).graph.node]
    original = [node.op_type for node in onnx.load(nano.track_onnx).graph.node]
    assert original.count("MatMul") == 4 and operations.count("MatMul") == 0
    assert operations.count("Conv") == original.count("Conv") + 4
    rng = np.random.default_rng(0)
    inputs = {
        "image": rng.integers(0, 256, (1, 3, 256, 256), dtype=np.uint8),
        "enhanced": rng.normal(size=(1, 1, 96, 16, 16)).astype(np.float32),
    }
    score, box = onnxruntime.InferenceSession(content).run(None, inputs)
    expected_score, expected_box = onnxruntime.InferenceSession(nano.track_onnx).run(None, inputs)
    np.testing.assert_allclose(score, expected_score, atol=1e-4)
    np.testing.assert_allclose(box, expected_box, atol=0.01)


def test_what_tensorrt_cannot_build_is_an_error_in_its_words(library, nano):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(nano.track_onnx)
    # Valid ONNX that ONNX Runtime takes and TensorRT has no implementation for.
    model.graph.node.append(onnx.helper.make_node("Det", ["square"], ["determinant"]))
    model.graph.node.append(onnx.helper.make_node("Slice", ["box", "zero", "four", "one"], ["square"]))
    for name, value in (("zero", 0), ("four", 4), ("one", 1)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([value], np.int64), name))
    model.graph.output.append(onnx.helper.make_tensor_value_info("determinant", onnx.TensorProto.FLOAT, None))
    nodes = sorted(model.graph.node, key=lambda node: node.op_type == "Det")
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, nano.track_onnx)
    with pytest.raises(ValueError, match=r"tensorrt_rtx .* cannot build .*nano\.track\.onnx for SM86: .+"):
        build_engine(library, track_graph(nano), SM86)


def test_timing_cache_is_refused_where_nothing_is_timed(library, nano, tmp_path):
    with pytest.raises(ValueError, match="leave --timing-cache out"):
        build_engine(library, read_graphs(nano)[0], SM86, BuildOptions(timing_cache=tmp_path / "cache"))


def test_graphs_that_do_not_fit_the_json_are_refused(nano):
    description = nano.description()
    description["model"]["memory_frames"] = 5
    nano.json.write_text(json.dumps(description))
    with pytest.raises(ValueError, match=r"has config_hash .* write the graphs again"):
        read_graphs(nano)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", r"nano\.memorize\.onnx has 0 bytes"), (b"not a graph" * 100, r"cannot read .*nano\.memorize\.onnx")],
    ids=["empty", "random"],
)
def test_broken_graph_is_one_clear_error(nano, content, message):
    nano.memorize_onnx.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_graphs(nano)


def test_missing_graph_says_how_to_write_it(nano):
    nano.track_onnx.unlink()
    with pytest.raises(ValueError, match="stif export"):
        read_graphs(nano)


def test_graphs_of_another_precision_than_their_name_says_are_refused(nano):
    half = replace(nano, precision="fp16")
    for name, path in half.graphs.items():
        path.write_bytes(nano.graphs[name].read_bytes())
    with pytest.raises(ValueError, match=r"nano\.fp16\.memorize\.onnx has precision fp32, .* asks for fp16"):
        read_graphs(half)


def test_graphs_of_a_fixed_batch_are_built_for_that_batch_alone(library, nano):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(nano.memorize_onnx)
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(model, nano.memorize_onnx)
    graph = read_graphs(nano)[0]
    with pytest.raises(ValueError, match="takes 2 crops at a time, not 1"):
        build_engine(library, graph, SM86)
    with pytest.raises(ValueError, match="takes 2 crops at a time; engines for SM75 take 1"):
        build_engine(library, graph, Target("SM75"))
    assert build_engine(library, graph, SM86, BuildOptions(batch=2)).inputs[0].shape == (2, 3, 256, 256)
