"""Small data sets: one in the form of the real one, and trees in the layouts of public ones."""

import json

import cv2
import numpy as np
import pytest

TINY_JPEG = cv2.imencode(".jpg", np.full((8, 8, 3), 90, np.uint8))[1].tobytes()


def _image(path, rng, size=(120, 160)):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = rng.integers(0, 256, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.resize(noise, (size[1], size[0]), interpolation=cv2.INTER_CUBIC))


@pytest.fixture
def data_root(tmp_path):
    """Two sources of stills (one with masks), two clips, two backgrounds."""
    rng = np.random.default_rng(0)
    root = tmp_path / "train"
    for source, masked in (("plain", False), ("masked", True)):
        folder = root / "stills" / source
        lines = []
        for i in range(4):
            _image(folder / f"{i}.jpg", rng)
            record = {
                "file": f"{i}.jpg",
                "width": 160,
                "height": 120,
                "boxes": [[30.0, 20.0, 60.0, 50.0], [1, 1, 2, 2]],
            }
            if masked:
                mask = np.zeros((120, 160), np.uint8)
                cv2.ellipse(mask, (60, 45), (28, 23), 0, 0, 360, 255, -1)
                cv2.imwrite(str(folder / f"{i}.mask.png"), mask)
                record["mask"] = f"{i}.mask.png"
            lines.append(json.dumps(record))
        (folder / "boxes.jsonl").write_text("\n".join(lines))
    for name in ("walk", "held"):
        folder = root / "videos" / "source" / name
        lines = []
        for i in range(5):
            _image(folder / "img" / f"{i}.jpg", rng)
            lines.append(json.dumps({"frame": f"img/{i}.jpg", "boxes": {"0": [20.0 + 5 * i, 30.0, 40.0, 40.0]}}))
        (folder / "tracks.jsonl").write_text("\n".join(lines))
    for i in range(2):
        _image(root / "backgrounds" / "some" / f"{i}.jpg", rng)
    return root


def write_files(root, files):
    """Writes path -> text; ``None`` writes an image."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(TINY_JPEG if text is None else text.encode())


@pytest.fixture
def write_tree(tmp_path):
    """Writes files below a new root, twice if need be, and gives the root."""

    def write(files):
        root = tmp_path / "data_set"
        root.mkdir(exist_ok=True)
        write_files(root, files)
        return root

    return write
