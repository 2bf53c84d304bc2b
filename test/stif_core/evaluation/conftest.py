"""Small sequences with a target that moves: a textured square over noise."""

import cv2
import numpy as np
import pytest

FRAMES = 8


@pytest.fixture
def sequences(tmp_path):
    """Three folders; the target moves by two pixels a frame, in another direction each."""
    root = tmp_path / "set"
    for number, (name, step) in enumerate((("down", (0, 2)), ("right", (2, 0)), ("slant", (2, 1)))):
        rng = np.random.default_rng(number)
        background = cv2.resize(rng.integers(0, 256, (15, 20, 3), dtype=np.uint8), (160, 120))
        target = cv2.resize(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8), (30, 30))
        (root / name / "img").mkdir(parents=True)
        boxes = []
        for i in range(FRAMES):
            x, y = 50 + i * step[0], 40 + i * step[1]
            image = background.copy()
            image[y : y + 30, x : x + 30] = target
            cv2.imwrite(str(root / name / "img" / f"{i:04d}.png"), image)
            boxes.append(f"{x},{y},30,30")
        (root / name / "groundtruth.txt").write_text("\n".join(boxes) + "\n")
    return root
