import importlib.util
import json
import platform
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from stif_core.model.config import GOOGLENET, NANO
from stif_core.runtime.backend import default_threads, load_backend
from stif_core.runtime.graph_check import config_hash
from stif_core.runtime.processor import Processor
from stif_core.weights import DEFAULT_MODEL, ModelFiles, find_model

FILES = find_model(DEFAULT_MODEL)


def inputs(batch: int = 1, seed: int = 0):
    size = FILES.config().crop_size
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (batch, 3, size, size), dtype=np.uint8)
    foreground = np.zeros((batch, 1, size, size), np.uint8)
    foreground[:, :, 96:160, 96:160] = 1
    return image, foreground


def memory_of(feature: np.ndarray) -> np.ndarray:
    """Three memory frames that differ, from features (B, C, n, n)."""
    return np.stack([feature, 0.9 * feature, np.roll(feature, 1, axis=-1)], axis=1)


def test_torch_and_onnxruntime_agree():
    pytest.importorskip("torch")
    image, foreground = inputs(batch=2)
    torch_backend, onnx_backend = load_backend(FILES, "torch"), load_backend(FILES, "onnxruntime")
    feature = onnx_backend.memorize(image, foreground)
    np.testing.assert_allclose(torch_backend.memorize(image, foreground), feature, atol=2e-4)
    enhanced = onnx_backend.enhance(memory_of(feature))
    assert enhanced.shape == (2, 1, 96, 16, 16)
    np.testing.assert_allclose(torch_backend.enhance(memory_of(feature)), enhanced, atol=2e-4)
    torch_score, torch_box = torch_backend.track(image, enhanced)
    score, box = onnx_backend.track(image, enhanced)
    np.testing.assert_allclose(torch_score, score, atol=2e-4)
    np.testing.assert_allclose(torch_box, box, atol=0.02)


@pytest.mark.parametrize("name", ["onnxruntime:fp32", "openvino:fp32"])
def test_a_batch_gives_what_single_crops_give(name):
    pytest.importorskip(name.split(":")[0])
    image, foreground = inputs(batch=3)
    backend = load_backend(FILES, name)
    memory = memory_of(backend.memorize(image, foreground))
    enhanced = backend.enhance(memory)
    score, box = backend.track(image, enhanced)
    for i in range(3):
        np.testing.assert_allclose(backend.enhance(memory[i : i + 1])[0], enhanced[i], atol=1e-4)
        one_score, one_box = backend.track(image[i : i + 1], enhanced[i : i + 1])
        np.testing.assert_allclose(one_score[0], score[i], atol=1e-4)
        np.testing.assert_allclose(one_box[0], box[i], atol=0.01)


