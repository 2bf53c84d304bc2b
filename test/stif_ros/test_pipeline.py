"""The pipeline with the real tracker and image messages in the form of ROS's, without ROS."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from stif_core.geometry import iou
from stif_core.io.ros_images import to_bgr
from stif_core.tracking import Tracker, TrackState
from stif_core.tracking.target_set import TargetSet
from stif_ros.pipeline import PipelineSettings, TrackingPipeline
from stif_ros.target import TargetRequest, read_request

pytest.importorskip("skimage")

from stif_core.evaluation.rendered_clip import RenderedClip

CLIP = RenderedClip()
PERIOD_NS = 33_000_000


def image_message(index: int, stamp_ns: int | None = None):
    image, _ = CLIP.render(index)
    stamp_ns = 1_000_000_000 + index * PERIOD_NS if stamp_ns is None else stamp_ns
    stamp = SimpleNamespace(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)
    return SimpleNamespace(
        header=SimpleNamespace(stamp=stamp, frame_id="camera"),
        height=image.shape[0],
        width=image.shape[1],
        encoding="bgr8",
        step=3 * image.shape[1],
        is_bigendian=0,
        data=image.tobytes(),
    )


def request(index: int, stamp_ns: int | None = None, target_id: str = "") -> TargetRequest:
    return TargetRequest(target_id, CLIP.render(index)[1], normalized=False, stamp_ns=stamp_ns)


def stamp_of(index: int) -> int:
    return 1_000_000_000 + index * PERIOD_NS


class Harness:
    """A running pipeline that records what it publishes."""

    def __init__(self, **settings) -> None:
        self.outcomes, self.problems = [], []
        self.settings = PipelineSettings(**settings)
        tracker = Tracker.load()
        self.pipeline = TrackingPipeline(
            TargetSet(tracker.backend, tracker.settings),
            to_bgr,
            self.outcomes.append,
            lambda _, text: self.problems.append(text),
            lambda: self.settings,
        )
        self.pipeline.start()

    def feed(self, *messages, wait: bool = True) -> None:
        for message in messages:
            expected = self.pipeline.counters.refused + len(self.outcomes) + 1
            self.pipeline.add_image(message)
            if wait:
                wait_until(lambda expected=expected: self.pipeline.counters.refused + len(self.outcomes) >= expected)

    def indices(self) -> list[int]:
        stamps = [o.message.header.stamp for o in self.outcomes]
        return [round((s.sec * 10**9 + s.nanosec - 10**9) / PERIOD_NS) for s in stamps]


def wait_until(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)
    assert condition()


@pytest.fixture
def harness():
    harnesses = []

    def make(**settings):
        harnesses.append(Harness(**settings))
        return harnesses[-1]

    yield make
    for made in harnesses:
        made.pipeline.stop()


def test_without_a_target_every_image_gives_an_empty_outcome(harness):
    h = harness()
    h.feed(image_message(0), image_message(1))
    assert [o.tracks for o in h.outcomes] == [(), ()]
    assert h.pipeline.states == {}


def test_target_for_the_next_image_starts_there_and_is_followed(harness):
    h = harness()
    target_id, text = h.pipeline.set_target(request(0))
    assert (target_id, text) == ("target", "tracking starts with the next image")
    h.feed(*(image_message(i) for i in range(8)))
    np.testing.assert_allclose(h.outcomes[0].tracks[0].result.box, CLIP.render(0)[1])
    for i, outcome in enumerate(h.outcomes):
        assert iou(outcome.tracks[0].result.box, CLIP.render(i)[1]) > 0.5
    assert {o.tracks[0].target_id for o in h.outcomes} == {"target"}


def test_next_image_is_meant_even_if_newer_ones_come_before_it_is_worked_on(harness):
    h = harness()
    images = [image_message(i) for i in range(6)]
    convert, begun, may_go_on = h.pipeline._convert, threading.Event(), threading.Event()
    h.pipeline._convert = lambda message: (begun.set(), may_go_on.wait(20), convert(message))[-1]
    h.pipeline.add_image(images[0])
    assert begun.wait(20)  # the worker is busy
    h.pipeline.set_target(request(1))
    for image in images[1:]:
        h.pipeline.add_image(image)
    may_go_on.set()
    wait_until(lambda: len(h.outcomes) == 2)
    assert h.indices() == [0, 5]
    assert h.outcomes[1].skipped == 4
    assert iou(h.outcomes[1].tracks[0].result.box, CLIP.render(5)[1]) > 0.5


def test_old_stamp_starts_there_and_catches_up(harness):
    h = harness()
    h.feed(*(image_message(i) for i in range(12)))
    _, text = h.pipeline.set_target(request(2, stamp_of(2), "car"))
    assert text == "tracking starts from an image 0.297 s old"
    wait_until(lambda: h.pipeline.states)
    h.feed(image_message(12))
    assert h.outcomes[-1].tracks[0].target_id == "car"
    assert iou(h.outcomes[-1].tracks[0].result.box, CLIP.render(12)[1]) > 0.5


def test_catching_up_is_bounded_in_time(harness):
    h = harness(catch_up_seconds=0.0)
    h.feed(*(image_message(i) for i in range(10)))
    tracked = []
    track = h.pipeline._targets._trackers.track
    h.pipeline._targets._trackers.track = lambda image, names: (tracked.append(1), track(image, names))[1]
    h.pipeline.set_target(request(0, stamp_of(0)))
    wait_until(lambda: h.pipeline.states)
    h.feed(image_message(10))
    assert len(tracked) <= 2


def test_stamp_of_an_image_that_comes_later_waits_for_it(harness):
    h = harness()
    h.feed(image_message(0))
    _, text = h.pipeline.set_target(request(2, stamp_of(2)))
    assert text == "tracking starts when the image with this stamp arrives"
    h.feed(image_message(1), image_message(2))
    assert [len(o.tracks) for o in h.outcomes] == [0, 0, 1]


def test_stamp_whose_image_never_came_is_reported(harness):
    h = harness()
    h.feed(image_message(0))
    h.pipeline.set_target(request(1, stamp_of(1)))
    h.feed(image_message(2))
    assert h.outcomes[-1].tracks == ()
    assert h.problems == ["target refused: no image with its stamp arrived"]


def test_a_newer_request_takes_the_place_of_one_that_waits(harness):
    h = harness()
    h.feed(image_message(0))
    h.pipeline.set_target(request(3, stamp_of(3), "first"))
    h.pipeline.set_target(request(1, target_id="second"))
    h.feed(*(image_message(i) for i in range(1, 5)))
    assert [o.tracks[0].target_id for o in h.outcomes[1:]] == ["second"] * 4


def test_stamp_older_than_the_ring_is_refused_with_its_age(harness):
    h = harness(history_seconds=0.1)
    h.feed(*(image_message(i) for i in range(10)))
    with pytest.raises(ValueError, match=r"0\.297 s older than the newest, and images are kept for 0\.099 s"):
        h.pipeline.set_target(request(0, stamp_of(0)))
    with pytest.raises(ValueError, match="no image has this stamp"):
        h.pipeline.set_target(request(8, stamp_of(8) + 5_000_000))


def test_box_outside_the_image_is_refused(harness):
    h = harness()
    outside = TargetRequest("", np.array([700.0, 10, 20, 20]), False, None)
    h.pipeline.set_target(outside)  # the image's size is not known yet
    h.feed(image_message(0))
    assert h.outcomes[-1].tracks == ()
    assert "outside the image of 640x480" in h.problems[0]
    with pytest.raises(ValueError, match="outside the image of 640x480"):
        h.pipeline.set_target(outside)


def test_normalized_box_is_scaled(harness):
    h = harness()
    h.pipeline.set_target(TargetRequest("", CLIP.render(0)[1] / (640, 480, 640, 480), True, None))
    h.feed(image_message(0))
    np.testing.assert_allclose(h.outcomes[0].tracks[0].result.box, CLIP.render(0)[1])


def test_damaged_image_is_reported_and_the_next_one_tracked(harness):
    h = harness()
    h.pipeline.set_target(request(0))
    damaged = image_message(1)
    damaged.data = damaged.data[:1000]
    h.feed(image_message(0), damaged, image_message(2))
    assert h.pipeline.counters.refused == 1
    assert "image refused" in h.problems[0]
    assert h.outcomes[-1].tracks[0].result.state == TrackState.TRACKING


def test_target_bound_to_a_damaged_image_does_not_start(harness):
    h = harness()
    h.pipeline.set_target(request(0))
    damaged = image_message(0)
    damaged.encoding = "made_up"
    h.feed(damaged, image_message(1))
    assert h.outcomes[-1].tracks == ()
    assert any("target refused" in problem for problem in h.problems)


def test_time_running_backwards_is_reported_and_survived(harness):
    h = harness()
    h.pipeline.set_target(request(5))
    h.feed(image_message(5), image_message(6), image_message(0), image_message(1))
    assert len(h.outcomes) == 4
    assert "ran backwards by 0.198 s" in h.problems[0]
    assert h.outcomes[-1].tracks[0].unseen_ns >= 0


def test_images_without_stamps_work(harness):
    h = harness()
    h.feed(image_message(0, stamp_ns=0))
    h.pipeline.set_target(request(1))
    h.feed(image_message(1, stamp_ns=0), image_message(2, stamp_ns=0))
    assert iou(h.outcomes[-1].tracks[0].result.box, CLIP.render(2)[1]) > 0.5


def test_reset_forgets_the_target(harness):
    h = harness()
    h.pipeline.set_target(request(0, target_id="car"))
    h.feed(image_message(0), image_message(1))
    h.pipeline.reset()
    h.feed(image_message(2))
    assert h.outcomes[-1].tracks == ()


def test_target_survives_stop_and_start(harness):
    h = harness()
    h.pipeline.set_target(request(0))
    h.feed(image_message(0))
    h.pipeline.stop()
    with pytest.raises(ValueError, match="not active"):
        h.pipeline.set_target(request(0))
    h.pipeline.add_image(image_message(1))
    h.pipeline.start()
    h.feed(image_message(2))
    assert len(h.outcomes) == 2
    assert h.outcomes[-1].tracks[0].result.state == TrackState.TRACKING


def test_request_that_waits_does_not_survive_a_stop(harness):
    h = harness()
    h.feed(image_message(0))
    h.pipeline.set_target(request(9, stamp_of(9)))
    h.pipeline.stop()
    h.pipeline.start()
    h.feed(image_message(8), image_message(9))
    assert h.outcomes[-1].tracks == ()


def test_defect_in_one_image_is_counted_reported_and_survived(harness):
    h = harness()
    h.pipeline.set_target(request(0))
    h.feed(image_message(0))
    track = h.pipeline._targets._trackers.track
    h.pipeline._targets._trackers.track = lambda image, names: 1 / 0
    h.feed(image_message(1))
    h.pipeline._targets._trackers.track = track
    h.feed(image_message(2))
    assert h.pipeline.counters.refused == 1
    assert "ZeroDivisionError" in h.problems[0]
    assert h.outcomes[-1].tracks[0].result.state == TrackState.TRACKING


def test_received_is_tracked_and_skipped_and_refused(harness):
    h = harness()
    h.pipeline.set_target(request(0))
    for i in range(40):
        h.feed(image_message(i), wait=False)
    counters = h.pipeline.counters
    wait_until(lambda: len(h.outcomes) + counters.skipped + counters.refused == 40)
    assert h.indices()[-1] == 39
    assert sum(o.skipped for o in h.outcomes) == counters.skipped


@pytest.mark.parametrize("box", [(1, 2, float("nan"), 3), (1, 2, 0, 3)])
def test_request_with_a_bad_box_is_refused(box):
    x, y, width, height = box
    stamp = SimpleNamespace(sec=0, nanosec=0)
    header = SimpleNamespace(stamp=stamp)
    message = SimpleNamespace(header=header, target_id="", x=x, y=y, width=width, height=height, normalized=False)
    with pytest.raises(ValueError, match="box"):
        read_request(message)


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((40, 40, 60, 60), "holds nothing to follow"),
        ((300, 200, 3, 30), "is too small: it has 3x30 pixels"),
        ((637, 200, 50, 50), "is too small: it has 3x50 pixels"),
    ],
)
def test_target_that_hits_nothing_is_refused_and_the_one_before_goes_on(harness, box, reason):
    h = harness()
    h.pipeline.set_target(request(0, target_id="face"))
    h.feed(image_message(0))
    wall = image_message(1)
    pixels = np.frombuffer(wall.data, np.uint8).reshape(480, 640, 3).copy()
    pixels[30:110, 30:110] = (90, 120, 150)
    wall.data = pixels.tobytes()
    h.pipeline.set_target(TargetRequest("other", np.array(box, float), False, None))
    h.feed(wall)
    assert reason in h.problems[0]
    assert (h.outcomes[-1].tracks[0].target_id, h.outcomes[-1].tracks[0].result.state) == ("face", TrackState.TRACKING)


# -- several targets


def other(index: int, target_id: str) -> TargetRequest:
    """A patch of the background."""
    return TargetRequest(target_id, np.array([420.0, 60, 60, 50]), normalized=False, stamp_ns=None)


def ids(outcome) -> list[str]:
    return [track.target_id for track in outcome.tracks]


def test_several_targets_are_followed_in_the_order_in_which_they_were_set(harness):
    h = harness(max_targets=2)
    h.pipeline.set_target(request(0, target_id="face"))
    h.pipeline.set_target(other(0, "patch"))
    h.feed(image_message(0), image_message(1))
    h.pipeline.set_target(request(2, target_id="face"))  # set anew: it keeps its place
    h.feed(image_message(2), image_message(3))
    assert [ids(outcome) for outcome in h.outcomes] == [["face", "patch"]] * 4
    settings = [outcome.tracks[0].setting for outcome in h.outcomes]
    assert settings[0] == settings[1] != settings[2] == settings[3]
    assert iou(h.outcomes[-1].tracks[0].result.box, CLIP.render(3)[1]) > 0.5
    assert h.pipeline.states == {"face": "TRACKING", "patch": h.outcomes[-1].tracks[1].result.state.name}


def test_without_an_id_the_first_target_is_meant(harness):
    h = harness(max_targets=3)
    h.pipeline.set_target(request(0, target_id="face"))
    h.pipeline.set_target(other(0, "patch"))
    h.feed(image_message(0))
    assert h.pipeline.set_target(request(1))[0] == "face"
    h.feed(image_message(1))
    assert ids(h.outcomes[-1]) == ["face", "patch"]


def test_one_target_too_many_is_refused_with_what_can_be_done(harness):
    h = harness(max_targets=2)
    h.pipeline.set_target(request(0, target_id="face"))
    h.pipeline.set_target(other(0, "patch"))  # neither has begun yet
    with pytest.raises(ValueError, match=r"there are 2 targets \(face, patch\), as many as max_targets allows"):
        h.pipeline.set_target(other(0, "third"))
    h.feed(image_message(0))
    h.pipeline.remove_target("face")
    h.pipeline.set_target(other(1, "third"))
    h.feed(image_message(1))
    assert ids(h.outcomes[-1]) == ["patch", "third"]


def test_with_one_target_a_new_one_takes_its_place_once_its_box_is_good(harness):
    h = harness()
    h.pipeline.set_target(request(0, target_id="face"))
    h.feed(image_message(0))
    h.pipeline.set_target(TargetRequest("nothing", np.array([300.0, 200, 3, 30]), False, None))
    h.feed(image_message(1))
    assert ids(h.outcomes[-1]) == ["face"]
    h.pipeline.set_target(other(2, "patch"))
    h.feed(image_message(2))
    assert ids(h.outcomes[-1]) == ["patch"]


def test_removing_what_is_not_there_names_the_targets(harness):
    h = harness(max_targets=2)
    h.pipeline.set_target(request(0, target_id="face"))
    h.feed(image_message(0))
    with pytest.raises(ValueError, match="no target has the id 'nose'; targets: face"):
        h.pipeline.remove_target("nose")
    h.pipeline.remove_target("face")
    with pytest.raises(ValueError, match="no target has the id 'face'; targets: none"):
        h.pipeline.remove_target("face")
    h.feed(image_message(1))
    assert h.outcomes[-1].tracks == ()


def test_old_stamp_of_one_target_leaves_the_others_where_they_are(harness):
    h = harness(max_targets=2)
    h.pipeline.set_target(other(0, "patch"))
    h.feed(*(image_message(i) for i in range(12)))
    h.pipeline.set_target(request(4, stamp_of(4), "face"))
    wait_until(lambda: "face" in h.pipeline.states)
    h.feed(image_message(12))
    assert ids(h.outcomes[-1]) == ["patch", "face"]
    assert iou(h.outcomes[-1].tracks[1].result.box, CLIP.render(12)[1]) > 0.5
    assert h.outcomes[-1].tracks[0].result.state == TrackState.TRACKING
