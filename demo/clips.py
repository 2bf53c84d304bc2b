"""The clip that the demo plays: rendered, a sequence folder, or a video with a box."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stif_core.cli.common import parse_box
from stif_core.evaluation.rendered_clip import RenderedClip
from stif_core.evaluation.sequences import read_sequence
from stif_core.geometry import FloatArray, check_target_box
from stif_core.io.source import FolderSource, open_source


@dataclass(frozen=True)
class Clip:
    """Images, how fast to play them, the box in the first, and the true boxes (N, 4) xywh where they are known."""

    name: str
    images: Iterable[NDArray[np.uint8]]
    fps: float
    box: FloatArray
    truth: FloatArray | None


def open_clip(sequence: str | None, video: str | None, box: str | None) -> Clip:
    """The clip that was asked for; the rendered one by default.

    Raises:
        ValueError: It cannot be read, or a video comes without a box.
    """
    if sequence and video:
        raise ValueError("give SEQ=DIR or VIDEO=FILE, not both")
    if sequence:
        folder = read_sequence(Path(sequence))
        source = FolderSource(folder.images)
        return Clip(folder.name, source, source.fps, folder.truth[0], folder.truth)
    if video:
        if not box:
            raise ValueError("VIDEO=FILE needs the target in its first image: BOX=x,y,w,h in pixels")
        film = open_source(video)
        first = next(iter(open_source(video)))
        target = check_target_box(parse_box(box), first.shape[1], first.shape[0])
        return Clip(Path(video).name, film, film.fps, target, None)
    rendered = RenderedClip()
    truth = rendered.truth()
    return Clip("rendered clip", rendered, rendered.fps, truth[0], truth)