def test_auto_leaves_torch_alone():
    code = (
        "import sys, numpy as np; from stif_core.tracking import Tracker; tracker = Tracker.load();"
        "image = np.zeros((90, 90, 3), np.uint8); tracker.init(image, (30, 30, 20, 20)); tracker.track(image);"
        "assert 'torch' not in sys.modules; print(tracker.backend.name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    fast = importlib.util.find_spec("openvino") and platform.machine() == "x86_64"
    assert done.stdout.strip() == ("openvino" if fast else "onnxruntime")


def test_openvino_agrees_with_onnxruntime():
    pytest.importorskip("openvino")
    image, foreground = inputs(batch=2)
    expected, backend = load_backend(FILES, "onnxruntime"), load_backend(FILES, "openvino:fp32")
    feature = expected.memorize(image, foreground)
    # bf16, where the processor has it, keeps eight bits.
    np.testing.assert_allclose(backend.memorize(image, foreground), feature, atol=0.02 * np.abs(feature).max())
    enhanced = expected.enhance(memory_of(feature))
    np.testing.assert_allclose(backend.enhance(memory_of(feature)), enhanced, atol=0.02 * np.abs(enhanced).max())
    score, box = expected.track(image, enhanced)
    its_score, its_box = backend.track(image, enhanced)
    np.testing.assert_allclose(its_score, score, atol=0.02)
    np.testing.assert_allclose(its_box[0, score[0].argmax()], box[0, score[0].argmax()], atol=2)


def test_what_an_inference_returned_outlives_the_next():
    pytest.importorskip("openvino")
    backend = load_backend(FILES, "openvino")
    image, foreground = inputs()
    feature = backend.memorize(image, foreground)
    kept = feature.copy()
    backend.memorize(255 - image, foreground)
    np.testing.assert_array_equal(feature, kept)


def test_unknown_precision_names_those_there_are():
    with pytest.raises(ValueError, match="use fp32, fp16, int8"):
        load_backend(FILES, "openvino:fp8")


def test_missing_precision_says_how_to_write_it(tmp_path):
    for path in FILES.folder.glob("nano.*"):
        if ".int8." not in path.name and ".fp16." not in path.name:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    files = ModelFiles("nano", tmp_path)
    with pytest.raises(ValueError, match=r"no ONNX file .*nano\.int8\.memorize\.onnx: write it with 'stif export'"):
        load_backend(files, "onnxruntime:int8")
    assert load_backend(files).precision == "fp32"


def test_int8_is_taken_where_weights_and_processor_are_made_for_it(tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    for path in FILES.folder.glob("nano.*"):
        (tmp_path / path.name).symlink_to(path)
    files = ModelFiles("nano", tmp_path)
    for maker, precision in (("GenuineIntel", "int8"), ("AuthenticAMD", "fp16")):
        processor = Processor(maker, frozenset({"avx512_vnni", "avx512_bf16"}))
        monkeypatch.setattr(Processor, "here", lambda processor=processor: processor)
        assert load_backend(files, "openvino").precision == precision
        assert load_backend(files, "onnxruntime").precision == "fp32"
    monkeypatch.setattr(Processor, "here", lambda: Processor("GenuineIntel", frozenset({"avx_vnni"})))
    assert load_backend(files, "openvino:fp16").precision == "fp16"
    files.int8_weights.unlink()
    assert load_backend(files, "openvino").precision == "fp16"


def test_unknown_backend_names_those_there_are():
    with pytest.raises(ValueError, match="use auto, tensorrt, openvino, onnxruntime, torch"):
        load_backend(FILES, "tensorflow")


def test_model_without_any_file_says_what_is_missing(tmp_path):
    (tmp_path / "empty.json").write_text(FILES.json.read_text())
    files = ModelFiles("empty", tmp_path)
    with pytest.raises(ValueError, match="no backend can run the model 'empty'"):
        load_backend(files)
    with pytest.raises(ValueError, match="stif export"):
        load_backend(files, "onnxruntime")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", r"bad\.memorize\.onnx has 0 bytes"), (b"not a graph" * 100, r"cannot read .*bad\.memorize\.onnx")],
    ids=["empty", "random"],
)
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_broken_onnx_file_is_one_clear_error(tmp_path, content, message, backend):
    pytest.importorskip(backend)
    (tmp_path / "bad.json").write_text(FILES.json.read_text())
    files = ModelFiles("bad", tmp_path)
    for path in files.graphs.values():
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_backend(files, backend)


def copy_graphs(files: ModelFiles) -> None:
    for name, path in files.graphs.items():
        path.write_bytes(FILES.graphs[name].read_bytes())


@pytest.mark.parametrize("backend", ["auto", "onnxruntime", "openvino"])
def test_graphs_of_a_version_without_enhance_are_one_clear_error(tmp_path, backend):
    """Their track graph took all memory frames."""
    onnx = pytest.importorskip("onnx")
    if backend != "auto":
        pytest.importorskip(backend)
    files = ModelFiles("nano", tmp_path)
    for path in (files.json, files.weights):
        path.write_bytes((FILES.folder / path.name).read_bytes())
    copy_graphs(files)
    files.enhance_onnx.unlink()
    with pytest.raises(ValueError, match=r"no ONNX file .*nano\.enhance\.onnx: write it with 'stif export'"):
        load_backend(files, backend)
    for path in (files.memorize_onnx, files.track_onnx):
        graph = onnx.load(path)
        for entry in list(graph.metadata_props):
            if entry.key == "function":  # it came with the third graph
                graph.metadata_props.remove(entry)
        onnx.save(graph, path)
    with pytest.raises(ValueError, match=r"memorize\.onnx is not the graph 'memorize' that .* with 'stif export'"):
        load_backend(files, backend)


def test_a_graph_under_the_name_of_another_is_refused(tmp_path):
    files = ModelFiles("nano", tmp_path)
    files.json.write_bytes(FILES.json.read_bytes())
    copy_graphs(files)
    files.track_onnx.write_bytes(files.memorize_onnx.read_bytes())
    with pytest.raises(ValueError, match=r"track\.onnx is not the graph 'track'"):
        load_backend(files, "onnxruntime")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_graph_that_does_not_fit_its_json_is_refused(tmp_path, backend):
    pytest.importorskip(backend)
    files = ModelFiles("nano", tmp_path)
    copy_graphs(files)
    description = FILES.description()
    description["model"]["memory_frames"] = 5
    files.json.write_text(json.dumps(description))
    with pytest.raises(ValueError, match=r"config_hash .* write the graphs again with 'stif export'"):
        load_backend(files, backend)


def test_graph_under_the_name_of_another_precision_is_refused(tmp_path):
    files = ModelFiles("nano", tmp_path, "int8")
    files.json.write_bytes(FILES.json.read_bytes())
    copy_graphs(files)
    with pytest.raises(ValueError, match=r"has precision fp32, .* asks for int8"):
        load_backend(files, "onnxruntime:int8")


def test_graphs_for_several_crops_alone_are_refused(tmp_path):
    pytest.importorskip("torch")
    from stif_core.model.stif import load_weights
    from stif_core.runtime.export import export_onnx

    files = ModelFiles("nano", tmp_path)
    files.json.write_bytes(FILES.json.read_bytes())
    export_onnx(load_weights(FILES.config(), FILES.weights), files, batch=4)
    with pytest.raises(ValueError, match="takes 4 crops at a time, a tracker gives one"):
        load_backend(files, "onnxruntime")


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (4, 3), (64, 4)])
def test_a_core_is_left_to_others(monkeypatch, cores, threads):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(cores)))
    assert default_threads() == threads


