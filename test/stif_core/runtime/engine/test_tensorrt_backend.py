"""The backend on a simulated GPU (see simulated_gpu.py); on a real one where there is one."""

import gc

import numpy as np
import pytest
from simulated_gpu import SimulatedCuda, simulated_engine, simulated_library

from stif_core.runtime import tensorrt_backend
from stif_core.runtime.engine.function import EngineFunction
from stif_core.runtime.onnx_backend import OnnxBackend
from stif_core.runtime.tensorrt_backend import load_tensorrt_backend


@pytest.fixture(autouse=True)
def user_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def cuda(monkeypatch):
    return install(monkeypatch, SimulatedCuda())


def install(monkeypatch, cuda, **options):
    library = simulated_library(cuda, **options)
    monkeypatch.setattr(tensorrt_backend, "find_library", lambda: library)
    monkeypatch.setattr(tensorrt_backend, "load_cuda", lambda: cuda)

    def build(library, graph, target, build_options, progress):
        for share in (0.05, 0.5, 1.0):
            progress(share)
        key = tensorrt_backend.engine_key(library, graph, target, build_options.batch)
        return simulated_engine(key, graph.path.read_bytes())

    monkeypatch.setattr(tensorrt_backend, "build_engine", build)
    return cuda


def crops(batch: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (batch, 3, 256, 256), dtype=np.uint8)
    foreground = np.zeros((batch, 1, 256, 256), np.uint8)
    foreground[:, :, 96:160, 96:160] = 1
    return image, foreground


@pytest.mark.parametrize("records", [True, False], ids=["graph", "no-graph"])
def test_it_gives_what_onnxruntime_gives(nano, monkeypatch, records):
    cuda = install(monkeypatch, SimulatedCuda(records=records))
    log = []
    backend = load_tensorrt_backend(nano, log.append)
    assert any("no CUDA graph" in line for line in log) != records
    assert (backend.name, backend.precision) == ("tensorrt", "fp32")
    reference = OnnxBackend(nano, 1)
    for seed in range(3):  # the buffers are used again: nothing of the last call may remain
        image, foreground = crops(1, seed)
        feature = backend.memorize(image, foreground)
        np.testing.assert_allclose(feature, reference.memorize(image, foreground), atol=1e-4)
        memory = np.repeat(feature[:, None], 3, axis=1)
        enhanced = reference.enhance(memory)
        np.testing.assert_allclose(backend.enhance(memory), enhanced, atol=1e-4)
        for found, expected in zip(backend.track(image, enhanced), reference.track(image, enhanced), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-3)
            assert found.dtype == np.float32
    assert cuda.calls["launch"] == (9 if records else 0)


