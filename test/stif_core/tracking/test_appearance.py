"""Telling the target from another by its looks."""

import cv2
import numpy as np
import pytest

from stif_core.tracking.appearance import Appearance

pytest.importorskip("skimage")

from stif_core.evaluation.rendered_clip import photograph

BOX = np.array([165.0, 5, 120, 175])  # a face


def _face():
    return photograph("astronaut.png")


def test_same_looks_are_believed_with_noise_and_a_shift():
    appearance = Appearance.of(_face(), BOX)
    noise = np.random.default_rng(0).normal(0, 6, (512, 512, 3))
    noisy = np.clip(_face() + noise, 0, 255).astype(np.uint8)
    assert appearance.belief(appearance.likeness(noisy, BOX + np.array([4, -3, 2, 5]))) == 1


def test_other_looks_are_not_believed_once_the_usual_ones_are_known():
    appearance = Appearance.of(_face(), BOX)
    for shift in range(20):
        appearance.learn(appearance.likeness(_face(), BOX + np.array([shift % 3, 0, 0, 0])))
    elsewhere = appearance.likeness(_face(), np.array([285.0, 350, 205, 160]))
    recoloured = cv2.cvtColor(_face(), cv2.COLOR_BGR2HSV)
    recoloured[..., 0] = (recoloured[..., 0] + 75) % 180
    other = appearance.likeness(cv2.cvtColor(recoloured, cv2.COLOR_HSV2BGR)[:, ::-1].copy(), [227.0, 5, 120, 175])
    assert appearance.belief(elsewhere) == 0
    assert appearance.belief(other) == 0


def test_target_that_changes_its_looks_is_given_more_room():
    steady, changing = Appearance.of(_face(), BOX), Appearance.of(_face(), BOX)
    rng = np.random.default_rng(0)
    for _ in range(40):
        steady.learn(np.array([0.98, 0.9]))
        changing.learn(np.array([0.9, rng.uniform(0.2, 0.9)]))
    assert steady.belief(np.array([0.95, 0.4])) == 0
    assert changing.belief(np.array([0.9, 0.2])) > 0.5


@pytest.mark.parametrize(
    "box", [(-30, -30, 60, 60), (500, 500, 40, 40), (10, 10, 2, 2), (0, 0, 512, 512), (5, 5, 2, 400)]
)
def test_any_box_has_looks(box):
    box = np.array(box, np.float64)
    appearance = Appearance.of(_face(), box)
    assert appearance.likeness(_face(), box) == pytest.approx([1, 1], abs=1e-3)
    flat = np.full((100, 100, 3), 7, np.uint8)
    assert np.isfinite(appearance.likeness(flat, box)).all()
