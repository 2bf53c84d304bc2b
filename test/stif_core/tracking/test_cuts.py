"""Cuts between images."""

import numpy as np
import pytest

from stif_core.tracking.motion import CutDetector


def _scene(seed):
    return np.random.default_rng(seed).integers(0, 256, (480, 640, 3), dtype=np.uint8)


@pytest.mark.parametrize("other", [_scene(1), np.zeros((480, 640, 3), np.uint8), np.zeros((300, 200, 3), np.uint8)])
def test_another_scene_and_a_dark_frame_are_cuts(other):
    cuts = CutDetector()
    assert [cuts.update(_scene(0)), cuts.update(_scene(0)), cuts.update(other)] == [False, False, True]


def test_a_little_light_and_steady_motion_are_none():
    cuts = CutDetector()
    dim = (_scene(0) // 2).astype(np.uint8)
    assert not any(cuts.update(dim + i) for i in range(30))
    steady = CutDetector()
    seen = [steady.update(_scene(i)) for i in range(20)]
    assert not any(seen[8:])


def test_the_first_image_is_none():
    cuts = CutDetector()
    cuts.update(_scene(0))
    cuts.forget()
    assert not cuts.update(_scene(1))
