from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stif_core.runtime.engine.engine_file import BadEngineFileError, read_engine, write_engine


def test_an_engine_comes_back_as_it_was_written(tmp_path, engine):
    path = tmp_path / engine.key.file_name
    write_engine(engine, path)
    assert read_engine(path, engine.key) == engine
    assert [p.name for p in tmp_path.iterdir()] == [engine.key.file_name]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an engine file"),
        (b"\x7fELF" * 500, "not an engine file"),
        (b"STIF-TRT", "not an engine file"),
        (b"STIF-TRT" + b"\xff" * 100, "has format"),
    ],
    ids=["empty", "random", "magic-alone", "other-format"],
)
def test_files_that_are_no_engine_are_refused(tmp_path, key, content, message):
    path = tmp_path / "some.engine"
    path.write_bytes(content)
    with pytest.raises(BadEngineFileError, match=message):
        read_engine(path, key)


def test_a_folder_in_place_of_the_file_is_refused(tmp_path, key):
    with pytest.raises(BadEngineFileError, match="cannot be read"):
        read_engine(tmp_path, key)


def test_missing_file_is_told_apart(tmp_path, key):
    with pytest.raises(FileNotFoundError):
        read_engine(tmp_path / "no.engine", key)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_truncation_or_changed_byte_is_refused(tmp_path, engine, data):
    path = tmp_path / "some.engine"
    write_engine(engine, path)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(content))
    with pytest.raises(BadEngineFileError):
        read_engine(path, engine.key)


def test_every_byte_before_the_json_is_checked(tmp_path, engine):
    path = tmp_path / "some.engine"
    write_engine(engine, path)
    whole = path.read_bytes()
    for i in range(whole.index(b"{")):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        with pytest.raises(BadEngineFileError):
            read_engine(path, engine.key)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", "10.13.3"),
        ("flavour", "tensorrt_rtx"),
        ("gpu", "AGX Orin"),
        ("target", "SM86"),
        ("model_sha256", "cd" * 32),
        ("precision", "int8"),
        ("batch", 4),
        ("graph", "memorize"),
    ],
)
def test_engine_for_something_else_is_refused_and_says_what(tmp_path, engine, field, value):
    other = replace(engine.key, **{field: value})
    assert other.file_name != engine.key.file_name
    path = tmp_path / other.file_name  # renamed by hand: the header still tells
    write_engine(engine, path)
    with pytest.raises(
        BadEngineFileError, match=f"built for {field} '{getattr(engine.key, field)}', this is '{value}'"
    ):
        read_engine(path, other)


def test_writing_onto_a_folder_leaves_nothing_half(tmp_path, engine):
    path = tmp_path / "some.engine"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_engine(engine, path)
    assert [p.name for p in tmp_path.iterdir()] == ["some.engine"]
