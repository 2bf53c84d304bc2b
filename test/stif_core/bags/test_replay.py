"""A bag through the tracker: scores as on the folder, repeatable to the byte, boxes given at any time, skipping."""

import json
import time
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'stif_core[bags]'")
pytest.importorskip("skimage", reason="scikit-image is not installed")

from bag_builder import CLIP, PERIOD_NS, image, stamp, stif, target, write_bag
from rosbags.highlevel import AnyReader

from stif_core.bags.images import BagFrame
from stif_core.bags.messages import new_track
from stif_core.bags.replay import replay
from stif_core.bags.targets import BoxRequest, Targets
from stif_core.bags.typestore import new_header
from stif_core.evaluation.metrics import accuracy
from stif_core.evaluation.run import StifBoxes, run_sequence
from stif_core.evaluation.sequences import read_sequence
from stif_core.tracking import Tracker, TrackResult, TrackState

BOX = CLIP.render(0)[1]


def replayed(out, bag, *options):
    """summary.json and the rows of tracks.csv as dictionaries."""
    done = stif("replay", bag, "--out", out, *options)
    assert done.exit_code == 0, done.output
    head, *lines = (out / "tracks.csv").read_text().splitlines()
    rows = [dict(zip(head.split(","), line.split(","), strict=True)) for line in lines]
    return json.loads((out / "summary.json").read_text()), rows


def score(folder):
    """The figures of `stif eval run` on a folder."""
    sequence = read_sequence(folder)
    return vars(accuracy(run_sequence(StifBoxes(Tracker.load()), sequence).boxes, sequence.truth))


@pytest.fixture(scope="session")
def clip_score(clip_folder):
    return score(clip_folder)


@pytest.mark.parametrize("name", ["mcap", "sqlite3", "compressed"])
def test_a_bag_made_and_replayed_scores_as_the_folder(clip_score, bags, tmp_path, name):
    summary, _ = replayed(tmp_path / "out", bags / name, "--init-topic", "/target_init", "--truth", "/truth")
    assert summary["accuracy"] == clip_score
    assert summary["accuracy"]["frames"] == 14  # not the first, not the one without a true box


def test_the_truth_may_come_from_a_file(clip_score, clip_folder, bags, tmp_path):
    truth = clip_folder / "groundtruth.txt"
    summary, _ = replayed(tmp_path / "out", bags / "mcap", "--init-topic", "/target_init", "--truth", truth)
    assert summary["accuracy"] == clip_score


def test_a_truth_with_other_stamps_scores_nothing_and_says_so(tmp_path):
    truth = new_track(new_header(stamp(0) + 5_000_000, ""), (320, 240), BOX, 1, "target", 1.0)
    messages = [("/truth", stamp(0), truth), *(("/cam", stamp(i), image(i)) for i in range(3))]
    bag = write_bag(tmp_path / "bag", messages)
    summary, _ = replayed(tmp_path / "out", bag, "--init", ",".join(map(str, BOX)), "--truth", "/truth")
    assert summary["accuracy"] is None
    assert summary["problems"] == ["no image after the first box has a true box: do the stamps agree?"]


def test_a_real_sequence_scores_as_the_folder(shared_data, tmp_path):
    folder = shared_data / "sequences" / "OTB_Crossing"
    assert stif("bag", "make", folder, tmp_path / "bag", "--compressed").exit_code == 0
    summary, _ = replayed(tmp_path / "out", tmp_path / "bag", "--init-topic", "/target_init", "--truth", "/truth")
    assert summary["accuracy"] == score(folder)
    assert summary["accuracy"]["frames"] == 119


@pytest.mark.parametrize("name", ["mcap", "sqlite3"])
def test_two_replays_give_the_same_bytes_but_for_the_timings(bags, tmp_path, name):
    for out in ("one", "two"):
        replayed(tmp_path / out, bags / name, "--init-topic", "/target_init", "--truth", "/truth")
    files = {str(path.relative_to(tmp_path / "one")) for path in (tmp_path / "one").rglob("*") if path.is_file()}
    ending = "mcap" if name == "mcap" else "db3"
    assert files == {
        *("tracks.csv", "timings.csv", "summary.json", "tracked.mp4", "bag/metadata.yaml", f"bag/bag.{ending}")
    }
    for file in files - {"timings.csv"}:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file
    timings = np.genfromtxt(tmp_path / "one" / "timings.csv", delimiter=",", names=True)
    assert len(timings) == CLIP.frames
    assert (timings["track_ms"] > 0).all()
    assert np.isnan(timings["latency_ms"]).all()


