"""Camera motion from two images."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stif_core.tracking.motion import CameraMotion, move_box


def _texture(seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    return cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC)


@settings(max_examples=25, deadline=None)
@given(st.floats(-40, 40), st.floats(-40, 40), st.floats(-0.05, 0.05), st.floats(0.95, 1.05))
def test_shift_turn_and_zoom_are_found_within_two_pixels(x, y, angle, scale):
    image = _texture()
    true = cv2.getRotationMatrix2D((320, 240), np.degrees(angle), scale)
    true[:, 2] += (x, y)
    camera = CameraMotion()
    camera.update(image)
    found = camera.update(cv2.warpAffine(image, true, (640, 480), borderMode=cv2.BORDER_REFLECT))
    for point in ((320, 240), (200, 300), (450, 150)):
        assert np.linalg.norm((found - true) @ (*point, 1)) < 2


@pytest.mark.parametrize("other", [np.zeros((480, 640, 3), np.uint8), _texture(7), np.zeros((240, 640, 3), np.uint8)])
def test_what_cannot_be_compared_means_no_motion(other):
    camera = CameraMotion()
    camera.update(_texture())
    assert camera.update(other).tolist() == np.eye(2, 3).tolist()
    assert CameraMotion().update(other).tolist() == np.eye(2, 3).tolist()


def test_box_moves_with_its_centre_and_grows_with_the_scale():
    matrix = np.array([[2.0, 0, 10], [0, 2.0, -5]])
    assert move_box(matrix, np.array([10.0, 20, 4, 6])).tolist() == [30, 35, 8, 12]
