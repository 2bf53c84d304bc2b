"""What the clips are made of: objects to follow, objects that resemble them, and scenery."""

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stif_core.data.cutouts import Cutout, cut_out
from stif_core.data.folder import read_folder
from stif_core.evaluation.rendered_clip import photograph
from stif_core.io.source import read_frame

Image = NDArray[np.uint8]

# Objects in scikit-image's photographs, each inside an ellipse: file, xywh. The sets share no object and no scenery.
ELLIPSES = {
    "development": (
        ("astronaut.png", (165, 5, 120, 175)),
        ("coins.png", (244, 95, 49, 49)),
        ("ihc.png", (255, 305, 160, 185)),
        ("logo.png", (22, 4, 470, 470)),
        ("astronaut.png", (285, 350, 205, 160)),
    ),
    "report": (
        ("chelsea.png", (75, 10, 290, 280)),
        ("coffee.png", (165, 10, 240, 190)),
        ("coins.png", (315, 155, 64, 64)),
        ("camera.png", (160, 45, 200, 160)),
        ("motorcycle_left.png", (110, 120, 570, 350)),
    ),
}
# Other coins than the two above: look-alikes of a kind that people, too, take a second look at.
COINS = ((184, 105, 42, 42), (189, 169, 47, 47), (274, 237, 50, 50), (304, 16, 60, 60))
SCENERY = {
    "development": ("motorcycle_left.png", "gravel.png", "coffee.png", "hubble_deep_field.jpg", "camera.png"),
    "report": ("rocket.jpg", "grass.png", "astronaut.png", "brick.png", "ihc.png"),
}
LOOKALIKES = 2
SMALLEST_CUTOUT = 48  # pixels of sqrt(w h); a smaller one would be drawn larger than it is


@dataclass(frozen=True)
class Cast:
    """The pictures of one clip: the target, what resembles it, the scenery before and after a cut, and a wall."""

    target: Cutout
    lookalikes: list[Cutout]
    scenery: list[Image]
    wall: Image


def photograph_cast(split: str, seed: int) -> Cast:
    """A cast from scikit-image's photographs.

    Args:
        split: ``development`` or ``report``.
        seed: Decides which of the set's objects and sceneries.
    """
    rng = np.random.default_rng(seed)
    objects, sceneries = ELLIPSES[split], SCENERY[split]
    file, box = objects[seed % len(objects)]
    target = _ellipse(photograph(file), box)
    if file == "coins.png":
        chosen = rng.choice(len(COINS), LOOKALIKES, replace=False)
        lookalikes = [_ellipse(photograph(file), COINS[i]) for i in chosen]
    else:
        lookalikes = [
            other_identity(target, turn) for turn in rng.choice((40, 75, 105, 140), LOOKALIKES, replace=False)
        ]
    others = [name for name in sceneries if name != file]
    first, second = rng.choice(len(others), 2, replace=False)
    return Cast(target, lookalikes, [photograph(others[first]), photograph(others[second])], photograph("brick.png"))


class FolderCasts:
    """Casts from a folder of training data (see ``read_folder``): masked objects over its backgrounds.

    Raises:
        ValueError: The folder is not there, or holds no masked object.
    """

    def __init__(self, root: Path, split: str) -> None:
        data = read_folder(root, set())
        own = 0 if split == "development" else 1  # each picture belongs to one of the sets, by its name
        self._backgrounds = [path for path in data.backgrounds if _side(path.name) == own]
        self._stills = sorted(index.parent for index in root.glob("stills/*/boxes.jsonl") if _masked_lines(index, own))
        self._own = own
        if not self._stills or len(self._backgrounds) < 2:
            raise ValueError(f"{root} holds too few masked objects or backgrounds to make clips of")

    def cast(self, seed: int) -> Cast:
        """One object of a source that the seed chooses; other objects of the same source resemble it."""
        rng = np.random.default_rng(seed)
        while True:
            source = self._stills[rng.integers(len(self._stills))]
            cutouts = _cutouts(source, self._own, rng, 1 + LOOKALIKES)
            if len(cutouts) == 1 + LOOKALIKES:
                break
        first, second = rng.choice(len(self._backgrounds), 2, replace=False)
        scenery = [read_frame(self._backgrounds[i]) for i in (first, second)]
        return Cast(cutouts[0], cutouts[1:], scenery, photograph("brick.png"))


def other_identity(cutout: Cutout, hue: int) -> Cutout:
    """The same shape mirrored and in other colours; ``hue`` in OpenCV's units, 180 the whole circle.

    A grey object, which has no hue, is turned into its negative.
    """
    hsv = cv2.cvtColor(cutout.image, cv2.COLOR_BGR2HSV)
    if hsv[..., 1].mean() < 16:
        image = 255 - cutout.image
    else:
        hsv[..., 0] = (hsv[..., 0].astype(int) + hue) % 180
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    return Cutout(np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(cutout.alpha[:, ::-1]))


def _ellipse(image: Image, box: tuple[int, int, int, int]) -> Cutout:
    x, y, w, h = box
    alpha = np.zeros((h, w), np.float32)
    cv2.ellipse(alpha, (w // 2, h // 2), (w // 2 - 1, h // 2 - 1), 0, 0, 360, 1.0, -1)
    return Cutout(image[y : y + h, x : x + w], cv2.GaussianBlur(alpha, (3, 3), 0))


def _side(name: str) -> int:
    return zlib.crc32(name.encode()) % 2


def _masked_lines(index: Path, side: int) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in index.read_text().splitlines() if line.strip()]
    return [record for record in records if record.get("mask") and _side(index.parent.name + record["file"]) == side]


def _cutouts(source: Path, side: int, rng: np.random.Generator, count: int) -> list[Cutout]:
    records = _masked_lines(source / "boxes.jsonl", side)
    found: list[Cutout] = []
    for i in rng.permutation(len(records))[:40]:
        image = read_frame(source / records[i]["file"])
        mask = cv2.imread(str(source / records[i]["mask"]), cv2.IMREAD_GRAYSCALE)
        boxes = np.array(records[i]["boxes"], np.float64).reshape(-1, 4)
        if mask is None or not len(boxes):
            continue
        cutout = cut_out(image, mask, boxes[boxes[:, 2:].prod(axis=1).argmax()])
        if (
            cutout is not None
            and np.sqrt(cutout.alpha.size) >= SMALLEST_CUTOUT
            and 0.4 < cutout.alpha.shape[0] / cutout.alpha.shape[1] < 2.5
        ):
            found.append(cutout)
        if len(found) == count:
            break
    return found