@pytest.mark.parametrize("batch", [1, 2])
def test_any_number_of_crops_runs_in_pieces_of_the_engine_s_batch(nano, monkeypatch, batch):
    install(monkeypatch, SimulatedCuda(), batch=batch)
    backend = load_tensorrt_backend(nano, print, batch)
    image, foreground = crops(3)
    reference = OnnxBackend(nano, 1)
    feature = backend.memorize(image, foreground)
    np.testing.assert_allclose(feature, reference.memorize(image, foreground), atol=1e-4)
    memory = np.repeat(feature[:, None], 3, axis=1)
    enhanced = reference.enhance(memory)
    np.testing.assert_allclose(backend.enhance(memory), enhanced, atol=1e-4)
    for found, expected in zip(backend.track(image, enhanced), reference.track(image, enhanced), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_enhanced_memory_is_uploaded_only_when_it_changes(nano, cuda):
    backend = load_tensorrt_backend(nano, print)
    enhanced = np.random.default_rng(0).normal(size=(1, 1, 96, 16, 16)).astype(np.float32)
    image, _ = crops(1)
    backend.track(image, enhanced)
    cuda.calls.clear()
    first = backend.track(image, enhanced)
    assert cuda.calls == {"launch": 1, "upload": 1, "execute": 1, "download": 2}
    second = backend.track(image, enhanced * 1.5)
    assert cuda.calls["upload"] == 3
    assert np.abs(second[0] - first[0]).max() > 0


def test_results_are_not_overwritten_by_the_next_call(nano, cuda):
    backend = load_tensorrt_backend(nano, print)
    first = backend.memorize(*crops(1, seed=1))
    kept = first.copy()
    backend.memorize(*crops(1, seed=2))
    np.testing.assert_array_equal(first, kept)


def test_engines_are_built_once_with_progress_in_the_log(nano, cuda):
    log = []
    load_tensorrt_backend(nano, log.append)
    assert log[0] == "tensorrt 10.13.3 on Simulated GPU (SM86), fp32"
    assert log[1] == "building the TensorRT engine nano.memorize for Simulated GPU"
    assert log[2:4] == [
        "building the TensorRT engine nano.memorize: 50%",
        "building the TensorRT engine nano.memorize: 100%",
    ]
    assert len(list(nano.folder.glob("*.engine"))) == 3
    log.clear()
    load_tensorrt_backend(nano, log.append)
    assert log == ["tensorrt 10.13.3 on Simulated GPU (SM86), fp32"]


def test_an_engine_that_tensorrt_refuses_is_built_again_once(nano, monkeypatch):
    install(monkeypatch, SimulatedCuda(), refused=1)
    log = []
    assert load_tensorrt_backend(nano, log.append).name == "tensorrt"
    assert sum("does not load its engine" in line for line in log) == 1
    install(monkeypatch, SimulatedCuda(), refused=99)
    with pytest.raises(ValueError, match="does not load its engine nano"):
        load_tensorrt_backend(nano, log.append)


def test_engine_with_other_tensors_than_its_header_is_refused(nano, cuda, monkeypatch):
    real = EngineFunction.__init__

    def other_header(self, library, cuda, engine, *rest, **named):
        object.__setattr__(engine, "outputs", engine.outputs[:1] + engine.inputs[:1])
        real(self, library, cuda, engine, *rest, **named)

    monkeypatch.setattr(EngineFunction, "__init__", other_header)
    with pytest.raises(ValueError, match="its header says"):
        load_tensorrt_backend(nano, print)


def test_wrong_shapes_are_an_error(nano, cuda):
    backend = load_tensorrt_backend(nano, print)
    image, _ = crops(1)
    with pytest.raises(
        ValueError, match=r"track takes 'enhanced' of shape \(B, 1, 96, 16, 16\), got \(1, 3, 96, 16, 16"
    ):
        backend.track(image, np.zeros((1, 3, 96, 16, 16), np.float32))


def test_gpu_memory_is_freed_with_the_backend(nano, cuda):
    backend = load_tensorrt_backend(nano, print)
    assert len(cuda.memory) == 18  # nine tensors, each on both sides
    del backend
    gc.collect()
    assert not cuda.memory


def test_gpu_errors_while_loading_are_one_line(nano, cuda, monkeypatch):
    monkeypatch.setattr(cuda, "cudaMalloc", lambda size: (2, None), raising=False)
    with pytest.raises(ValueError, match=r"cannot run 'nano' on the Simulated GPU: CUDA error 2: simulated error 2"):
        load_tensorrt_backend(nano, print)


def test_no_device_is_a_clear_error(nano, monkeypatch):
    install(monkeypatch, SimulatedCuda(count=0))
    with pytest.raises(ValueError, match="needs an NVIDIA GPU"):
        load_tensorrt_backend(nano, print)


@pytest.mark.gpu
def test_a_real_gpu_gives_what_onnxruntime_gives(nano):
    try:
        backend = load_tensorrt_backend(nano, print)
    except ValueError as error:
        pytest.skip(str(error))
    image, foreground = crops(1)
    reference = OnnxBackend(nano, 1)
    expected = reference.memorize(image, foreground)
    feature = backend.memorize(image, foreground)
    np.testing.assert_allclose(feature, expected, atol=0.02 * np.abs(expected).max())  # TF32
    enhanced = reference.enhance(np.repeat(expected[:, None], 3, axis=1))
    found = backend.enhance(np.repeat(expected[:, None], 3, axis=1))
    np.testing.assert_allclose(found, enhanced, atol=0.02 * np.abs(enhanced).max())
    score, box = backend.track(image, enhanced)
    expected_score, expected_box = reference.track(image, enhanced)
    np.testing.assert_allclose(score, expected_score, atol=0.02)
    best = expected_score.argmax()
    np.testing.assert_allclose(box[0, best], expected_box[0, best], atol=1.0)
