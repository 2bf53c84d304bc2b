from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("cachetools")

from stif_core.crops import SearchWindow, plain_canvas
from stif_core.data.cutouts import placement
from stif_core.data.drawing import draw_crop, inside, pasted_box
from stif_core.data.images import ImageReader
from stif_core.data.plans import Cover, CropPlan, Cutout, Look, Pasted, Picture, Scenery

SIZE = 128
BOX = np.array([48.0, 48.0, 32.0, 32.0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A picture in blue, a red one with a masked ellipse in its middle, and a noisy one."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, colour in (("blue", (200, 0, 0)), ("red", (0, 0, 200))):
        cv2.imwrite(str(folder / f"{name}.png"), np.full((100, 140, 3), colour, np.uint8))
    mask = np.zeros((100, 140), np.uint8)
    cv2.ellipse(mask, (70, 50), (30, 20), 0, 0, 360, 255, -1)
    cv2.imwrite(str(folder / "mask.png"), mask)
    noisy = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / "noisy.png"), cv2.GaussianBlur(noisy, (0, 0), 2))
    return folder


def red_ellipse(folder, centre, size, angle=0.0):
    part = (40, 30, 101, 71)
    cutout = Cutout(folder / "red.png", folder / "mask.png", part)
    return Pasted(cutout, placement(61, 41, np.array(centre, float), size, angle, 1.0))


@settings(deadline=None, max_examples=40)
@given(st.floats(-40, 440), st.floats(-40, 340), st.floats(20, 900))
def test_crop_inside_its_picture_needs_no_canvas(folder, x, y, side):
    window = SearchWindow(x, y, side, SIZE)
    image = ImageReader(0).image(folder / "noisy.png")
    if inside(window, 400, 300):
        canvases = (np.full((SIZE, SIZE, 3), value, np.uint8) for value in (0, 255))
        black, white = (window.sample(image, canvas) for canvas in canvases)
        np.testing.assert_array_equal(black, white)
        np.testing.assert_array_equal(window.sample(image), black)


def test_scenery_that_cannot_be_seen_is_not_decoded(folder):
    seen = Picture(folder / "noisy.png", SearchWindow(200, 150, 100, SIZE))
    gone = Scenery(folder / "gone.png", 0.5, 0.5, 0.5)
    assert draw_crop(CropPlan(BOX, seen, gone), ImageReader(0), SIZE).shape == (SIZE, SIZE, 3)
    over_the_border = Picture(folder / "noisy.png", SearchWindow(0, 150, 100, SIZE))
    with pytest.raises(ValueError, match=r"gone\.png"):
        draw_crop(CropPlan(BOX, over_the_border, gone), ImageReader(0), SIZE)


def test_beyond_its_picture_a_crop_shows_the_scenery_or_the_mean_colour(folder):
    picture = Picture(folder / "red.png", SearchWindow(0, 50, 80, SIZE))
    crop = draw_crop(CropPlan(BOX, picture, Scenery(folder / "blue.png", 0.8, 0.2, 0.9)), ImageReader(0), SIZE)
    assert crop[:, :62].tolist() == [[[200, 0, 0]] * 62] * SIZE
    assert crop[:, 66:].tolist() == [[[0, 0, 200]] * 62] * SIZE
    noisy = Picture(folder / "noisy.png", SearchWindow(0, 150, 80, SIZE))
    plain = plain_canvas(ImageReader(0).image(folder / "noisy.png"), 1)[0, 0]
    assert (draw_crop(CropPlan(BOX, noisy, None), ImageReader(0), SIZE)[:, :62] == plain).all()


@settings(deadline=None, max_examples=40)
@given(st.floats(-20, 150), st.floats(-20, 150), st.floats(5, 70), st.floats(-0.5, 0.5))
def test_box_of_a_pasted_object_is_where_it_was_drawn(folder, x, y, size, angle):
    images = ImageReader(10**8)
    pasted = red_ellipse(folder, (x, y), size, angle)
    ground = Scenery(folder / "blue.png", 0.8, 0.5, 0.5)
    crop = draw_crop(CropPlan(BOX, None, ground, (pasted,)), images, SIZE)
    red = np.argwhere(crop[..., 2] > 100)
    box = pasted_box(pasted, images, SIZE)
    if box is None:
        assert len(red) == 0
    else:
        top, left = red.min(axis=0)
        bottom, right = red.max(axis=0) + 1
        assert box == pytest.approx([left, top, right - left, bottom - top], abs=1)
    # No fringe: every colour is a mixture of the two.
    assert np.abs(crop[..., 0].astype(int) + crop[..., 2] - 200).max() <= 3
    assert crop[..., 1].max() == 0


def test_later_objects_lie_in_front_and_the_cover_before_all(folder):
    pasted = (red_ellipse(folder, (64, 64), 40),)
    cover = Cover((64, 0, 128, 128), Scenery(folder / "blue.png", 0.8, 0.5, 0.5))
    crop = draw_crop(CropPlan(BOX, None, cover.scenery, pasted, cover), ImageReader(0), SIZE)
    assert crop[64, 60].tolist() == [0, 0, 200]
    assert crop[64, 68].tolist() == [200, 0, 0]


def test_final_box_is_that_of_the_flipped_crop():
    look = Look(np.array([1, 1, 1, 0], np.float32), flipped=True)
    plan = CropPlan(np.array([10.0, 20, 30, 40]), None, Scenery(Path(), 1, 0, 0), look=look)
    assert plan.final_box(SIZE).tolist() == [88, 20, 30, 40]


@given(
    st.integers(30, 500),
    st.integers(30, 500),
    st.floats(0.4, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0.3, 0.9),
)
def test_scenery_stays_within_its_picture(width, height, share, x, y, view):
    window = Scenery(Path(), share, x, y, (view / 2, 1 - view / 2, view)).window(width, height, SIZE)
    assert window.side == pytest.approx(share * view * min(width, height))
    for position, length in ((window.x, width), (window.y, height)):
        assert position - window.side / 2 >= -1e-6
        assert position + window.side / 2 <= length + 1e-6
