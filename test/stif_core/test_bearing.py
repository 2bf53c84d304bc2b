"""Bearings: what the camera projects is recovered, with every convention of CameraInfo."""

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stif_core.bearing import Camera, azimuth_elevation
from stif_core.bearing_rate import LONGEST_GAP, BearingRate

WIDTH, HEIGHT = 1280, 960
MATRIX = (900.0, 0.0, 650.0, 0.0, 905.0, 470.0, 0.0, 0.0, 1.0)
MILD = st.floats(-0.05, 0.05)
TANGENTIAL = st.floats(-0.003, 0.003)


def camera(**fields) -> Camera:
    return Camera.from_info(**{"width": WIDTH, "height": HEIGHT, "matrix": MATRIX, **fields})


def direction(azimuth: float, elevation: float) -> np.ndarray:
    """Unit vector in the optical frame, from the definition of the angles."""
    flat = np.cos(elevation)
    return np.array([flat * np.sin(azimuth), -np.sin(elevation), flat * np.cos(azimuth)])


def project(ray: np.ndarray, model: str, coefficients) -> np.ndarray:
    """OpenCV's pixel of a ray, in our continuous coordinates."""
    k, d, zero = np.reshape(MATRIX, (3, 3)), np.array(coefficients, dtype=float), np.zeros(3)
    project_points = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    pixels, _ = project_points(ray.reshape(1, 1, 3), zero, zero, k, d)
    return pixels.ravel() + 0.5


def angle_between(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b))


angles = st.tuples(st.floats(-0.6, 0.6), st.floats(-0.5, 0.5))


@settings(deadline=None)
@given(angles, st.floats(-0.4, 0.1), st.floats(-0.02, 0.15), TANGENTIAL, TANGENTIAL, st.floats(-0.02, 0.02))
def test_plumb_bob_is_inverted(at, k1, k2, p1, p2, k3):
    # Only where the polynomial is a lens: the distorted radius grows with the true one, with some margin.
    radii = np.linspace(0, 1.05 * np.hypot(np.tan(0.6), np.tan(0.5) / np.cos(0.6)), 100)
    radial = radii * (1 + k1 * radii**2 + k2 * radii**4 + k3 * radii**6)
    assume(np.diff(radial).min() > 0.1 * (radii[1] - radii[0]))
    ray, coefficients = direction(*at), (k1, k2, p1, p2, k3)
    (found,) = camera(model="plumb_bob", distortion=coefficients).rays(
        project(ray, "plumb_bob", coefficients), WIDTH, HEIGHT
    )
    assert angle_between(found, ray) < 1e-6


@settings(deadline=None)
@given(angles, st.tuples(MILD, MILD, TANGENTIAL, TANGENTIAL, MILD, MILD, MILD, MILD))
def test_rational_polynomial_is_inverted(at, coefficients):
    ray = direction(*at)
    (found,) = camera(model="rational_polynomial", distortion=coefficients).rays(
        project(ray, "rational_polynomial", coefficients), WIDTH, HEIGHT
    )
    assert angle_between(found, ray) < 1e-6


@settings(deadline=None)
@given(
    st.tuples(st.floats(-1.2, 1.2), st.floats(-1.0, 1.0)),
    st.tuples(MILD, st.floats(-0.01, 0.01), st.floats(-0.002, 0.002), st.floats(-0.0005, 0.0005)),
)
def test_equidistant_is_inverted(at, coefficients):
    ray = direction(*at)
    (found,) = camera(model="equidistant", distortion=coefficients).rays(
        project(ray, "equidistant", coefficients), WIDTH, HEIGHT
    )
    assert angle_between(found, ray) < 1e-6


def test_fisheye_sees_behind_its_image_plane():
    theta = np.radians(100)
    pixel = [650 + 0.5 + 900 * theta, 470.5]
    (found,) = camera(model="equidistant", distortion=(0, 0, 0, 0)).rays(pixel, WIDTH, HEIGHT)
    np.testing.assert_allclose(found, [np.sin(theta), 0, np.cos(theta)], atol=1e-9)
    assert found[2] < 0


