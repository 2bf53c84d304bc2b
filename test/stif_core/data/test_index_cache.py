import json
import os
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stif_core.data.index_builder import IndexBuilder
from stif_core.data.index_cache import ARRAYS, OPTIONAL, cached_index, default_cache

BOX = [1.5, 2.0, 3.0, 4.0]


class Reader:
    """Counts how often it is asked."""

    def __init__(self, masks=None, absent=()):
        self.calls = 0
        self.masks = masks
        self.absent = absent

    def __call__(self, root, progress, **options):
        self.calls += 1
        progress()
        builder = IndexBuilder("counted", root / "images")
        builder.add_video(["a.jpg", "b.jpg"], {"0": ([0, 1], [BOX, BOX])}, "cat", self.masks, self.absent)
        return builder.build()


@pytest.fixture
def root(tmp_path):
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "list.txt").write_text("a b")
    return tmp_path / "data"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def assert_equal(one, other):
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b


@pytest.mark.parametrize(("masks", "absent"), [(None, ()), (["", "b.png"], [1])])
def test_second_time_the_data_set_is_not_read(root, cache, masks, absent):
    read = Reader(masks, absent)
    first = cached_index("counted", root, read, cache, watched=["list.txt"])
    second = cached_index("counted", root, read, cache, watched=["list.txt"])
    assert read.calls == 1
    assert_equal(first, second)
    assert_equal(Reader(masks, absent)(root, lambda: None), second)


def test_arrays_are_mapped_from_disk(root, cache):
    index = cached_index("counted", root, Reader(), cache)
    for name in set(ARRAYS) - set(OPTIONAL):
        array = getattr(index, name)
        assert not array.flags.writeable
        assert isinstance(array.base, np.memmap)


def test_options_and_names_are_kept_apart(root, cache):
    read = Reader()
    for options in ({}, {"split": "val"}, {"chunks": [0, 1]}, {}):
        cached_index("counted", root, read, cache, options)
    cached_index("other", root, read, cache)
    assert read.calls == 4


def test_same_folder_by_another_path_shares_the_copy(root, cache, tmp_path):
    (tmp_path / "link").symlink_to(root)
    read = Reader()
    cached_index("counted", root, read, cache, watched=["list.txt"])
    index = cached_index("counted", tmp_path / "link", read, cache, watched=["list.txt"])
    assert read.calls == 1
    assert index.path(0) == tmp_path / "link" / "images" / "a.jpg"


@pytest.mark.parametrize("change", ["list", "folder", "option"])
def test_data_set_that_has_changed_is_read_again(root, cache, tmp_path, change):
    (tmp_path / "exclude.txt").write_text("a")
    read = Reader()
    options = {"exclude": tmp_path / "exclude.txt"}
    cached_index("counted", root, read, cache, options, ["list.txt", "images"])
    path = {"list": root / "list.txt", "folder": root / "images", "option": tmp_path / "exclude.txt"}[change]
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))
    for _ in range(2):
        cached_index("counted", root, read, cache, options, ["list.txt", "images"])
    assert read.calls == 2
    assert len(list(cache.iterdir())) == 1  # the copy that is out of date is gone


def _only(cache):
    (folder,) = cache.iterdir()
    return folder


def _truncate(folder):
    os.truncate(folder / "boxes.npy", 140)


def _empty(folder):
    os.truncate(folder / "frames.npy", 0)


def _garbage(folder):
    (folder / "index.json").write_bytes(b"\xff\x00{")


def _no_description(folder):
    (folder / "index.json").unlink()


def _no_array(folder):
    (folder / "track_rows.npy").unlink()


def _forgotten_array(folder):
    content = json.loads((folder / "index.json").read_text())
    del content["arrays"]["boxes"]
    (folder / "index.json").write_text(json.dumps(content))


def _other_array(folder):
    np.save(folder / "row_frame.npy", np.zeros(7, np.int32))