def test_the_new_bag_has_a_track_beside_every_image(bags, tmp_path):
    _, rows = replayed(tmp_path / "out", bags / "mcap", "--init-topic", "/target_init", "--truth", "/truth")
    with AnyReader([tmp_path / "out" / "bag"]) as reader:
        found = {}
        for connection, time_ns, data in reader.messages():
            found.setdefault(connection.topic, []).append((time_ns, reader.deserialize(data, connection.msgtype)))
    assert set(found) == {"/camera/image_raw", "/track", "/track/marker", "/target_init", "/truth"}
    for row, (image_time, picture), (time_ns, track), (_, marker) in zip(
        rows, found["/camera/image_raw"], found["/track"], found["/track/marker"], strict=True
    ):
        assert time_ns == image_time
        assert track.header == picture.header == marker.header
        assert (track.image_width, track.image_height, track.target_id) == (320, 240, "target")
        assert track.confidence == pytest.approx(float(row["confidence"]), abs=1e-6)
        box = np.array([float(row[k]) for k in "xywh"])
        np.testing.assert_allclose([track.size_x, track.size_y], box[2:], atol=6e-4)
        np.testing.assert_allclose([track.center_x, track.center_y], box[:2] + box[2:] / 2, atol=1.2e-3)
        assert np.isnan(track.latency_ms) and np.isnan(track.bearing.x) and not track.bearing_valid
        corners = np.array([(p.x, p.y) for p in marker.points])
        np.testing.assert_allclose([*corners.min(axis=0), *np.ptp(corners, axis=0)], box, atol=6e-4)


