"""Others that look like the target: their tracks, and the tracker with the shipped weights among them."""

from dataclasses import replace

import numpy as np
import pytest

from stif_core.geometry import iou
from stif_core.tracking import Tracker, TrackerSettings, TrackState
from stif_core.tracking.appearance import Appearance
from stif_core.tracking.distractors import FORGOTTEN, SWAPPED, Distractors
from stif_core.tracking.locator import Sighting
from stif_core.tracking.postprocess import best_cell, other_peaks

SIDE = 40.0
IMAGE = np.full((240, 640, 3), 90, np.uint8)


def _box(x, y=120.0):
    return np.array([x - SIDE / 2, y - SIDE / 2, SIDE, SIDE])


def _looks(image=IMAGE):
    return Appearance.of(image, _box(100))


def _best(*seen):
    """(x, score) of the network's best and of others."""
    first, *others = [Sighting(_box(x), score) for x, score in seen]
    return replace(first, others=tuple(others))


def _choose(distractors, *seen, image=IMAGE, looks=None):
    return distractors.choose(image, _best(*seen), 0.9, looks or _looks(image))


def test_one_peak_is_passed_on_as_it_is():
    distractors = Distractors(_box(100))
    for x in (101, 103, 300, 20):
        best = _best((x, 0.5))
        chosen, clear = distractors.choose(IMAGE, best, 0.9, _looks())
        assert chosen is best
        assert clear


def test_the_higher_peak_of_a_known_other_is_not_taken_for_the_target():
    distractors = Distractors(_box(100))
    for i in range(5):
        _choose(distractors, (100 + i, 0.9), (180 - i, 0.7))
    chosen, clear = _choose(distractors, (175, 0.9), (105, 0.8))
    assert clear
    assert chosen.box[0] + SIDE / 2 == 105


def _crossing(distractors, frames):
    """Two cross in ``frames`` frames, as one peak while less than half a side apart; whether each was certain."""
    certain = []
    for i in range(frames):
        a, b = 100 + 200 * i / frames, 300 - 200 * i / frames
        if abs(a - b) < SIDE / 2:
            chosen, clear = _choose(distractors, ((a + b) / 2, 0.9))
        else:
            # The network prefers the one on the left all along, which the target is at first.
            left, right = sorted((a, b))
            chosen, clear = _choose(distractors, (left, 0.9), (right, 0.8))
        certain.append(clear)
    return chosen.box[0] + SIDE / 2, np.array(certain)


def test_two_that_cross_keep_their_courses_and_nothing_is_certain_while_they_are_one():
    place, certain = _crossing(Distractors(_box(100)), 60)
    assert place > 280
    assert not certain[28:33].any()
    assert certain[:25].all()
    assert certain[-10:].all()


def test_target_hidden_beside_a_known_other_is_not_confused_with_it():
    distractors = Distractors(_box(100))
    for _ in range(5):
        _choose(distractors, (100, 0.9), (200, 0.7))
    chosen, clear = _choose(distractors, (200, 0.7))
    assert not clear
    assert chosen.score == 0
    assert chosen.box[0] + SIDE / 2 == pytest.approx(100, abs=1)


def test_another_that_is_not_seen_again_is_forgotten():
    distractors = Distractors(_box(100))
    for _ in range(10):
        _choose(distractors, (100, 0.9), (200, 0.7))
    for _ in range(FORGOTTEN):
        _choose(distractors, (100, 0.9))
    assert not distractors.others


def test_a_swap_is_noticed_by_network_and_looks():
    image = IMAGE.copy()
    image[100:140, 80:120] = (20, 30, 220)  # the target's red, at 100
    looks = Appearance.of(image, _box(100))
    distractors = Distractors(_box(200))  # which took another for it
    places = []
    for _ in range(SWAPPED + 3):
        chosen, _ = _choose(distractors, (100, 0.9), (200, 0.6), image=image, looks=looks)
        places.append(chosen.box[0] + SIDE / 2)
    assert places[-1] == 100


def test_places_follow_the_camera():
    distractors = Distractors(_box(100))
    for _ in range(5):
        _choose(distractors, (100, 0.9), (200, 0.7))
    distractors.move(np.array([[1.0, 0, 100], [0, 1, 0]]))
    chosen, clear = _choose(distractors, (300, 0.9), (200, 0.8))
    assert clear
    assert chosen.box[0] + SIDE / 2 == 200


def test_other_peaks_are_apart_and_nearly_as_high():
    boxes = np.array(
        [[0, 0, 40, 40], [4, 0, 44, 40], [100, 0, 140, 40], [102, 0, 142, 40], [200, 0, 240, 40]], np.float32
    )
    score = np.array([0.9, 0.8, 0.6, 0.7, 0.3], np.float32)
    best = best_cell(score, boxes, np.array([40.0, 40.0]), 256, TrackerSettings(window=0.0))
    others = other_peaks(score, boxes, best, np.array([40.0, 40.0]), TrackerSettings())
    assert [other.box_xyxy[0] for other in others] == [102]


@pytest.fixture(scope="module")
def loaded():
    return Tracker.load()


def _run(loaded, clip, **settings):
    tracker = Tracker(loaded.backend, replace(loaded.settings, **settings))
    frames = list(clip)
    tracker.init(*frames[0])
    results, memorised = [], []
    for image, _ in frames[1:]:
        before = tracker._bank.newest
        results.append(tracker.track(image))
        memorised.append(tracker._bank.newest > before)
    truth = np.array([box for _, box in frames[1:]])
    return results, truth, np.array(memorised)


def _crossing_clip(frames=100, speed=2.6):
    pytest.importorskip("skimage")
    from stif_core.evaluation.lost.clips import LostClip
    from stif_core.evaluation.lost.pictures import photograph_cast
    from stif_core.evaluation.lost.scripts import Script

    t = np.arange(frames) - frames / 2
    size = np.full(frames, 60.0)
    target = np.column_stack([320 + speed * t, np.full(frames, 235.0), size])
    other = np.column_stack([320 - speed * t, np.full(frames, 250.0), size])
    cast = photograph_cast("development", 1000)
    cast = replace(cast, lookalikes=[cast.target])
    return LostClip("crossing", Script(target, np.zeros((frames, 2)), [other]), cast, 640, 480, 0)


def test_two_of_the_same_that_cross_are_not_swapped_and_nothing_is_memorised_meanwhile(loaded):
    results, truth, memorised = _run(loaded, _crossing_clip())
    overlaps = np.array([iou(r.box, box) for r, box in zip(results, truth, strict=True)])
    assert overlaps[:30].min() > 0.5
    assert overlaps[-15:].min() > 0.5
    states = np.array([r.state for r in results])
    assert (states[40:60] == TrackState.UNCERTAIN).any()
    assert not memorised[states != TrackState.TRACKING].any()
    assert TrackState.LOST not in states
    assert set(states[-10:]) == {TrackState.TRACKING}


def test_off_nothing_is_known_of_the_other(loaded):
    results, _, _ = _run(loaded, _crossing_clip(), distractors=False)
    assert {r.state for r in results} == {TrackState.TRACKING}


def test_alone_in_the_picture_all_is_as_without(loaded):
    clip = _crossing_clip(40)
    clip = replace(clip, script=replace(clip.script, lookalikes=[]))
    on, off = _run(loaded, clip)[0], _run(loaded, clip, distractors=False)[0]
    assert [(*a.box, a.score, a.state) for a in on] == [(*b.box, b.score, b.state) for b in off]
