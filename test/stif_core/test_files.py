import multiprocessing
import os
import resource

import pytest

from stif_core.files import write_whole


def test_parts_stand_in_order_and_nothing_is_left_beside(tmp_path):
    for alone in (False, True):
        write_whole(tmp_path / "a", b"one ", b"two", alone=alone)
        assert (tmp_path / "a").read_bytes() == b"one two"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("alone", [False, True])
def test_a_full_disk_leaves_what_stood_there(tmp_path, alone):
    write_whole(tmp_path / "a", b"old")

    def child():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        with pytest.raises(OSError, match="File too large"):
            write_whole(tmp_path / "a", b"new" * 5000, alone=alone)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(20)
    assert process.exitcode == 0
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def test_what_a_killed_writer_left_is_written_over_by_the_next_one(tmp_path):
    (tmp_path / ".a.partial").write_bytes(b"half")
    write_whole(tmp_path / "a", b"whole", alone=True)
    assert os.listdir(tmp_path) == ["a"]
