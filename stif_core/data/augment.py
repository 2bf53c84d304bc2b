"""Augmentation of crops (S, S, 3) uint8 BGR: a ``Look`` is drawn for each, and applied."""

from statistics import NormalDist

import cv2
import numpy as np
from numpy.typing import NDArray

from stif_core.data.plans import Look

Image = NDArray[np.uint8]
LONGEST_MOTION = 13  # pixels, odd
# Probability of each step in a query crop.
MOTION, BLUR, DETAIL, NOISE, JPEG = 0.18, 0.12, 0.15, 0.1, 0.15
SMALLEST = 24  # pixels that a crop is reduced to, at least
# The normal distribution in 256 equal shares: noise by a table is several times as fast.
_QUANTILES = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)])


def draw_gain(rng: np.random.Generator) -> NDArray[np.float32]:
    """Gain of each channel and one offset, (4,): exposure and white balance."""
    gain = np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.08, 3))
    return np.append(gain, rng.normal(0, 12)).astype(np.float32)


def draw_look(rng: np.random.Generator, gain: NDArray[np.float32], grey: bool, strength: float) -> Look:
    """Each step takes place with its probability times ``strength``."""
    motion = blur = detail = noise = jpeg = None
    if rng.random() < MOTION * strength:
        motion = (rng.uniform(3, LONGEST_MOTION), rng.uniform(0, np.pi))
    if rng.random() < BLUR * strength:
        blur = rng.uniform(0.5, 2.0)
    if rng.random() < DETAIL * strength:
        detail = rng.uniform(0.2, 0.7)
    if rng.random() < NOISE * strength:
        noise = (rng.uniform(3, 14), int(rng.integers(1 << 32)))
    if rng.random() < JPEG * strength:
        jpeg = int(rng.integers(15, 80))
    return Look(gain, grey, motion, blur, detail, noise, jpeg)


def apply_look(image: Image, look: Look) -> Image:
    """The changed crop; ``image`` stays as it is."""
    image = apply_gain(image, look.gain)
    if look.grey:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    if look.motion is not None:
        image = motion_blur(image, *look.motion)
    if look.blur is not None:
        image = cv2.GaussianBlur(image, (0, 0), look.blur)
    if look.detail is not None:
        image = low_resolution(image, look.detail)
    if look.noise is not None:
        image = noise(image, *look.noise)
    if look.jpeg is not None:
        image = jpeg(image, look.jpeg)
    return cv2.flip(image, 1) if look.flipped else image


def apply_gain(image: Image, gain: NDArray[np.float32]) -> Image:
    return cv2.transform(image, np.column_stack([np.diag(gain[:3]), np.full(3, gain[3])]))


def motion_kernel(length: float, angle: float) -> NDArray[np.float32]:
    """A line of equal weights through the middle of an odd square."""
    size = int(length) | 1
    kernel = np.zeros((size, size), np.float32)
    reach = (size - 1) / 2 * np.array([np.cos(angle), np.sin(angle)])
    start, end = np.round(size // 2 - reach).astype(int), np.round(size // 2 + reach).astype(int)
    cv2.line(kernel, (int(start[0]), int(start[1])), (int(end[0]), int(end[1])), 1.0)
    return kernel / kernel.sum()


def motion_blur(image: Image, length: float, angle: float) -> Image:
    kernel = motion_kernel(length, angle)
    # Without its empty rows and columns: from 11 x 11 on OpenCV goes through a Fourier transform, fifty times as slow.
    left, top, width, height = cv2.boundingRect((kernel > 0).astype(np.uint8))
    middle = len(kernel) // 2
    return cv2.filter2D(
        image, -1, kernel[top : top + height, left : left + width], anchor=(middle - left, middle - top)
    )


def low_resolution(image: Image, share: float) -> Image:
    """As a small target looks after enlargement."""
    size = image.shape[0]
    small = max(SMALLEST, int(size * share))
    return cv2.resize(cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA), (size, size))


def noise(image: Image, sigma: float, seed: int) -> Image:
    """Normal noise, cut off at 2.9 standard deviations."""
    draws = np.frombuffer(np.random.default_rng(seed).bytes(image.size), np.uint8).reshape(image.shape)
    grain = cv2.LUT(draws, np.round(_QUANTILES * sigma).astype(np.int8))
    return cv2.add(image, grain, dtype=cv2.CV_8U)


def jpeg(image: Image, quality: int) -> Image:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)
