"""A contact sheet of one loss and recovery."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stif_core.evaluation.lost.benchmark import LostResult
from stif_core.evaluation.lost.clips import LostClip
from stif_core.evaluation.lost.metrics import SHORT, ClipRun
from stif_core.geometry import FloatArray
from stif_core.io.drawing import TRUTH_COLOUR, contact_sheet, draw_box, draw_track

COLUMNS = 4
TILE_WIDTH = 320


def loss_sheet(clip: LostClip, run: ClipRun, truth: FloatArray) -> NDArray[np.uint8]:
    """Twelve frames around the clip's longest absence that the target comes back from; the truth in white.

    Raises:
        ValueError: The target never leaves and comes back.
    """
    start, end = longest_absence(np.isnan(truth[:, 0]))
    reported = next((i for i in range(start, end) if run.states[i] != "TRACKING"), end)
    found = next((i for i in range(end, len(clip)) if run.states[i] == "TRACKING"), len(clip) - 1)
    frames = [start - 10, start - 1, start, reported, start + (end - start) // 3, start + 2 * (end - start) // 3]
    frames += [end - 1, end, (end + found) // 2, found, found + 5, found + 20]
    tiles = []
    for frame in sorted(np.clip(frames, 0, len(clip) - 1).tolist()):
        image, box = clip.render(frame)
        image = draw_track(image, run.boxes[frame], float(run.confidence[frame]), run.states[frame])
        draw_box(image, box, TRUTH_COLOUR, 1)
        place = (6, image.shape[0] - 10)
        cv2.putText(image, f"frame {frame}", place, cv2.FONT_HERSHEY_SIMPLEX, 0.7, TRUTH_COLOUR, 2, cv2.LINE_AA)
        tiles.append(image)
    return contact_sheet(tiles, COLUMNS, TILE_WIDTH)


def write_sheet(path: Path, clips: list[LostClip], result: LostResult) -> None:
    """The sheet of the first tracker on the first clip in which the target leaves and comes back, as an image file.

    Raises:
        ValueError: There is no such clip, or the file cannot be written.
    """
    for clip in clips:
        try:
            image = loss_sheet(clip, next(iter(result.runs[clip.name].values())), result.truths[clip.name])
        except ValueError:
            continue
        if path.suffix.lower() not in (".png", ".jpg") or not cv2.imwrite(str(path), image):
            raise ValueError(f"cannot write {path}: expected a .png or .jpg file in a folder that exists")
        return
    raise ValueError("no clip in which the target leaves and comes back: more --clips")


def longest_absence(absent: NDArray[np.bool_]) -> tuple[int, int]:
    """First and behind-last frame of the longest run of absence that ends before the clip; ValueError without one."""
    edges = np.flatnonzero(np.diff(absent.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    runs = [(int(start), int(end)) for start, end in edges if end < len(absent) and end - start >= SHORT]
    if not runs:
        raise ValueError("the target never leaves and comes back")
    return max(runs, key=lambda run: run[1] - run[0])