@pytest.mark.parametrize("content", ["", "{}", '{"model": 3'])
def test_broken_json_is_one_clear_error(tmp_path, content):
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(ValueError, match=r"bad\.json"):
        ModelFiles("bad", tmp_path).description()


@pytest.mark.parametrize("separable", [False, True])
def test_export_writes_graphs_that_agree(tmp_path, separable):
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from stif_core.model.stif import Stif
    from stif_core.runtime.export import compare, export_onnx, random_crops

    files = ModelFiles("fresh", tmp_path)
    config = replace(NANO, separable=separable)
    files.json.write_text(json.dumps({"model": config.to_dict()}))
    network = Stif(config).eval()
    export_onnx(network, files)
    report = compare(network, load_backend(files, "onnxruntime"), random_crops(config))
    assert report.agrees, report
    import onnx

    enhance = onnx.load(files.enhance_onnx).graph
    assert [i.name for i in enhance.input] == ["memory"] and [o.name for o in enhance.output] == ["enhanced"]
    graph = onnx.load(files.track_onnx)
    assert [i.name for i in graph.graph.input] == ["image", "enhanced"]
    assert [o.name for o in graph.graph.output] == ["score", "box"]
    assert graph.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert {p.key: p.value for p in graph.metadata_props}["crop_size"] == "256"


def test_exported_graphs_of_a_network_that_reads_all_frames_agree(tmp_path):
    """STMTrack's read-out attends to every memory frame: its enhanced memory is the memory."""
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from stif_core.model.stif import Stif
    from stif_core.runtime.export import export_onnx
    from stif_core.runtime.torch_backend import TorchBackend

    config = replace(NANO, crop_size=128, ste=False, query_sde=False, interaction=False)
    files = ModelFiles("baseline", tmp_path)
    files.json.write_text(json.dumps({"model": config.to_dict()}))
    network = Stif(config).eval()
    export_onnx(network, files)
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 128, 128), dtype=np.uint8)
    memory = np.random.default_rng(1).normal(size=(1, 3, 96, 8, 8)).astype(np.float32)
    expected = TorchBackend(network)
    for name in ("onnxruntime", "openvino:fp32"):
        if importlib.util.find_spec(name.split(":")[0]) is None:
            continue
        backend = load_backend(files, name)
        np.testing.assert_array_equal(backend.enhance(memory), memory)
        for found, right in zip(backend.track(image, memory), expected.track(image, memory), strict=True):
            np.testing.assert_allclose(found, right, atol=1e-3)


def test_shipped_graphs_are_those_of_the_shipped_weights():
    """The safetensors file and the ONNX files must not drift apart."""
    pytest.importorskip("torch")
    image, foreground = inputs(seed=5)
    feature = load_backend(FILES, "onnxruntime").memorize(image, foreground)
    np.testing.assert_allclose(load_backend(FILES, "torch").memorize(image, foreground), feature, atol=2e-4)


def test_config_hash_tells_networks_apart_but_leaves_out_defaults():
    config = FILES.config()
    changed = replace(config, separable=not config.separable)
    assert config_hash(config) != config_hash(changed)
    assert config_hash(GOOGLENET) == "84faa07488d0e880"  # whatever switches come later
