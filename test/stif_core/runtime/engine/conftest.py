"""Keys and engines for the tests of engine files."""

import shutil

import pytest

from stif_core.runtime.engine.engine_file import Engine, EngineKey, TensorSpec
from stif_core.weights import DEFAULT_MODEL, ModelFiles, find_model

SHIPPED = find_model(DEFAULT_MODEL)


@pytest.fixture
def key() -> EngineKey:
    return EngineKey("nano", "track", "ab" * 32, "tensorrt", "10.3.0", "SM87", "Orin", "fp16", 1)


@pytest.fixture
def engine(key) -> Engine:
    inputs = (TensorSpec("image", "uint8", (1, 3, 256, 256)),)
    return Engine(key, inputs, (TensorSpec("score", "float32", (1, 256)),), bytes(range(256)) * 40)


@pytest.fixture
def nano(tmp_path) -> ModelFiles:
    """The shipped graphs in a folder of their own."""
    files = ModelFiles("nano", tmp_path / "model")
    files.folder.mkdir()
    for name in ("json", "memorize_onnx", "enhance_onnx", "track_onnx"):
        shutil.copy(getattr(SHIPPED, name), getattr(files, name))
    return files
