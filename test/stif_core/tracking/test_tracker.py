"""The tracker with the shipped weights on rendered clips."""

import numpy as np
import pytest

from stif_core.evaluation.metrics import frame_ious
from stif_core.geometry import iou
from stif_core.tracking import Tracker, TrackerSettings, TrackState

pytest.importorskip("skimage")

from stif_core.evaluation.rendered_clip import RenderedClip

CLIP = RenderedClip()


@pytest.fixture(scope="module")
def frames():
    return [CLIP.render(i) for i in range(CLIP.frames)]


@pytest.fixture(scope="module")
def backend():
    return Tracker.load().backend


@pytest.fixture
def tracker():
    return Tracker.load()


def test_rendered_target_is_followed_to_the_end(tracker, frames):
    tracker.init(*frames[0])
    results = [tracker.track(image) for image, _ in frames[1:]]
    overlap = frame_ious([frames[0][1], *(result.box for result in results)], [box for _, box in frames])
    assert overlap.mean() > 0.6
    assert overlap[-10:].mean() > 0.6
    assert sum(result.state == TrackState.TRACKING for result in results) > 0.8 * len(results)


def test_target_that_is_gone_is_not_reported_as_tracking(tracker, frames):
    """Within three frames: the confidence falls at once, the state has a hysteresis."""
    tracker.init(*frames[0])
    for image, _ in frames[1:30]:
        tracker.track(image)
    empty = CLIP._background(30 / CLIP.fps)
    states = [tracker.track(empty).state for _ in range(40)]
    assert TrackState.TRACKING not in states[3:]
    assert states[-1] == TrackState.LOST


def test_target_that_comes_back_is_tracked_again(tracker, frames):
    tracker.init(*frames[0])
    for image, _ in frames[1:30]:
        tracker.track(image)
    empty = CLIP._background(30 / CLIP.fps)
    for _ in range(40):
        lost = tracker.track(empty)
    assert lost.state == TrackState.LOST
    for image, _ in frames[30:50]:
        result = tracker.track(image)
    assert result.state == TrackState.TRACKING
    assert iou(result.box, frames[49][1]) > 0.6


def test_lost_target_keeps_its_last_box(tracker, frames):
    tracker.init(*frames[0])
    noise = np.random.default_rng(0).integers(0, 256, frames[0][0].shape, dtype=np.uint8)
    results = [tracker.track(noise) for _ in range(40)]
    assert results[-1].state == TrackState.LOST
    assert results[-1].box.tolist() == results[-2].box.tolist()


class Watched:
    """A real backend that notes its calls, and the memory that is in use by what went into ``enhance`` last."""

    def __init__(self, backend) -> None:
        self.name, self.precision, self.batch = backend.name, backend.precision, backend.batch
        self.config, self._backend = backend.config, backend
        self.calls: list[str] = []

    def memorize(self, image, foreground):
        self.calls.append("memorize")
        self._feature = self._backend.memorize(image, foreground)
        return self._feature

    def enhance(self, memory):
        self.calls.append("enhance")
        np.testing.assert_array_equal(memory[:, -1], self._feature)  # the newest frame is among them
        self._enhanced = self._backend.enhance(memory)
        return self._enhanced

    def track(self, image, enhanced):
        self.calls.append("track")
        np.testing.assert_array_equal(enhanced, self._enhanced)
        return self._backend.track(image, enhanced)


def test_memory_is_enhanced_when_it_changes_and_not_otherwise(backend, frames):
    watched = Watched(backend)
    tracker = Tracker(watched, Tracker.load().settings)
    tracker.init(*frames[0])
    assert watched.calls == ["memorize", "enhance"]
    changes = 0
    for image, _ in frames[1:40]:
        watched.calls.clear()
        tracker.track(image)
        changes += "enhance" in watched.calls
        assert watched.calls in (["track"], ["track", "memorize", "enhance"])
    assert 2 <= changes <= 4  # every tenth frame


