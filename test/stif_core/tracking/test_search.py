"""Which windows a LOST target is looked for in."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stif_core.tracking.search import TargetSketch, WholeImageSearch
from stif_core.tracking.settings import TrackerSettings

SETTINGS = TrackerSettings()


def _scene(width=640, height=480):
    noise = np.random.default_rng(1).integers(60, 160, (height // 20, width // 20, 3), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def _put(image, x, y, size=48):
    """A target of two colours with its corner at (x, y); its box."""
    image = image.copy()
    image[y : y + size, x : x + size // 2] = (30, 40, 220)
    image[y : y + size, x + size // 2 : x + size] = (220, 200, 30)
    return image, np.array([x, y, size, size], np.float64)


def _search(image, box):
    return WholeImageSearch(TargetSketch.of(image, box), box[2:], 256, SETTINGS)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 590), st.integers(0, 430))
def test_first_window_holds_a_target_that_stands_out(x, y):
    search = _search(*_put(_scene(), 300, 200))
    image, _ = _put(_scene(), x, y)
    (window, _), *_ = search.next_windows(image, np.array([320.0, 240.0]), 100.0, 2)
    assert abs(x + 24 - window.x) < window.side * 0.45
    assert abs(y + 24 - window.y) < window.side * 0.45


@pytest.mark.parametrize("size", [(640, 480), (320, 1280)])
def test_every_place_gets_its_turn_at_every_scale(size):
    image, box = _put(_scene(*size), 100, 100)
    search = _search(image, box)
    empty = _scene(*size)
    search.next_windows(empty, np.zeros(2), 50.0, 0)
    count = len(search._windows)
    seen = {scale: np.zeros((size[1], size[0]), bool) for scale in SETTINGS.search_scales}
    for _ in range(count):
        for window, wh in search.next_windows(empty, np.zeros(2), 50.0, 2):
            reach = window.side * 0.3
            top, left = max(0, int(window.y - reach)), max(0, int(window.x - reach))
            area = seen[min(seen, key=lambda scale: abs(scale * box[2] - wh[0]))]
            area[top : int(window.y + reach) + 1, left : int(window.x + reach) + 1] = True
    assert all(area.all() for area in seen.values())


@pytest.mark.parametrize(
    "box", [(0, 0, 3, 3), (630, 470, 30, 30), (0, 0, 640, 480), (100, 0, 2, 470), (-20, -20, 40, 40)]
)
def test_any_target_can_be_searched(box):
    image = _scene()
    search = _search(image, np.array(box, np.float64))
    for window, size in search.next_windows(image, np.array([0.0, 0.0]), 10.0, 2):
        assert np.isfinite([window.x, window.y, window.side, *size]).all()
