import pytest

from stif_core.runtime import processor
from stif_core.runtime.processor import Processor


@pytest.mark.parametrize(
    ("maker", "flags", "slow", "int8"),
    [
        ("GenuineIntel", "avx512_bf16 avx512_vnni", True, True),
        ("GenuineIntel", "avx512_bf16 avx512_vnni amx_bf16 amx_int8", False, False),
        ("GenuineIntel", "avx512_vnni", False, True),
        ("GenuineIntel", "avx2 avx_vnni", False, True),
        ("AuthenticAMD", "avx512_bf16 avx512_vnni", False, False),
        ("AuthenticAMD", "avx2", False, False),
        ("", "", False, False),
    ],
)
def test_what_is_fast_and_slow(tmp_path, monkeypatch, maker, flags, slow, int8):
    text = f"processor\t: 0\nvendor_id\t: {maker}\nflags\t\t: fpu {flags}\nvmx flags\t: avx_vnni_of_no_use\n"
    (tmp_path / "cpuinfo").write_text(text * 2)
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "cpuinfo")
    here = Processor.here()
    assert here.maker == maker
    assert here.flags == {"fpu", *flags.split()}
    assert (here.bf16_is_slow, here.int8_is_fastest) == (slow, int8)


def test_nothing_is_known_without_linux(tmp_path, monkeypatch):
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "none")
    assert Processor.here() == Processor()