def test_lost_target_is_searched_with_the_initial_memory(backend, frames):
    """It was enhanced at the start: nothing is enhanced for it."""
    looked_for = []

    class Looking(Watched):
        def track(self, image, enhanced):
            looked_for.append(enhanced)
            return self._backend.track(image, enhanced)

    watched = Looking(backend)
    tracker = Tracker(watched, Tracker.load().settings)
    tracker.init(*frames[0])
    initial = watched._enhanced
    for image, _ in frames[1:30]:
        tracker.track(image)
    assert not np.array_equal(looked_for[-1], initial)
    empty = CLIP._background(30 / CLIP.fps)
    while tracker.track(empty).state != TrackState.LOST:
        pass
    looked_for.clear()
    watched.calls.clear()
    tracker.track(empty)
    assert looked_for and all(np.array_equal(memory, initial) for memory in looked_for)
    assert watched.calls == []


def test_nothing_is_memorised_while_the_target_is_not_seen(backend, frames):
    tracker = Tracker(backend, TrackerSettings(uncertain_probability=2.0, tracking_probability=2.0, memory_interval=1))
    tracker.init(*frames[0])
    for image, _ in frames[1:12]:
        assert tracker.track(image).state != TrackState.TRACKING
    assert len(tracker._bank) == 1


def test_memory_grows_to_its_capacity_and_no_further(backend, frames):
    settings = TrackerSettings(
        uncertain_probability=0.0,
        tracking_probability=0.0,
        memory_probability=0.0,
        memory_interval=2,
        memory_capacity=4,
    )
    tracker = Tracker(backend, settings)
    tracker.init(*frames[0])
    for image, _ in frames[1:30]:
        tracker.track(image)
    assert len(tracker._bank) == 4


def test_new_resolution_of_the_same_shape_scales_the_box(tracker, frames):
    import cv2

    tracker.init(*frames[0])
    for image, _ in frames[1:10]:
        tracker.track(image)
    for image, _ in frames[10:20]:
        result = tracker.track(cv2.resize(image, None, fx=1.5, fy=1.5))
    assert iou(result.box, frames[19][1] * 1.5) > 0.6


def test_new_shape_of_the_image_means_lost_and_no_box(tracker, frames):
    tracker.init(*frames[0])
    result = tracker.track(np.zeros((300, 700, 3), np.uint8))
    assert result.state == TrackState.LOST
    assert np.isnan(result.box).all()


@pytest.mark.parametrize("box", [(-40, 100, 60, 60), (620, 460, 80, 80), (3.7, 2.2, 1.1, 400.5), (0, 0, 640, 480)])
def test_any_box_that_touches_the_image_can_be_tracked(tracker, frames, box):
    tracker.init(frames[0][0], box)
    for image, _ in frames[1:6]:
        result = tracker.track(image)
        assert np.isfinite(result.box).all()
        assert (result.box[2:] > 0).all()


def test_init_gives_the_box_back(tracker, frames):
    result = tracker.init(frames[0][0], (10, 20, 30, 40))
    assert result.box.tolist() == [10, 20, 30, 40]
    assert (result.score, result.state) == (1.0, TrackState.TRACKING)


def test_bad_input_is_refused_with_the_reason(tracker, frames):
    image = frames[0][0]
    with pytest.raises(RuntimeError, match="call init"):
        tracker.track(image)
    with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
        tracker.init(image[..., 0], (1, 2, 3, 4))
    with pytest.raises(ValueError, match="no area"):
        tracker.init(image, (1, 2, 0, 4))
    tracker.init(image, (100, 100, 50, 50))
    with pytest.raises(ValueError, match="uint8"):
        tracker.track(image.astype(np.float32))


def test_settings_are_checked():
    with pytest.raises(ValueError, match=r"uncertain_probability <= tracking_probability, got 0\.9 and 0\.5"):
        TrackerSettings(uncertain_probability=0.9, tracking_probability=0.5)
    with pytest.raises(ValueError, match="unknown tracking parameter windo"):
        TrackerSettings.from_dict({"windo": 0.4})
    with pytest.raises(ValueError, match=r"calibration: .*slope"):
        TrackerSettings.from_dict({"calibration": {"slope": 1.0}})
    settings = TrackerSettings.from_dict({"calibration": {"score_weight": 1.0, "usual_weight": 0.0, "bias": 0.0}})
    assert settings.calibration.probability(0.3, 0.9) == pytest.approx(0.3)
