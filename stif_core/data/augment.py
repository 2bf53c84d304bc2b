"""Augmentation of crops (S, S, 3) uint8 BGR; every function draws its strength from ``rng``."""

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def colour_gain(rng: np.random.Generator) -> NDArray[np.float32]:
    """Gain of each channel and one offset, (4,): exposure and white balance."""
    gain = np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.08, 3))
    return np.append(gain, rng.normal(0, 12)).astype(np.float32)


def apply_gain(image: Image, gain: NDArray[np.float32]) -> Image:
    levels = np.arange(256, dtype=np.float32)
    table = np.clip(levels[:, None] * gain[:3] + gain[3], 0, 255).astype(np.uint8)
    return cv2.LUT(image, table[None])


def motion_blur(image: Image, rng: np.random.Generator) -> Image:
    length, angle = rng.uniform(3, 13), rng.uniform(0, np.pi)
    size = int(length) | 1
    kernel = np.zeros((size, size), np.float32)
    reach = (size - 1) / 2 * np.array([np.cos(angle), np.sin(angle)])
    start, end = np.round(size // 2 - reach).astype(int), np.round(size // 2 + reach).astype(int)
    cv2.line(kernel, (int(start[0]), int(start[1])), (int(end[0]), int(end[1])), 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def gaussian_blur(image: Image, rng: np.random.Generator) -> Image:
    return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2.0))


def low_resolution(image: Image, rng: np.random.Generator) -> Image:
    """As a small target looks after enlargement."""
    size = image.shape[0]
    small = max(24, int(size * rng.uniform(0.2, 0.7)))
    return cv2.resize(cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA), (size, size))


def jpeg(image: Image, rng: np.random.Generator) -> Image:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 80))])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def noise(image: Image, rng: np.random.Generator) -> Image:
    grain = rng.standard_normal(image.shape, dtype=np.float32) * rng.uniform(3, 14)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def grey(image: Image) -> Image:
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


CORRUPTIONS = ((motion_blur, 0.18), (gaussian_blur, 0.12), (low_resolution, 0.15), (noise, 0.1), (jpeg, 0.15))


def corrupt(image: Image, rng: np.random.Generator, strength: float) -> Image:
    """Applies each corruption with its probability times ``strength``."""
    for function, probability in CORRUPTIONS:
        if rng.random() < probability * strength:
            image = function(image, rng)
    return image
