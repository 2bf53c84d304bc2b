"""Result files: what is written is read again, and what does not belong together is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stif_core.evaluation.results import TrackerResults, find_results, write_text
from stif_core.evaluation.run import Track
from stif_core.evaluation.sequences import Sequence

BOXES = np.array([[1.0, 2.25, 30.0, 40.5], [1.5, 2.0, 31.123456789, 40.0], [np.nan] * 4])
TRACK = Track(BOXES, [0.01, 0.02], 0.5, np.array([1.0, 0.75, np.nan]), ["TRACKING", "UNCERTAIN", "LOST"])


def sequence(tmp_path, name="walk", boxes=BOXES):
    return Sequence(name, [tmp_path / f"{i}.jpg" for i in range(len(boxes))], np.array(boxes))


def test_a_track_is_read_as_it_was_written(tmp_path):
    results = TrackerResults(tmp_path / "stif")
    results.write(sequence(tmp_path), TRACK)
    track = results.read(sequence(tmp_path))
    np.testing.assert_allclose(track.boxes, BOXES, atol=1e-8)
    assert (track.initial_seconds, track.seconds) == (0.5, [0.01, 0.02])
    np.testing.assert_array_equal(track.confidence, TRACK.confidence)
    assert track.states == TRACK.states


@given(
    hnp.arrays(
        np.float64, st.tuples(st.integers(1, 5), st.just(4)), elements=st.one_of(st.floats(-1e4, 1e4), st.just(np.nan))
    )
)
def test_boxes_keep_ten_digits(tmp_path_factory, boxes):
    boxes[0] = [1, 2, 3, 4]
    folder = tmp_path_factory.mktemp("digits")
    results = TrackerResults(folder)
    walk = sequence(folder, boxes=boxes)
    results.write(walk, Track(boxes, [0.1] * (len(boxes) - 1)))
    read = results.read(walk)
    np.testing.assert_allclose(read.boxes, boxes, rtol=1e-9)
    assert read.confidence is None and read.states is None


def test_files_are_those_of_the_community(tmp_path):
    results = TrackerResults(tmp_path / "stif")
    results.write(sequence(tmp_path), TRACK)
    assert (tmp_path / "stif/walk.txt").read_text().splitlines()[:2] == ["1,2.25,30,40.5", "1.5,2,31.12345679,40"]
    assert (tmp_path / "stif/times/walk_time.txt").read_text() == "0.500000\n0.010000\n0.020000\n"
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.txt")}
    assert written == {
        "stif/walk.txt",
        "stif/times/walk_time.txt",
        "stif/confidence/walk_confidence.txt",
        "stif/states/walk_state.txt",
    }


def test_boxes_stand_in_the_coordinates_of_the_data_set(tmp_path):
    """OTB's files count from 1, and so do the result files that its toolkit reads."""
    walk = replace(sequence(tmp_path), origin=1.0)
    results = TrackerResults(tmp_path)
    results.write(walk, TRACK)
    assert results.box_file("walk").read_text().startswith("2,3.25,30,40.5\n")
    np.testing.assert_allclose(results.read(walk).boxes, BOXES, atol=1e-8)


def test_without_the_boxes_a_sequence_is_not_finished(tmp_path):
    results = TrackerResults(tmp_path)
    results.write(sequence(tmp_path), TRACK)
    assert results.finished("walk")
    results.box_file("walk").unlink()
    assert not results.finished("walk")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("1,2.25,30,40.5\n", "holds 1 boxes, but the sequence has 3 images"),
        ("9,9,30,40\n1,2,3,4\n1,2,3,4\n", "these are results of something else"),
        ("1,2.25,30\n", "line 1: expected x,y,w,h"),
    ],
)
def test_boxes_of_another_sequence_are_refused(tmp_path, content, reason):
    (tmp_path / "walk.txt").write_text(content)
    with pytest.raises(ValueError, match=reason):
        TrackerResults(tmp_path).read(sequence(tmp_path))


def test_times_of_another_length_are_refused(tmp_path):
    results = TrackerResults(tmp_path)
    results.write(sequence(tmp_path), TRACK)
    results.time_file("walk").write_text("0.1\n")
    with pytest.raises(ValueError, match=r"walk_time.txt holds 1 numbers, but the sequence has 3 images"):
        results.read(sequence(tmp_path))


def test_results_of_others_need_boxes_alone(tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "walk.txt").write_text("1\t2.25\t30\t40.5\n1\t2\t3\t4\nnan\tnan\tnan\tnan\n")
    (found,) = find_results([tmp_path]).values()
    track = found.read(sequence(tmp_path))
    assert track.boxes[1].tolist() == [1, 2, 3, 4]
    assert np.isnan(track.seconds).all()
    assert found.description() == {}


def test_trackers_of_one_name_are_told_apart_by_the_folder_above(tmp_path):
    for run in ("before", "after"):
        for name in ("stif", "kcf") if run == "before" else ("stif",):
            TrackerResults(tmp_path / run / name).write_description({"run": run})
    found = find_results([tmp_path / "before", tmp_path / "after" / "stif"])
    assert list(found) == ["kcf", "before/stif", "after/stif"]
    assert found["after/stif"].description() == {"run": "after"}


def test_folders_without_results_or_given_twice_are_named(tmp_path):
    with pytest.raises(ValueError, match="no results in"):
        find_results([tmp_path])
    TrackerResults(tmp_path / "stif").write_description({})
    with pytest.raises(ValueError, match="given twice"):
        find_results([tmp_path, tmp_path / "stif"])


def test_a_broken_description_is_named(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({})[:-1])
    with pytest.raises(ValueError, match=r"run\.json is not valid JSON"):
        TrackerResults(tmp_path).description()
