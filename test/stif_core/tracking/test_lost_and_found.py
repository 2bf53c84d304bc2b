"""The tracker with the shipped weights on short clips in which the target leaves."""

import numpy as np
import pytest

from stif_core.geometry import iou
from stif_core.tracking import Tracker, TrackState

pytest.importorskip("skimage")

from stif_core.evaluation.lost.clips import LostClip
from stif_core.evaluation.lost.pictures import photograph_cast
from stif_core.evaluation.lost.scripts import Script, absent

SIZE = 60.0


@pytest.fixture(scope="module")
def backend():
    return Tracker.load().backend


@pytest.fixture
def tracker(backend):
    return Tracker(backend, Tracker.load().settings)


def _stay(frames, x, y):
    """At a place, with a slow circle of some pixels."""
    t = np.arange(frames) / 10
    return np.column_stack([x + 8 * np.sin(t), y + 8 * np.cos(t), np.full(frames, SIZE)])


def _clip(target, **script):
    script = {"camera": np.zeros((len(target), 2)), **script}
    return LostClip("test", Script(target, **script), photograph_cast("development", 1000), 640, 480, 0)


def _run(tracker, clip):
    """Results of the frames after the first, and their true boxes."""
    frames = list(clip)
    tracker.init(*frames[0])
    return [tracker.track(image) for image, _ in frames[1:]], np.array([box for _, box in frames[1:]])


def _found(results, truth):
    """True in the frames reported as TRACKING, with a box that is right."""
    return np.array(
        [r.state == TrackState.TRACKING and iou(r.box, box) > 0.5 for r, box in zip(results, truth, strict=True)]
    )


def test_target_that_returns_90_px_away_after_30_frames_is_found_within_8_frames(tracker):
    clip = _clip(np.concatenate([_stay(25, 250, 200), absent(30), _stay(30, 325, 250)]))
    results, truth = _run(tracker, clip)
    assert TrackState.TRACKING not in [r.state for r in results[27:54]]
    assert _found(results, truth)[54:62].any()
    assert _found(results, truth)[62:].mean() > 0.9


def test_target_that_returns_at_the_other_end_and_larger_is_found_within_20_frames(tracker):
    back = _stay(35, 560, 90)
    back[:, 2] *= 1.4
    results, truth = _run(tracker, _clip(np.concatenate([_stay(25, 100, 380), absent(30), back])))
    assert _found(results, truth)[54:74].any()
    assert _found(results, truth)[-10:].all()


def test_target_gone_for_good_stays_lost_without_false_tracking(tracker):
    results, _ = _run(tracker, _clip(np.concatenate([_stay(25, 250, 200), absent(90)])))
    states = [r.state for r in results[24:]]
    assert TrackState.TRACKING not in states[2:]
    assert set(states[30:]) == {TrackState.LOST}


def test_flash_of_four_frames_is_survived(tracker):
    target = _stay(60, 250, 200)
    flash = np.full(60, np.nan)
    flash[20:24], flash[40:44] = 0, 255
    results, truth = _run(tracker, _clip(target, flash=flash))
    assert TrackState.TRACKING not in [results[i].state for i in (21, 22, 41, 42)]
    assert _found(results, truth)[[30, 31, 32, 50, 51, 52]].all()


def test_camera_that_turns_away_and_back_is_followed_to_the_target(tracker):
    frames = 110
    swing = np.sin(np.pi * np.clip((np.arange(frames) - 20) / 60, 0, 1)) ** 2
    camera = np.column_stack([700 * swing, 40 * swing])
    results, truth = _run(tracker, _clip(_stay(frames, 320, 240), camera=camera))
    back = int(np.flatnonzero(np.isnan(truth[:, 0]))[-1]) + 1
    assert _found(results, truth)[back : back + 15].any()
    assert _found(results, truth)[-15:].all()


def test_look_alike_in_another_scene_is_not_taken_for_the_target(tracker):
    target = np.concatenate([_stay(30, 250, 200), absent(40), _stay(20, 400, 300)])
    other = np.concatenate([absent(30), _stay(40, 270, 215), absent(20)])
    scenery = np.concatenate([np.zeros(30), np.ones(40), np.zeros(20)])
    results, truth = _run(tracker, _clip(target, lookalikes=[other], scenery=scenery))
    claims = [r.state == TrackState.TRACKING for r in results[29:69]]
    assert sum(claims) <= 8
    assert not any(claims[10:])
    assert _found(results, truth)[-8:].all()


def test_work_while_lost_is_bounded(backend):
    """Never more than ``search_windows`` crops go through the network in one image."""
    calls = []

    class Counting:
        name, config = backend.name, backend.config
        memorize, enhance = staticmethod(backend.memorize), staticmethod(backend.enhance)

        def track(self, image, enhanced):
            calls.append(len(image))
            return backend.track(image, enhanced)

    tracker = Tracker(Counting(), Tracker.load().settings)
    clip = _clip(np.concatenate([_stay(10, 250, 200), absent(40), _stay(12, 330, 250)]))
    for i in range(len(clip)):
        image, box = clip.render(i)
        calls.clear()
        if i == 0:
            tracker.init(image, box)
            continue
        tracker.track(image)
        assert sum(calls) <= tracker.settings.search_windows


def test_with_reacquire_off_only_the_last_place_is_searched(backend):
    from dataclasses import replace

    tracker = Tracker(backend, replace(Tracker.load().settings, reacquire=False))
    clip = _clip(np.concatenate([_stay(25, 100, 380), absent(40), _stay(30, 560, 90)]))
    results, truth = _run(tracker, clip)
    assert results[-1].state == TrackState.LOST
    assert not _found(results, truth)[64:].any()


def test_target_is_found_after_a_new_shape_of_the_image_in_the_first_frame(tracker):
    """LOST before any score of the target is known."""
    clip = _clip(_stay(30, 320, 240))
    tracker.init(*clip.render(0))
    wide = [np.ascontiguousarray(clip.render(i)[0][60:420]) for i in range(1, 30)]
    results = [tracker.track(image) for image in wide]
    assert results[0].state == TrackState.LOST
    assert results[-1].state == TrackState.TRACKING
    box = clip.render(29)[1] - np.array([0, 60, 0, 0])
    assert iou(results[-1].box, box) > 0.5
