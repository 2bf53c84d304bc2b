"""What an image costs with one target and with several: in one set that shares its passes, and each on its own."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from stif_core.evaluation.rendered_clip import Image, RenderedClip
from stif_core.runtime.backend import Backend
from stif_core.tracking import Tracker, TrackerSettings
from stif_core.tracking.target_set import TargetSet

BLOCK = 40  # images in a row by either way
COLUMNS = 4  # of the targets' places in the first image


@dataclass(frozen=True)
class Scaling:
    """Medians of the time for one image, ms, with so many targets."""

    targets: int
    together_ms: float
    apart_ms: float


def measure(
    backend: Backend, settings: TrackerSettings, counts: list[int], rounds: int, advance: Callable[[], None]
) -> list[Scaling]:
    """For every count, blocks of both ways in turn on the rendered clip; ``advance`` is called after every block pair.

    The targets are patches of the scene; none is searched for once it is lost, so that all do the same work.
    """
    settings = TrackerSettings.from_dict({**vars(settings), "reacquire": False})
    clip = RenderedClip()
    images = [image for image, _ in zip(clip, range(BLOCK), strict=False)]
    found = []
    for count in counts:
        together: list[float] = []
        apart: list[float] = []
        for _ in range(rounds):
            targets, alone = TargetSet(backend, settings), [Tracker(backend, settings) for _ in range(count)]
            for i in range(count):
                box = np.array([40 + 150 * (i % COLUMNS), 40 + 110 * (i // COLUMNS % COLUMNS), 60, 60], np.float64)
                targets.init(str(i), images[0], box)
                alone[i].init(images[0], box)
            targets.track(images[1])  # the first time in a new size of batch takes longer
            together += _milliseconds(targets.track, images[2:])
            apart += _milliseconds(partial(_track_each, alone), images[1:])
            advance()
        found.append(Scaling(count, statistics.median(together), statistics.median(apart)))
    return found


def _track_each(trackers: list[Tracker], image: Image) -> None:
    for tracker in trackers:
        tracker.track(image)


def _milliseconds(track: Callable[[Image], object], images: list[Image]) -> list[float]:
    """Of each image."""
    times = []
    for image in images:
        begin = time.perf_counter()
        track(image)
        times.append((time.perf_counter() - begin) * 1000)
    return times
