"""What `pip install .` brings, and that the version is the same everywhere."""

import importlib.util
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

import stif_core
from stif_core import weights

ROOT = Path(__file__).resolve().parents[1]


def test_package_xml_has_the_version_of_the_core():
    assert ElementTree.parse(ROOT / "package.xml").findtext("version") == stif_core.__version__


def test_weights_of_the_default_model_are_found():
    files = weights.find_model(weights.DEFAULT_MODEL)
    for path in (files.json, files.weights, *files.graphs.values()):
        assert path.stat().st_size > 0, path


@pytest.mark.slow
def test_wheel_holds_the_core_with_weights_and_nothing_else(tmp_path):
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("setuptools is not installed")
    source = tmp_path / "source"  # setuptools builds in place: not into colcon's build/
    shutil.copytree(ROOT / "stif_core", source / "stif_core", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "msg", source / "msg")
    for name in ("test", "stif_ros"):
        (source / name).mkdir()
        (source / name / "__init__.py").touch()
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, source)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith("dist-info/METADATA"))).decode()
        entry_points = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()

    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"stif_core"}
    shipped = {
        path.name for path in weights.SHIPPED.iterdir() if path.suffix in (".json", ".onnx", ".safetensors", ".md")
    }
    assert shipped == {Path(name).name for name in names if name.startswith("stif_core/weights/")} - {"__init__.py"}
    definitions = {name for name in names if name.endswith(".msg")}
    assert definitions == {f"stif_core/bags/msg/{path.name}" for path in (ROOT / "msg").iterdir()}
    assert f"Version: {stif_core.__version__}\n" in metadata
    assert "stif = stif_core.cli:main" in entry_points
    required = re.findall(r"^Requires-Dist: ([\w-]+)(?!.*extra ==)", metadata, re.MULTILINE)
    assert "numpy" in required
    assert "torch" not in required


def test_command_line_needs_neither_torch_nor_ros():
    code = (
        "import sys; sys.modules.update(torch=None, rclpy=None);"
        "sys.argv = ['stif', '--help']; from stif_core.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "track" in done.stdout
