import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from stif_core.evaluation.run import evaluate, make_tracker
from stif_core.evaluation.sequences import Sequence, read_boxes, read_sequence, read_sequences
from stif_core.evaluation.validation import read_clip, read_validation_runs, runs_from_several_starts


def write_images(folder, count, size=(40, 60)):
    folder.mkdir(parents=True)
    for i in range(count):
        cv2.imwrite(str(folder / f"{i + 1}.jpg"), np.full((*size, 3), 10 * i, np.uint8))


def test_images_are_ordered_by_their_numbers(tmp_path):
    write_images(tmp_path / "img", 11)
    (tmp_path / "groundtruth.txt").write_text("1,2,3,4\n" * 11)
    sequence = read_sequence(tmp_path)
    assert [path.stem for path in sequence.images] == [str(i) for i in range(1, 12)]
    assert sequence.truth.shape == (11, 4)


def test_boxes_may_be_separated_by_commas_tabs_or_blanks(tmp_path):
    (tmp_path / "b.txt").write_text("1,2,3,4\n5\t6\t7\t8\n9 10  11 12\nnan,nan,nan,nan\n")
    boxes = read_boxes(tmp_path / "b.txt")
    assert boxes[:3].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]
    assert np.isnan(boxes[3]).all()


def test_broken_sequences_are_named(tmp_path):
    with pytest.raises(ValueError, match="no sequences in"):
        read_sequences(tmp_path)
    write_images(tmp_path / "a" / "img", 2)
    (tmp_path / "a" / "groundtruth.txt").write_text("1,2,3,4\n1,2,3\n")
    with pytest.raises(ValueError, match=r"groundtruth\.txt line 2: expected x,y,w,h, got '1,2,3'"):
        read_sequences(tmp_path)
    (tmp_path / "a" / "groundtruth.txt").write_text("1,2,3,4\n")
    with pytest.raises(ValueError, match="2 images but 1 boxes"):
        read_sequences(tmp_path)


def test_validation_clip_follows_the_longest_track_over_images_of_one_size(tmp_path):
    clip = tmp_path / "source" / "clip"
    write_images(clip / "img", 3)
    cv2.imwrite(str(clip / "img" / "2.jpg"), np.zeros((50, 30, 3), np.uint8))
    records = [{"a": [1, 1, 9, 9]}, {"b": [2, 2, 8, 8], "a": [3, 3, 9, 9]}, {"b": [2, 2, 8, 8], "a": [1, 1, 9, 9]}]
    lines = [json.dumps({"frame": f"img/{i + 1}.jpg", "boxes": boxes}) for i, boxes in enumerate(records)]
    (clip / "tracks.jsonl").write_text("\n".join(lines))
    sequence = read_clip(clip)
    assert sequence.name == "source/clip"
    assert sequence.truth[:, 0].tolist() == [1, 3, 1]
    assert {image.shape for image in sequence.frames()} == {(50, 60, 3)}


def test_validation_runs_start_where_the_target_is_seen_and_go_both_ways():
    truth = np.arange(30)[:, None] * [1.0, 0, 0, 0] + [0, 0, 5, 5]
    truth[[4, 5, 6]] = np.nan
    images = [Path(f"{i}.jpg") for i in range(30)]
    runs = runs_from_several_starts(Sequence("source/clip", images, truth))
    # Every fifth frame; at 5 and 6 there is no target; from 25 on too few frames are left. Backwards 20 is frame 9.
    assert [run.name for run in runs] == [
        *("source_clip_0000", "source_clip_0007", "source_clip_0010", "source_clip_0015", "source_clip_0020"),
        *(f"source_clip_reversed_{start:04d}" for start in (0, 5, 10, 15, 20)),
    ]
    for run in runs:
        order = np.array([int(path.stem) for path in run.images])
        assert order[-1] == (0 if "reversed" in run.name else 29)
        assert np.isfinite(run.truth[0]).all()
        np.testing.assert_array_equal(run.truth, truth[order])


def test_validation_without_its_list_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"no list of validation clips config/train/validation_clips\.txt"):
        read_validation_runs(tmp_path)


def test_unknown_tracker_names_those_there_are():
    with pytest.raises(ValueError, match="use stif, stif-initial, stif-off, csrt, kcf, mil"):
        make_tracker("sort", "nano", "auto", 0)


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(cv2, "TrackerCSRT_create"), reason="this OpenCV has no CSRT: opencv-contrib is not installed"
)
def test_shipped_weights_beat_csrt_on_a_real_sequence(shared_data):
    sequences = [read_sequence(shared_data / "sequences" / "OTB_Crossing")]
    ours = evaluate("stif", make_tracker("stif", "nano", "auto", 0), sequences)
    csrt = evaluate("csrt", make_tracker("csrt", "nano", "auto", 0), sequences)
    assert ours.success_auc > csrt.success_auc
    assert ours.success_auc > 0.6