def test_strong_published_calibrations_are_inverted_over_the_whole_image():
    # A wide-angle lens by plumb_bob and a webcam by the rational polynomial, with coefficients of usual size.
    pixels = np.stack(np.meshgrid(np.linspace(0.5, WIDTH - 0.5, 33), np.linspace(0.5, HEIGHT - 0.5, 25)), -1)
    pixels = pixels.reshape(-1, 2)
    for model, coefficients in (
        ("plumb_bob", (-0.30, 0.10, 0.001, -0.0005, -0.01)),
        ("rational_polynomial", (0.54, -2.5, 0.0006, -0.0002, 1.5, 0.41, -2.3, 1.4)),
    ):
        rays = camera(model=model, distortion=coefficients).rays(pixels, WIDTH, HEIGHT)
        again, _ = cv2.projectPoints(
            rays[:, None], np.zeros(3), np.zeros(3), np.reshape(MATRIX, (3, 3)), np.array(coefficients)
        )
        np.testing.assert_allclose(again[:, 0] + 0.5, pixels, atol=1e-6)


@settings(deadline=None)
@given(angles)
def test_angles_are_right_and_up(at):
    azimuth, elevation = azimuth_elevation(direction(*at))
    np.testing.assert_allclose([azimuth, elevation], at, atol=1e-9)


def test_pixel_right_of_and_above_the_centre_has_positive_angles():
    azimuth, elevation = azimuth_elevation(camera().rays([[1000, 100]], WIDTH, HEIGHT)[0])
    assert azimuth == pytest.approx(np.arctan((1000 - 650.5) / 900))
    assert elevation == pytest.approx(np.arctan((470.5 - 100) / 905 / np.hypot(1, (1000 - 650.5) / 900)))


@settings(max_examples=50, deadline=None)
@given(
    st.floats(0, WIDTH), st.floats(0, HEIGHT), st.sampled_from([1, 2, 4]), st.sampled_from([1, 2]), st.floats(0.3, 2)
)
def test_binned_cut_and_resized_images_give_the_same_ray(x, y, bin_x, bin_y, resized):
    """The same spot on the sensor, seen through binning, a region of interest and a resize."""
    (expected,) = camera().rays([x, y], WIDTH, HEIGHT)
    roi = (160, 120, 960, 720)
    width, height = round(roi[2] / bin_x * resized), round(roi[3] / bin_y * resized)
    pixel = ((x - roi[0]) * width / roi[2], (y - roi[1]) * height / roi[3])
    (found,) = camera(binning=(bin_x, bin_y), roi=roi).rays(pixel, width, height)
    assert angle_between(found, expected) < 1e-9


def test_image_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="1280x720 has another shape than camera_info's 1280x960"):
        camera().rays([10, 10], 1280, 720)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"matrix": (0,) * 9}, "not calibrated"),
        ({"matrix": (900, 0, 650, 0, -905, 470, 0, 0, 1)}, "no camera matrix"),
        ({"matrix": (np.nan, 0, 650, 0, 905, 470, 0, 0, 1)}, "not a finite number"),
        ({"matrix": (900, 0, 650, 900, 0.1, 470, 0, 0, 1)}, "no camera matrix"),
        ({"width": 0}, "0x960"),
        ({"model": "plumb_bob", "distortion": (0.1, 0.1)}, "2 coefficients for the model plumb_bob"),
        ({"model": "equidistant", "distortion": (0.1,) * 5}, "5 coefficients for the model equidistant"),
        ({"model": "ds", "distortion": (0.1,) * 5}, "distortion model 'ds'"),
        ({"roi": (1000, 0, 500, 500)}, "region of interest"),
    ],
)
def test_calibration_that_cannot_be_used_is_refused_with_the_reason(fields, reason):
    with pytest.raises(ValueError, match=reason):
        camera(**fields)


numbers = st.floats(allow_nan=True, allow_infinity=True)
counts = st.integers(0, 2**32 - 1)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(deadline=None, max_examples=300)
@given(
    st.builds(
        dict,
        width=counts,
        height=counts,
        matrix=st.one_of(
            st.just(MATRIX),
            st.lists(numbers, min_size=9, max_size=9),
            st.tuples(numbers, numbers, numbers, numbers).map(lambda v: (v[0], 0, v[1], 0, v[2], v[3], 0, 0, 1)),
        ),
        model=st.sampled_from(["plumb_bob", "rational_polynomial", "equidistant", "", "other"]),
        distortion=st.one_of(*(st.lists(numbers, min_size=n, max_size=n) for n in (0, 4, 5, 8, 14))),
        binning=st.tuples(counts, counts),
        roi=st.tuples(counts, counts, counts, counts),
    ),
    st.tuples(numbers, numbers),
    st.integers(1, 10_000),
)
def test_whatever_camera_info_says_the_answer_is_a_unit_vector_nan_or_a_reason(fields, pixel, width):
    for values in (fields, {**fields, "width": WIDTH, "height": HEIGHT, "roi": (0, 0, 0, 0), "binning": (1, 1)}):
        try:
            (ray,) = Camera.from_info(**values).rays(pixel, width, max(1, round(width * 0.75)))
        except ValueError:
            continue
        assert np.isnan(ray).any() or np.linalg.norm(ray) == pytest.approx(1)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("model", ["plumb_bob", "equidistant"])
