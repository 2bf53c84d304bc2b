import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stif_core.crops import SearchWindow, foreground_map, plain_canvas
from stif_core.geometry import xywh_to_xyxy, xyxy_to_xywh

inside = st.floats(0, 1)
SIZE = 256


def smooth_blob(width: int, height: int, x: float, y: float, sigma: float) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width] + 0.5
    blob = 200 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return np.repeat(blob[..., None].round().astype(np.uint8), 3, axis=2)


def centroid(image: np.ndarray) -> np.ndarray:
    weight = image[..., 0].astype(float)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    return np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()


@given(
    st.tuples(st.floats(-50, 2000), st.floats(-50, 1100), st.floats(3, 900), st.floats(3, 900)),
    st.tuples(st.floats(-300, 2300), st.floats(-300, 1300), st.floats(8, 4000)),
)
def test_decoding_inverts_the_crop(box, window):
    # Also for windows and boxes over the image's border, and in both box orders.
    window = SearchWindow(*window, SIZE)
    in_crop = window.to_crop(box)
    np.testing.assert_allclose(window.to_image(in_crop), box, atol=0.01)
    np.testing.assert_allclose(window.to_image(xyxy_to_xywh(xywh_to_xyxy(in_crop))), box, atol=0.01)


@settings(max_examples=60, deadline=None)
@given(x=inside, y=inside, offset=st.tuples(st.floats(-0.15, 0.15), st.floats(-0.15, 0.15)), side=st.floats(100, 900))
def test_pixels_land_where_the_map_says(x, y, offset, side):
    # A blob at (x, y) is sampled, found in the crop by its centre of mass, and mapped back: within 0.05 crop pixels,
    # whatever the scale (enlarged, reduced, reduced by blocks) and however the window lies against the pixel grid.
    width, height = 400, 300
    window_x, window_y = 60 + 280 * x, 60 + 180 * y
    blob_x, blob_y = window_x + offset[0] * side, window_y + offset[1] * side
    sigma = max(2.0, side / 40)
    blob_x, blob_y = np.clip(blob_x, 5 * sigma, width - 5 * sigma), np.clip(blob_y, 5 * sigma, height - 5 * sigma)
    if max(abs(blob_x - window_x), abs(blob_y - window_y)) > side / 2 - 5 * sigma:
        return  # the blob would be cut by the crop's edge
    window = SearchWindow(window_x, window_y, side, SIZE)
    crop = window.sample(smooth_blob(width, height, blob_x, blob_y, sigma), np.zeros((SIZE, SIZE, 3), np.uint8))
    found = window.to_image(np.append(centroid(crop), (0, 0)))[:2]
    pixel = max(1.0, side / SIZE)  # OpenCV samples at 1/32 of a crop pixel, and values are whole numbers
    assert found == pytest.approx([blob_x, blob_y], abs=0.05 * pixel)


def test_outside_the_image_the_canvas_stays():
    image = np.full((50, 50, 3), 200, np.uint8)
    crop = SearchWindow(0, 0, 100, SIZE).sample(image, np.full((SIZE, SIZE, 3), 7, np.uint8))
    assert (crop[:120, :120] == 7).all()
    assert (crop[140:250, 140:250] == 200).all()


@given(st.floats(-50, 450), st.floats(-50, 350), st.floats(10, 900))
def test_within_the_image_no_canvas_is_seen(x, y, side):
    image = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    window = SearchWindow(x, y, side, 64)
    black, white = (window.sample(image, np.full((64, 64, 3), value, np.uint8)) for value in (0, 255))
    if window.within(400, 300):
        np.testing.assert_array_equal(black, white)
        np.testing.assert_array_equal(window.sample(image), black)
    room = min(x, y, 400 - x, 300 - y) - side / 2
    assert window.within(400, 300) == (room >= max(1.0, side / 64))


def test_canvas_has_the_mean_colour():
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 1] = 90
    assert plain_canvas(image, 8).tolist() == [[[0, 90, 0]] * 8] * 8


def test_window_around_a_box_is_four_times_its_size():
    window = SearchWindow.around((10, 20, 40, 10), SIZE)
    assert (window.x, window.y, window.side) == (30, 25, 80)


@given(
    st.tuples(st.floats(-500, 500), st.floats(-500, 500), st.floats(0, 600), st.floats(0, 600)),
)
def test_foreground_is_never_empty(box):
    foreground = foreground_map(box, SIZE)
    assert foreground.sum() >= 1
    assert set(np.unique(foreground)) <= {0, 1}


def test_foreground_covers_the_box():
    foreground = foreground_map((10, 20, 30, 40), SIZE)
    assert foreground[20:60, 10:40].all()
    assert foreground.sum() == 30 * 40
