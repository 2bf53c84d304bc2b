"""The command ``stif build``, with real engines where TensorRT-RTX is installed."""

import importlib.util
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from stif_core.cli import app
from stif_core.runtime.engine.cache import LOCK
from stif_core.weights import find_model

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx_bindings") is None, reason="TensorRT-RTX is not installed"
)


def run(*arguments):
    return CliRunner().invoke(app, ["build", *map(str, arguments)])


def run_process(*arguments, path="", **options) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(path), *sys.path])}
    command = [sys.executable, "-m", "stif_core.cli", "build", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, **options)


@needs_rtx
def test_an_engine_of_each_graph_for_each_target_and_a_table(nano):
    done = run(nano.folder, "--target", "SM86,SM120")
    assert done.exit_code == 0, done.stderr
    names = sorted(path.name.rsplit(".", 2)[0] for path in nano.folder.glob("*.engine"))
    assert names == [
        "nano.enhance.SM120.fp32-b1",
        "nano.enhance.SM86.fp32-b1",
        "nano.memorize.SM120.fp32-b1",
        "nano.memorize.SM86.fp32-b1",
        "nano.track.SM120.fp32-b1",
        "nano.track.SM86.fp32-b1",
    ]
    for path in nano.folder.glob("*.engine"):
        assert path.name in done.stdout


@needs_rtx
def test_a_folder_s_precisions_are_all_built_or_those_that_are_named(nano):
    half = replace(nano, precision="fp16")
    for name, path in half.graphs.items():
        shutil.copy(replace(find_model("nano"), precision="fp16").graphs[name], path)
    assert run(nano.folder, "--target", "SM86", "--precision", "fp16").exit_code == 0
    built = [path.name for path in nano.folder.glob("*.engine")]
    assert len(built) == 3 and all(".fp16-b1." in name for name in built)
    assert run(nano.json, "--target", "SM86").exit_code == 0
    assert len(list(nano.folder.glob("*.engine"))) == 6


@needs_rtx
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "SM87"], "unknown target 'SM87'"),
        (["--target", "SM86", "--precision", "int8"], r"no ONNX file .*nano\.int8\.memorize\.onnx: write it with"),
        (["--target", "SM86", "--precision", "fp61"], "unknown precision 'fp61': use fp32, fp16, int8"),
        (["--target", "SM86", "--timing-cache", "cache"], "leave --timing-cache out"),
        (["--target", "SM75", "--batch", "2"], "for a batch of 1 alone"),
    ],
    ids=["target", "precision", "unknown-precision", "timing-cache", "batch"],
)
def test_wrong_options_are_one_line_and_exit_code_2(nano, arguments, message):
    done = run(nano.folder, *arguments)
    assert done.exit_code == 2
    assert re.search(message, done.stderr)
    assert not list(nano.folder.glob("*.engine"))


@needs_rtx
def test_without_a_gpu_it_says_how_to_build_for_one(nano):
    if shutil.which("nvidia-smi"):
        pytest.skip("this machine may have a GPU")
    done = run(nano.folder)
    assert done.exit_code == 2
    assert "--target SM75,SM80" in done.stderr or "cuda-python" in done.stderr


@needs_rtx
def test_tensorrt_with_a_target_says_that_it_cannot(nano, tmp_path):
    """A package `tensorrt` made of TensorRT-RTX without what it has more, on a machine without TensorRT-RTX."""
    fake = tmp_path / "packages"
    (fake / "tensorrt").mkdir(parents=True)
    (fake / "tensorrt/__init__.py").write_text(
        "from tensorrt_rtx_bindings import *\ndel ComputeCapability\n__version__ = '10.13.3'\n"
    )
    hide = "from stif_core.runtime.engine import library; library.MODULES['tensorrt_rtx'] = ('not_installed',)"
    (fake / "sitecustomize.py").write_text(f"try:\n    {hide}\nexcept ImportError:\n    pass\n")
    done = run_process(nano.folder, "--target", "SM86", path=fake)
    assert done.returncode == 2
    assert "--target needs TensorRT-RTX: tensorrt 10.13.3 builds on the device" in done.stderr


@needs_rtx
def test_disk_full_is_one_line_and_leaves_no_file(nano):
    limit = 1_000_000
    done = run_process(
        nano.folder,
        "--target",
        "SM86",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 2
    assert "File too large" in done.stderr and "Traceback" not in done.stderr
    assert not [path.name for path in nano.folder.iterdir() if "engine" in path.name and path.suffix != ".lock"]


@needs_rtx
def test_where_the_model_s_folder_takes_no_files_the_engines_go_to_the_user_s_cache(nano, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    (nano.folder / LOCK).mkdir()  # as in a read-only folder the lock cannot be opened, not even by root
    done = run(nano.folder, "--target", "SM86")
    assert done.exit_code == 0, done.stderr
    assert len(list((tmp_path / "home/stif").glob("nano.*.engine"))) == 3
    assert done.stdout.splitlines()[-1] == str(tmp_path / "home/stif")
    assert not list(nano.folder.glob("*.engine"))


@needs_rtx
def test_where_no_folder_takes_files_it_is_an_error(nano, tmp_path, monkeypatch):
    (tmp_path / "home").write_text("a file in place of the folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    (nano.folder / LOCK).mkdir()
    done = run(nano.folder, "--target", "SM86")
    assert done.exit_code == 2
    assert f"neither {nano.folder} nor {tmp_path / 'home/stif'} can be written" in done.stderr
    assert "nano.memorize.onnx has no place to stay" in done.stderr


@pytest.mark.parametrize("names", [[], ["a", "b"]], ids=["none", "two"])
def test_folder_must_hold_one_model(tmp_path, names):
    for name in names:
        (tmp_path / f"{name}.json").write_text(json.dumps({}))
        (tmp_path / f"{name}.track.onnx").write_bytes(b"")
    done = run(tmp_path, "--target", "SM86")
    assert done.exit_code == 2
    assert ("give one of a.json, b.json" if names else "holds no model: write one with 'stif export'") in done.stderr
