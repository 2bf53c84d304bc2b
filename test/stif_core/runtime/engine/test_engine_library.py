"""How the versions of TensorRT differ; the stand-ins have the names that the real bindings of each version have."""

import sys
from enum import IntEnum
from types import SimpleNamespace

import pytest

from stif_core.runtime.engine.cuda import Gpu, current_gpu, load_cuda
from stif_core.runtime.engine.library import MODULES, PhaseTree, TensorRt, find_library
from stif_core.runtime.engine.targets import Target, parse_targets, target_of


class Flags8(IntEnum):
    EXPLICIT_BATCH = 0
    EXPLICIT_PRECISION = 1


class Flags10(IntEnum):
    EXPLICIT_BATCH = 0
    STRONGLY_TYPED = 1


class Flags11(IntEnum):
    STRONGLY_TYPED = 1


class BuilderFlag(IntEnum):
    FP16 = 0
    INT8 = 1
    PREFER_PRECISION_CONSTRAINTS = 2


class Capability(IntEnum):
    NONE = 0
    CURRENT = 1
    SM120 = 120
    SM75 = 75
    SM86 = 86


def library(version: str, flags, flavour="tensorrt", **more) -> TensorRt:
    module = SimpleNamespace(NetworkDefinitionCreationFlag=flags, **more)
    return TensorRt(module, flavour, version, logger=None)


@pytest.mark.parametrize(
    ("version", "flags", "expected"),
    [("8.6.1", Flags8, 0b01), ("10.3.0", Flags10, 0b10), ("10.13.3.9", Flags10, 0b10), ("11.4.0.106", Flags11, 0b10)],
)
def test_networks_are_strongly_typed_wherever_the_version_can(version, flags, expected):
    builder = SimpleNamespace(create_network=lambda value: value)
    assert library(version, flags).create_network(builder) == expected


def test_tensorrt_8_keeps_fp32_layers_of_an_fp16_graph():
    types = SimpleNamespace(FLOAT="float", HALF="half")
    layers = [
        SimpleNamespace(num_outputs=1, get_output=lambda _, t=t: SimpleNamespace(dtype=t), precision=None)
        for t in ("half", "float")
    ]
    network = SimpleNamespace(num_layers=2, get_layer=layers.__getitem__)
    for precision, expected in (("fp32", []), ("int8", [1]), ("fp16", [0, 2])):
        set_flags = []
        config = SimpleNamespace(set_flag=set_flags.append)
        eight = library("8.6.1", Flags8, BuilderFlag=BuilderFlag, DataType=types)
        eight.allow_precision(network, config, precision)
        assert set_flags == expected
        # From 10 on the graph decides, and 11 has none of these flags.
        library("11.4.0", Flags11).allow_precision(network, config, precision)
        assert set_flags == expected
    assert [layer.precision for layer in layers] == [None, "float"]


def test_versions_without_progress_build_silently():
    config = SimpleNamespace()
    library("8.6.1", Flags8).report_progress(config, print)
    assert not vars(config)


def test_progress_of_nested_phases_never_goes_back():
    shares = []
    tree = PhaseTree(shares.append)
    tree.start("engine", None, 2)
    tree.start("graph", "engine", 4)
    for step in range(4):
        tree.step("graph", step)
    tree.finish("graph")
    tree.step("engine", 0)
    tree.start("tactics", "engine", 2)
    tree.step("tactics", 0)
    tree.finish("tactics")
    tree.step("engine", 1)
    tree.finish("engine")
    tree.step("engine", 1)  # after the end: ignored
    assert shares == [0.125, 0.25, 0.375, 0.5, 0.75, 1.0]


def test_targets_come_from_the_library_in_order():
    rtx = library("1.7", Flags11, "tensorrt_rtx", ComputeCapability=Capability)
    assert rtx.targets == ("SM75", "SM86", "SM120")
    assert parse_targets("sm86, SM120,SM86", rtx) == [Target("SM86"), Target("SM120")]
    for text in ("SM87", "86", ","):
        with pytest.raises(ValueError, match=r"builds for SM75, SM86, SM120; other GPUs, Jetson among them"):
            parse_targets(text, rtx)


def test_tensorrt_builds_for_the_gpu_at_hand_only():
    orin = Gpu("Orin", "SM87")
    ten = library("10.3.0", Flags10)
    assert target_of(orin, ten) == Target("SM87", "Orin")
    with pytest.raises(ValueError, match=r"--target needs TensorRT-RTX: tensorrt 10\.3\.0 builds on the device"):
        parse_targets("SM87", ten)


def test_tensorrt_rtx_engines_are_for_every_gpu_of_a_capability():
    rtx = library("1.7", Flags11, "tensorrt_rtx", ComputeCapability=Capability)
    assert target_of(Gpu("GeForce RTX 3060", "SM86"), rtx) == Target("SM86")
    with pytest.raises(ValueError, match=r"does not support the Orin \(SM87\).*install tensorrt"):
        target_of(Gpu("Orin", "SM87"), rtx)


def test_missing_and_broken_packages_are_clear_errors(tmp_path, monkeypatch):
    monkeypatch.setitem(MODULES, "tensorrt", ("tensorrt_of_no_machine",))
    monkeypatch.setitem(MODULES, "tensorrt_rtx", ("tensorrt_of_no_machine",))
    with pytest.raises(ValueError, match=r"TensorRT is not installed.*python3-libnvinfer.*tensorrt-rtx-cu12-libs"):
        find_library()
    (tmp_path / "tensorrt_broken.py").write_text("raise ImportError('libnvinfer.so.10: cannot open shared object')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(MODULES, "tensorrt", ("tensorrt_broken",))
    with pytest.raises(ValueError, match=r"tensorrt_broken is installed but cannot be loaded: libnvinfer\.so\.10"):
        find_library()


def test_cuda_python_missing_is_a_clear_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    with pytest.raises(ValueError, match="needs the package cuda-python"):
        load_cuda()


def test_a_machine_without_gpu_says_so():
    pytest.importorskip("cuda.bindings.runtime")
    cuda = load_cuda()
    try:
        error, count = cuda.cudaGetDeviceCount()
    except RuntimeError:
        error, count = 35, 0
    if int(error) == 0 and count:
        assert current_gpu(cuda).target.startswith("SM")
        return
    with pytest.raises(ValueError, match="needs an NVIDIA GPU with its driver, and found none"):
        current_gpu(cuda)
