"""Clips in which the target leaves and comes back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("skimage")

from stif_core.evaluation.lost.clips import make_clips
from stif_core.evaluation.lost.metrics import SHORT, short_absences
from stif_core.evaluation.lost.pictures import ELLIPSES, SCENERY, photograph_cast
from stif_core.evaluation.lost.scripts import SCRIPTS, Stage, absent
from stif_core.evaluation.lost.sheet import longest_absence


def _truth(clip, step=1):
    return np.array([clip.render(i)[1] for i in range(0, len(clip), step)])


def _absences(clip):
    return np.diff(np.isnan(_truth(clip)[:, 0]).astype(int)).tolist().count(1)


def test_same_seed_gives_the_same_frames_and_another_seed_others():
    first, again, other = (make_clips("development", 2, seed=seed)[1] for seed in (0, 0, 1))
    for frame in (0, 57):
        image, box = first.render(frame)
        image_again, box_again = again.render(frame)
        assert (image == image_again).all()
        assert box == pytest.approx(box_again, nan_ok=True)
        assert (image != other.render(frame)[0]).any()


def test_sets_share_no_object_and_no_scenery():
    assert not set(ELLIPSES["development"]) & set(ELLIPSES["report"])
    assert not set(SCENERY["development"]) & set(SCENERY["report"])


@pytest.mark.parametrize(
    ("name", "absences"), [("vanishes", 2), ("leaves", 2), ("hidden", 2), ("cut", 2), ("turn", 2), ("gone", 1)]
)
def test_target_leaves_as_often_as_the_script_says(name, absences):
    clip = make_clips("development", 8)[list(SCRIPTS).index(name)]
    assert clip.name.startswith(name)
    assert _absences(clip) == absences
    assert 300 <= len(clip) <= 900


def test_target_that_is_gone_stays_away_and_one_that_vanishes_returns_90_px_from_there():
    clips = make_clips("development", 8)
    assert np.isnan(_truth(clips[7])[120:]).all()
    target = clips[0].script.target
    gap = np.flatnonzero(np.isnan(target[:, 0]))
    assert (gap[:30] == np.arange(90, 120)).all()
    assert np.linalg.norm(target[120, :2] - target[89, :2]) == pytest.approx(90)


def test_true_box_is_where_the_picture_changes():
    """The frame with the target and the one without differ inside the box, and nowhere else."""
    clip = make_clips("development", 1)[0]
    image, (x, y, w, h) = clip.render(10)
    target = clip.script.target.copy()
    clip.script.target[10] = np.nan
    try:
        empty, _ = clip.render(10)
    finally:
        clip.script.target[:] = target
    rows, columns = np.nonzero((image != empty).any(axis=2))
    assert [columns.min(), rows.min()] == pytest.approx([x, y], abs=2)
    assert [columns.max() + 1, rows.max() + 1] == pytest.approx([x + w, y + h], abs=2)


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(sorted(SCRIPTS)), st.integers(0, 10_000), st.sampled_from([(640, 480), (1280, 720)]))
def test_every_script_starts_with_the_target_in_view(name, seed, size):
    script = SCRIPTS[name](Stage(*size, np.random.default_rng(seed)))
    x, y, target_size = script.target[0]
    assert target_size > 0.05 * size[1]
    assert 0 < x < size[0]
    assert 0 < y < size[1]
    assert len(script.target) == len(script.camera) == len(script.scenery) == len(script.flash)


@pytest.mark.parametrize("seed", range(5))
def test_look_alikes_are_not_the_target(seed):
    cast = photograph_cast("report", seed)
    for other in cast.lookalikes:
        same = other.image.shape == cast.target.image.shape
        assert not (same and (other.image == cast.target.image).all())


def test_clips_from_a_folder_of_masked_objects(shared_data):
    clips = make_clips("development", 4, shared_data / "train")
    assert np.isfinite(clips[1].render(0)[1]).all()
    with pytest.raises(ValueError, match="no training data"):
        make_clips("development", 2, shared_data / "nowhere")


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_only_absences_shorter_than_the_limit_are_left_out(absent_frames):
    mask = np.array(absent_frames)
    short = short_absences(mask)
    assert not (short & ~mask).any()
    kept = np.flatnonzero(np.diff((mask & ~short).astype(int), prepend=0, append=0)).reshape(-1, 2)
    assert all(end - start >= SHORT or end == len(mask) for start, end in kept)


def test_longest_absence_needs_a_return():
    assert longest_absence(np.array([False] * 5 + [True] * 10 + [False] * 3 + [True] * 20)) == (5, 15)
    with pytest.raises(ValueError, match="never leaves and comes back"):
        longest_absence(np.isnan(absent(20)[:, 0]))
