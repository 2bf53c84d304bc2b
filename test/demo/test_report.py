import json

import cv2
import numpy as np
import pytest

pytest.importorskip("skimage")

from demo.clips import open_clip
from demo.report import TrackedFrame, held_boxes, summarise, write_results


def clip_and_track(leave_out=()):
    clip = open_clip(None, None, None)
    tracked = {
        i: TrackedFrame(box, 0.9, "TRACKING", 10.0 + i, skipped=0)
        for i, box in enumerate(clip.truth)
        if i not in leave_out
    }
    return clip, tracked


def counts(received, refused=0):
    return {"frames_received": received, "frames_refused": refused, "frames_lost_in_transport": 0}


def test_perfect_run_adds_up():
    clip, tracked = clip_and_track()
    summary = summarise(clip, 150, tracked, counts(150), 0.25)
    assert summary.adds_up
    assert summary.mean_iou == 1.0
    assert (summary.frames_tracked, summary.frames_skipped, summary.frames_lost) == (150, 0, 0)
    assert summary.latency_p50_ms == pytest.approx(84.5)


def test_a_frame_that_is_nowhere_does_not_add_up():
    clip, tracked = clip_and_track(leave_out={7})
    assert not summarise(clip, 150, tracked, counts(150), 0.25).adds_up
    assert summarise(clip, 150, tracked, counts(149), 0.25).adds_up


def test_a_target_that_is_not_seen_is_not_counted_as_tracked():
    clip, tracked = clip_and_track()
    tracked |= {i: TrackedFrame(tracked[i].box, 0.1, "LOST", 10.0, skipped=0) for i in range(100, 150)}
    summary = summarise(clip, 150, tracked, counts(150), 0.25)
    assert (summary.frames_tracked, summary.frames_not_seen) == (100, 50)
    assert summary.adds_up


def test_lost_and_refused_frames_add_up():
    clip, tracked = clip_and_track(leave_out={0, 5})
    summary = summarise(clip, 150, tracked, counts(149, refused=1), 0.25)
    assert summary.frames_lost == 1
    assert summary.adds_up


def test_a_frame_not_tracked_keeps_the_box_before():
    clip, tracked = clip_and_track(leave_out={0, 5, 6})
    boxes = held_boxes(clip, tracked, 150)
    assert boxes[0].tolist() == clip.box.tolist()
    assert boxes[6].tolist() == clip.truth[4].tolist()
    assert boxes[7].tolist() == clip.truth[7].tolist()


def test_results_are_written(tmp_path):
    clip, tracked = clip_and_track()
    summary = summarise(clip, 150, tracked, counts(150), 0.25)
    write_results(tmp_path, clip, summary, tracked)
    values = json.loads((tmp_path / "summary.json").read_text())
    assert {
        "frames_sent", "frames_tracked", "frames_skipped", "frames_lost", "mean_iou", "success_auc",
        "latency_p50_ms", "latency_p95_ms", "node_cpu_share",
    } <= set(values)  # fmt: skip
    assert cv2.imread(str(tmp_path / "contact_sheet.png")).shape == (3 * 240, 5 * 320, 3)
    film = cv2.VideoCapture(str(tmp_path / "tracked.mp4"))
    assert int(film.get(cv2.CAP_PROP_FRAME_COUNT)) == 150


def test_video_without_a_box_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="BOX=x,y,w,h"):
        open_clip(None, str(tmp_path / "film.mp4"), None)
    with pytest.raises(ValueError, match="not both"):
        open_clip("a", "b", None)
    assert np.isfinite(open_clip(None, None, None).box).all()