def test_pixel_far_beyond_any_image_gives_a_unit_vector_or_nan(model):
    camera = Camera.from_info(WIDTH, HEIGHT, MATRIX, model, (0.0,) * 4)
    (ray,) = camera.rays((0.0, 1e160), WIDTH, HEIGHT)
    assert np.isnan(ray).any() or np.linalg.norm(ray) == pytest.approx(1)


@pytest.mark.parametrize("model", ["", "plumb_bob", "anything"])
def test_no_coefficients_are_no_distortion(model):
    (found,) = camera(model=model, distortion=()).rays([650.5 + 900, 470.5], WIDTH, HEIGHT)
    np.testing.assert_allclose(found, np.array([1, 0, 1]) / np.sqrt(2), atol=1e-12)


def test_pixel_beyond_the_fold_of_the_polynomial_has_no_ray():
    strong = camera(model="plumb_bob", distortion=(-0.5, 0, 0, 0, 0))
    # The distorted radius is largest, 0.544, at a true one of 0.816.
    inside, outside = strong.rays([[650.5 + 0.53 * 900, 470.5], [650.5 + 0.56 * 900, 470.5]], WIDTH, HEIGHT)
    radius = inside[0] / inside[2]
    assert radius < 0.816
    assert radius * (1 - 0.5 * radius**2) == pytest.approx(0.53)
    assert np.isnan(outside).all()
    fisheye = camera(model="equidistant", distortion=(-0.3, 0, 0, 0))
    assert np.isnan(fisheye.rays([650.5 + 0.8 * 900, 470.5], WIDTH, HEIGHT)).all()


def ramp(rate: float, count: int, period: float = 1 / 30, noise: float = 0.0, seed: int = 0):
    times = np.arange(count) * period
    return times, rate * times + np.random.default_rng(seed).normal(0, noise, count)


@settings(deadline=None)
@given(st.floats(-2, 2), st.floats(-2, 2), st.integers(0, 2**62))
def test_rate_of_a_steady_turn_is_exact(azimuth_rate, elevation_rate, start_ns):
    rate = BearingRate()
    for i in range(12):
        dt = i * 0.04
        found = rate.add(start_ns + i * 40_000_000, azimuth_rate * dt, elevation_rate * dt)
    np.testing.assert_allclose(found, (azimuth_rate, elevation_rate), atol=1e-9)


def test_rate_is_unknown_at_first_after_a_gap_and_after_a_restart():
    rate = BearingRate()

    def known(start: float) -> list[bool]:
        return [bool(np.isfinite(rate.add(int((start + i / 30) * 1e9), 0.1 * i, 0.0)[0])) for i in range(4)]

    assert known(10.0) == [False, False, True, True]
    assert known(10.0 + 3 / 30 + LONGEST_GAP + 0.01) == [False, False, True, True]
    rate.restart()
    assert known(11.0) == [False, False, True, True]
    assert known(5.0) == [False, False, True, True]  # time ran backwards


def test_rate_is_steadier_than_the_difference_of_two_bearings():
    times, azimuths = ramp(0.5, 300, noise=0.002)
    rate = BearingRate()
    found = [rate.add(int(t * 1e9), a, 0.0)[0] for t, a in zip(times, azimuths, strict=True)][10:]
    differences = np.diff(azimuths) * 30
    assert np.mean(found) == pytest.approx(0.5, abs=0.02)
    assert np.std(found) < np.std(differences) / 6


def test_rate_goes_through_the_direction_behind():
    rate = BearingRate()
    for i in range(10):
        azimuth = np.pi - 0.1 + 0.5 * i * 0.05
        found, _ = rate.add(i * 50_000_000, (azimuth + np.pi) % (2 * np.pi) - np.pi, 0.0)
    assert found == pytest.approx(0.5)