def test_a_box_is_for_the_image_that_its_stamp_names_and_without_one_for_the_next(tmp_path):
    boxes = [CLIP.render(i)[1] for i in range(12)]
    normalized = boxes[8] / (320, 240, 320, 240)
    bag = write_bag(
        tmp_path / "bag",
        [
            *[("/cam", stamp(i) + 1_000_000, image(i)) for i in range(12)],
            ("/init", stamp(4), target(boxes[2], stamp(2) + 300_000)),  # comes two images later, stamp through a float
            ("/init", stamp(7) + 2_000_000, target(normalized, normalized=True, target_id="again")),
            ("/init", stamp(9), target(boxes[2], stamp(9) + PERIOD_NS // 2)),  # no such image
            ("/init", stamp(10), target((900, 10, 5, 5))),  # outside
        ],
    )
    summary, rows = replayed(tmp_path / "out", bag, "--image", "/cam", "--init-topic", "/init")
    states = [row["state"] for row in rows]
    assert states[:2] == ["IDLE", "IDLE"]
    assert rows[0]["x"] == rows[1]["confidence"] == ""
    assert [i for i, row in enumerate(rows) if row["confidence"] == "1.000000"] == [2, 8]
    np.testing.assert_allclose([float(rows[8][key]) for key in "xywh"], boxes[8], atol=6e-4)
    assert set(states[2:]) == {"TRACKING"}
    assert (summary["boxes_given"], summary["boxes_without_image"], summary["boxes_refused"]) == (2, 1, 1)
    assert "outside the image" in summary["problems"][0]
    with AnyReader([tmp_path / "out" / "bag"]) as reader:
        tracks = [c for c in reader.connections if c.topic == "/track"]
        ids = [reader.deserialize(data, c.msgtype).target_id for c, _, data in reader.messages(tracks)]
    assert ids == ["", "", *["target"] * 6, *["again"] * 4]


def test_init_takes_a_time_from_the_bags_start_and_may_be_given_again(bags, tmp_path):
    early, late = (",".join(f"{value:.3f}" for value in CLIP.render(i)[1]) for i in (3, 12))
    _, rows = replayed(tmp_path / "out", bags / "mcap", "--init", f"{early}@0.1", "--init", f"{late}@0.39")
    assert [row["state"] for row in rows[:4]] == ["IDLE"] * 3 + ["TRACKING"]
    assert [i for i, row in enumerate(rows) if row["confidence"] == "1.000000"] == [3, 12]


class SlowTracker:
    """Takes a while for each image, and gives boxes that tell the image's number apart."""

    def __init__(self, seconds):
        self.seconds, self.tracked = seconds, []

    def init(self, picture, box):
        return TrackResult(np.asarray(box, float), 1.0, 1.0, TrackState.TRACKING)

    def track(self, picture):
        time.sleep(self.seconds)
        self.tracked.append(int(picture[0, 0, 0]))
        return TrackResult(np.array([1.0, 2, 3, 4]), 0.9, 0.9, TrackState.TRACKING)


def frames(count, period_ns=PERIOD_NS, delay_ns=1_000_000):
    for i in range(count):
        message = SimpleNamespace(
            height=1, width=1, encoding="bgr8", is_bigendian=0, step=3, data=bytes([i] * 3), header=None
        )
        stamp_ns = 10**9 + i * period_ns
        yield BagFrame(i, stamp_ns + delay_ns, stamp_ns, b"", message)


def run(tracker, count, realtime=True, requests=()):
    first = BoxRequest(np.array([0.0, 0, 1, 1]), 0)
    return list(replay(frames(count), tracker, Targets([first, *requests]), realtime))


def test_in_real_time_the_newest_image_wins_and_the_rest_is_counted():
    tracker = SlowTracker(0.1)  # images come every 40 ms
    steps = run(tracker, 16)
    assert [step.state for step in steps].count("SKIPPED") == 16 - 1 - len(tracker.tracked)
    gaps = np.diff(tracker.tracked)
    assert set(gaps[:-1]) <= {2, 3, 4}  # 2.5 periods on a quiet machine
    assert tracker.tracked[-1] == 15  # the last one always is
    tracked = [step for step in steps if step.result is not None]
    assert sum(step.skipped_before for step in tracked) == 16 - len(tracked)
    latency = np.array([step.latency_ms for step in tracked[1:]])
    assert (latency >= 101).all()  # 1 ms from stamp to bag, 100 in the tracker
    assert latency.max() > 110  # and what the image waited
    for before, after in pairwise(tracked):
        assert after.done_ns - before.done_ns >= 100_000_000


def test_a_fast_tracker_skips_nothing_in_real_time():
    assert [step.state for step in run(SlowTracker(0), 10)] == ["TRACKING"] * 10


def test_every_image_once_says_nothing_of_latency():
    tracker = SlowTracker(0.01)
    steps = run(tracker, 6, realtime=False)
    assert tracker.tracked == [1, 2, 3, 4, 5]
    assert all(np.isnan(step.latency_ms) and step.done_ns == step.frame.time_ns for step in steps)


def test_an_image_that_a_box_was_given_for_is_never_skipped():
    request = BoxRequest(np.array([0.0, 0, 1, 1]), 0, stamp_ns=10**9 + 5 * PERIOD_NS)
    steps = run(SlowTracker(0.3), 12, requests=[request])
    assert [step.frame.index for step in steps if step.initialised] == [0, 5]


def test_latency_is_unknown_where_stamps_and_bag_have_different_clocks():
    steps = list(replay(frames(3, delay_ns=10**12), SlowTracker(0), Targets([BoxRequest(np.ones(4) * 0.5, 0)]), True))
    assert all(np.isnan(step.latency_ms) for step in steps)


def test_realtime_reports_skips_and_latency(bags, tmp_path):
    summary, rows = replayed(
        tmp_path / "out", bags / "mcap", "--init-topic", "/target_init", "--truth", "/truth", "--realtime"
    )
    skipped = [row["state"] for row in rows].count("SKIPPED")
    assert summary["realtime"]["frames_skipped"] == skipped == summary["states"].get("SKIPPED", 0)
    assert summary["realtime"]["latency_ms"]["p99"] >= summary["realtime"]["track_ms"]["p50"] > 0
    assert summary["accuracy"]["frames"] == 14  # a skipped image counts with the last box