def _pickled(folder):
    np.save(folder / "boxes.npy", np.array([{}], dtype=object), allow_pickle=True)


def _list(folder):
    (folder / "index.json").write_text("[1]")


@pytest.mark.parametrize(
    "damage",
    [_truncate, _empty, _garbage, _no_description, _no_array, _forgotten_array, _other_array, _pickled, _list],
)
def test_damaged_copy_is_rebuilt_with_a_warning(root, cache, capsys, damage):
    read = Reader()
    cached_index("counted", root, read, cache)
    damage(_only(cache))
    index = cached_index("counted", root, read, cache)
    assert read.calls == 2
    assert index.boxes.tolist() == [BOX, BOX]
    assert f"warning: the cached index {_only(cache)} is damaged" in capsys.readouterr().err
    cached_index("counted", root, read, cache)
    assert read.calls == 2
    assert capsys.readouterr().err == ""


def test_copy_in_an_older_format_is_replaced(root, cache, capsys):
    read = Reader()
    cached_index("counted", root, read, cache)
    content = json.loads((_only(cache) / "index.json").read_text())
    (_only(cache) / "index.json").write_text(json.dumps(content | {"format": 0}))
    cached_index("counted", root, read, cache)
    assert read.calls == 2
    assert capsys.readouterr().err == ""


def test_cache_that_cannot_be_written_leaves_the_index_in_memory(root, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    index = cached_index("counted", root, Reader(), tmp_path / "file" / "cache")
    assert index.boxes.tolist() == [BOX, BOX]
    assert "warning: cannot keep the index of counted in" in capsys.readouterr().err


def test_nothing_is_written_into_the_data_set(root, cache):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    cached_index("counted", root, Reader(), cache)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert [path.name for path in _only(cache).iterdir() if path.name.startswith(".")] == []


def test_error_of_the_reader_passes_through_and_leaves_nothing(root, cache):
    def read(root, progress):
        raise ValueError("expected the folder x")

    with pytest.raises(ValueError, match="expected the folder x"):
        cached_index("counted", root, read, cache)
    assert not cache.exists()


def test_progress_is_passed_on(root, cache):
    calls = []
    cached_index("counted", root, Reader(), cache, progress=lambda: calls.append(1))
    assert calls == [1]


def test_default_cache_follows_xdg(monkeypatch, root, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_cache() == tmp_path / ".cache" / "stif"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == tmp_path / ".cache" / "stif"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    cached_index("counted", root, Reader())
    assert (tmp_path / "xdg" / "stif").is_dir()


box = st.lists(st.floats(-1e6, 1e6, width=32), min_size=4, max_size=4)
name = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=8)


@settings(deadline=None, max_examples=20)
@given(tracks=st.lists(st.dictionaries(st.integers(0, 9), box), max_size=4), prefix=name, group=name)
def test_any_index_comes_back_as_it_was(tmp_path_factory, tracks, prefix, group):
    folder = tmp_path_factory.mktemp("any")

    def read(root, progress):
        builder = IndexBuilder("any", root)
        builder.add_video(["a.jpg"], {"0": ([0], [BOX])}, group)
        builder.add_video(
            [f"{prefix}{frame}.jpg" for frame in range(10)],
            {str(i): (sorted(boxes), [boxes[at] for at in sorted(boxes)]) for i, boxes in enumerate(tracks)},
        )
        return builder.build()

    cached_index("any", folder, read, folder / "cache")
    kept = cached_index("any", folder, lambda *_: pytest.fail("read again"), folder / "cache")
    assert_equal(kept, read(folder, None))
    assert kept.path(len(kept.frames) - 1) == read(folder, None).path(len(kept.frames) - 1)


def test_key_is_short_enough_for_a_folder_name(root, cache):
    cached_index("counted", root, Reader(), cache, {"text": "x" * 1000})
    assert len(_only(cache).name) < 40
