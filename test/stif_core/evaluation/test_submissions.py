import math
import zipfile

import numpy as np
import pytest

from stif_core.evaluation.datasets import Dataset
from stif_core.evaluation.sequences import Sequence
from stif_core.evaluation.submissions import Submitted, write_submission


def dataset(name, *sequences):
    return Dataset(
        name, "got10k", [Sequence(each, [None] * 3, np.array([[10.0, 20, 30, 40]]), origin=1.0) for each in sequences]
    )


def result(x=10.0):
    return Submitted([[x, 20, 30, 40], [math.nan] * 4, [x + 1.23456, 20, 30, 40]], [0.5, 0.25, 0.125])


def test_got10k_zip_has_a_folder_a_sequence_and_boxes_that_count_from_one(tmp_path):
    data = dataset("got10k-test", "GOT-10k_Test_000001", "GOT-10k_Test_000002")
    results = {sequence.name: result() for sequence in data.sequences}
    write_submission(data, results, tmp_path / "new" / "stif.zip")
    with zipfile.ZipFile(tmp_path / "new" / "stif.zip") as archive:
        assert archive.namelist() == [
            "GOT-10k_Test_000001/GOT-10k_Test_000001_001.txt",
            "GOT-10k_Test_000001/GOT-10k_Test_000001_time.txt",
            "GOT-10k_Test_000002/GOT-10k_Test_000002_001.txt",
            "GOT-10k_Test_000002/GOT-10k_Test_000002_time.txt",
        ]
        boxes = archive.read("GOT-10k_Test_000001/GOT-10k_Test_000001_001.txt").decode()
        assert boxes == (
            "11.0000,21.0000,30.0000,40.0000\n11.0000,21.0000,30.0000,40.0000\n12.2346,21.0000,30.0000,40.0000\n"
        )
        times = archive.read("GOT-10k_Test_000001/GOT-10k_Test_000001_time.txt").decode()
        assert times.split() == ["0.50000000", "0.25000000", "0.12500000"]


def test_trackingnet_zip_has_a_file_a_sequence(tmp_path):
    data = dataset("trackingnet", "-3TIfnTSM6c_2")
    write_submission(data, {"-3TIfnTSM6c_2": result()}, tmp_path / "stif.zip")
    with zipfile.ZipFile(tmp_path / "stif.zip") as archive:
        assert archive.namelist() == ["-3TIfnTSM6c_2.txt"]
        assert archive.read("-3TIfnTSM6c_2.txt").decode().splitlines()[0] == "11.0000,21.0000,30.0000,40.0000"


def test_the_same_results_give_the_same_zip_to_the_byte(tmp_path):
    data = dataset("trackingnet", "a", "b")
    for path in ("one.zip", "two.zip"):
        write_submission(data, {"b": result(5), "a": result()}, tmp_path / path)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_missing_and_short_results_are_named(tmp_path):
    data = dataset("trackingnet", "a", "b")
    with pytest.raises(ValueError, match="no result of b: the server wants all 2 sequences"):
        write_submission(data, {"a": result()}, tmp_path / "stif.zip")
    short = Submitted(np.ones((2, 4)), [0.1, 0.1])
    with pytest.raises(ValueError, match=r"b has 3 frames, but its result has boxes \(2, 4\) and seconds \(2,\)"):
        write_submission(data, {"a": result(), "b": short}, tmp_path / "stif.zip")
    with pytest.raises(ValueError, match="lasot has no evaluation server"):
        write_submission(dataset("lasot", "a"), {"a": result()}, tmp_path / "stif.zip")
    assert not (tmp_path / "stif.zip").exists()
