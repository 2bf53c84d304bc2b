import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stif_core.geometry import check_target_box, clip_box, iou, xywh_to_xyxy, xyxy_to_xywh

coordinate = st.floats(-1e4, 1e4)
length = st.floats(0.1, 1e4)
boxes = st.tuples(coordinate, coordinate, length, length).map(np.array)


@given(boxes)
def test_corner_form_and_back_is_the_same_box(box):
    np.testing.assert_allclose(xyxy_to_xywh(xywh_to_xyxy(box)), box, rtol=1e-9, atol=1e-8)


@given(boxes, boxes)
def test_iou_is_symmetric_and_between_0_and_1(a, b):
    assert 0 <= iou(a, b) <= 1 + 1e-9
    assert iou(a, b) == pytest.approx(iou(b, a))


@given(boxes)
def test_iou_with_itself_is_1(box):
    assert iou(box, box) == pytest.approx(1)


def test_iou_counts_areas_not_pixels():
    # Half of one box over half of the other: 1 / 3, with no +1 anywhere.
    assert iou([0, 0, 10, 10], [5, 0, 10, 10]) == pytest.approx(1 / 3)
    assert iou([0, 0, 10, 10], [10, 0, 10, 10]) == 0


def test_iou_on_a_pixel_grid_agrees_with_counting():
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = (np.append(rng.integers(0, 20, 2), rng.integers(1, 20, 2)) for _ in range(2))
        masks = []
        for x, y, w, h in (a, b):
            mask = np.zeros((40, 40), bool)
            mask[y : y + h, x : x + w] = True
            masks.append(mask)
        expected = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
        assert iou(a, b) == pytest.approx(expected)


def test_iou_with_nan_is_nan():
    assert np.isnan(iou([np.nan] * 4, [0, 0, 1, 1]))


@given(boxes, st.integers(4, 4000), st.integers(4, 4000))
def test_clipped_box_keeps_a_foot_in_the_image(box, width, height):
    x, y, w, h = clip_box(box, width, height, smallest=2.0)
    assert w >= 2
    assert h >= 2
    assert x + w >= 2 - 1e-6
    assert y + h >= 2 - 1e-6
    assert x <= width - 2 + 1e-6
    assert y <= height - 2 + 1e-6


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((1, 2, 3), "four numbers"),
        ((1, 2, float("nan"), 4), "not a finite number"),
        ((1, 2, 0, 4), "no area"),
        ((1, 2, 3, -4), "no area"),
        ((100, 2, 3, 4), "outside the image of 100x50"),
        ((1, -9, 3, 4), "outside"),
    ],
)
def test_a_box_that_cannot_be_tracked_is_refused_with_the_reason(box, reason):
    with pytest.raises(ValueError, match=reason):
        check_target_box(box, 100, 50)
