import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from stif_core.data.augment import apply_gain, apply_look, draw_gain, draw_look, motion_blur, motion_kernel, noise

RNG = np.random.default_rng(0)
IMAGE = cv2.GaussianBlur(RNG.integers(0, 256, (96, 96, 3), dtype=np.uint8), (0, 0), 1.5)


@pytest.mark.parametrize("length", [3, 5.5, 9.9, 11, 12.99])
@pytest.mark.parametrize("angle", [0.0, 0.4, 0.8, 1.6, 2.5])
def test_motion_blur_averages_along_its_line(length, angle):
    kernel = motion_kernel(length, angle)
    assert kernel.shape == (int(length) | 1, int(length) | 1)
    assert kernel.sum() == pytest.approx(1)
    reach = len(kernel) // 2
    padded = cv2.copyMakeBorder(IMAGE, reach, reach, reach, reach, cv2.BORDER_REFLECT_101).astype(np.float64)
    expected = sum(
        weight * padded[row : row + 96, column : column + 96] for (row, column), weight in np.ndenumerate(kernel)
    )
    np.testing.assert_allclose(motion_blur(IMAGE, length, angle), expected, atol=0.51)


def test_colour_changes_by_channel_and_stays_within_its_range():
    gain = np.array([0.5, 1.0, 3.0, 10.0], np.float32)
    image = np.full((4, 4, 3), 100, np.uint8)
    assert apply_gain(image, gain)[0, 0].tolist() == [60, 110, 255]
    assert apply_gain(image, np.array([1, 1, 1, -200], np.float32)).max() == 0
    assert image.min() == 100


def test_noise_is_normal_without_an_offset():
    grey = np.full((256, 256, 3), 128, np.uint8)
    grain = noise(grey, 9.0, seed=5).astype(np.float64) - 128
    assert grain.mean() == pytest.approx(0, abs=0.1)
    assert grain.std() == pytest.approx(9.0, rel=0.02)
    assert np.mean(np.abs(grain) < 9.5) == pytest.approx(0.71, abs=0.02)  # of the normal distribution: 0.709
    np.testing.assert_array_equal(noise(grey, 9.0, seed=5), noise(grey, 9.0, seed=5))
    assert (noise(grey, 9.0, seed=5) != noise(grey, 9.0, seed=6)).mean() > 0.9


def test_look_holds_all_that_is_random():
    rng = np.random.default_rng(1)
    before = IMAGE.copy()
    for _ in range(40):
        look = draw_look(rng, draw_gain(rng), grey=False, strength=1.0)
        np.testing.assert_array_equal(apply_look(IMAGE, look), apply_look(IMAGE, look))
    np.testing.assert_array_equal(IMAGE, before)


def test_flipped_crop_is_the_mirror_image():
    rng = np.random.default_rng(1)
    look = draw_look(rng, draw_gain(rng), grey=True, strength=1.0)
    flipped = apply_look(IMAGE, look._replace(flipped=True))
    np.testing.assert_array_equal(flipped[:, ::-1], apply_look(IMAGE, look))
    assert flipped.flags.c_contiguous
