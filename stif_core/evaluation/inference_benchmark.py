"""How fast networks and trackers run on this machine, side by side: ``stif benchmark infer``.

Everything that is measured takes turns in short blocks, so that what else happens on the machine hits all alike.
"""

import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from stif_core.evaluation.run import BoxTracker
from stif_core.geometry import FloatArray
from stif_core.runtime.backend import Backend, load_backend
from stif_core.runtime.graph_check import graph_costs
from stif_core.weights import PRECISIONS, ModelFiles

ROUNDS = 6
BLOCK_RUNS = 40  # of one function in each round
BLOCK_FRAMES = 25  # of one tracker in each round
WARM_UP = 10
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
MATRIX_PRODUCT = """
import time, numpy as np
a = np.ones((1024, 1024), np.float32)
def seconds():
    start = time.perf_counter()
    a @ a
    return time.perf_counter() - start
print(1024**3 / min(seconds() for _ in range(12)))
"""


@dataclass(frozen=True)
class Latency:
    """Of one function or tracker.

    Attributes:
        name: What was measured.
        p50, p95, p99: Milliseconds.
        per_second: Crops or frames a second at the median.
        limit_share: Multiply-accumulates at the median over the machine's measured fp32 matrix rate; NaN for what is no
            network. Graphs in int8 and bf16 may pass 1.
    """

    name: str
    p50: float
    p95: float
    p99: float
    per_second: float
    limit_share: float


@dataclass(frozen=True)
class Candidate:
    """A network in a backend."""

    name: str
    files: ModelFiles
    backend: Backend


def load_candidates(
    files: ModelFiles, backends: list[str], threads: int, report: Callable[[str], None]
) -> list[Candidate]:
    """Every combination of backend and precision that is there; ``report`` takes a line for each that is not.

    Args:
        files: The model.
        backends: Names as for ``load_backend``; one without a precision stands for all that the model has.
        threads: CPU threads of one inference.
        report: Takes lines for the user.

    Raises:
        ValueError: None is there.
    """
    candidates = []
    for text in backends:
        name, _, only = text.partition(":")
        for precision in [only] if only else PRECISIONS:
            chosen = replace(files, precision=precision)
            if not only and not (chosen.has_graphs if name != "torch" else precision == "fp32"):
                continue
            try:
                backend = load_backend(files, f"{name}:{precision}", threads)
            except ValueError as error:
                report(f"left out: {error}")
                continue
            candidates.append(Candidate(f"{name} {precision}", chosen, backend))
    if not candidates:
        raise ValueError(f"no backend can run {files.name}: see above")
    return candidates


def measure_memory(candidates: list[Candidate], threads: int) -> dict[str, float]:
    """Megabytes that loading and running each network adds, each in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return {
            candidate.name: pool.apply(_grown, (candidate.files, candidate.name.replace(" ", ":"), threads))
            for candidate in candidates
        }


def _grown(files: ModelFiles, backend: str, threads: int) -> float:
    process = psutil.Process()
    before = process.memory_info().rss
    for _, call in _functions(load_backend(files, backend, threads), 1):
        call()
    return (process.memory_info().rss - before) / 1e6


def measure_networks(
    candidates: list[Candidate], batches: list[int], threads: int, advance: Callable[[], None]
) -> list[Latency]:
    """Latency of each function; ``advance`` is called after each of ROUNDS rounds."""
    rate = matrix_rate(threads)
    runs: dict[str, tuple[Callable[[], object], int, int]] = {}
    for candidate in candidates:
        costs = graph_costs(replace(candidate.files, precision="fp32"))
        for batch in batches:
            for function, call in _functions(candidate.backend, batch):
                runs[f"{candidate.name}, {function}, batch {batch}"] = (
                    call,
                    batch,
                    costs[function].multiply_accumulates,
                )
    seconds = _in_turns({name: call for name, (call, _, _) in runs.items()}, BLOCK_RUNS, advance)
    return [_latency(name, seconds[name], batch, cost / rate) for name, (_, batch, cost) in runs.items()]


def measure_trackers(
    trackers: dict[str, BoxTracker], images: list[NDArray[np.uint8]], box: FloatArray, advance: Callable[[], None]
) -> list[Latency]:
    """Latency of a whole ``track`` over the same images, played to and fro.

    Args:
        trackers: By name.
        images: (H, W, 3) uint8 BGR.
        box: The target in the first image, xywh.
        advance: Called after each of ROUNDS rounds.
    """
    for tracker in trackers.values():
        tracker.init(images[0], box)
    runs = {name: _Player(tracker, images) for name, tracker in trackers.items()}
    seconds = _in_turns(runs, BLOCK_FRAMES, advance)
    return [_latency(name, values, 1, float("nan")) for name, values in seconds.items()]


class _Player:
    """Each call tracks the next image."""

    def __init__(self, tracker: BoxTracker, images: list[NDArray[np.uint8]]) -> None:
        self._tracker = tracker
        self._images = images
        self._order = to_and_fro(len(images))

    def __call__(self) -> None:
        self._tracker.track(self._images[next(self._order)])


def to_and_fro(count: int) -> Iterator[int]:
    """1 to ``count`` - 1 and back to 0, for ever: after the end of a clip a jump to its start would be no tracking.

    Raises:
        ValueError: With the first number: there is one image or none.
    """
    if count < 2:
        raise ValueError(f"a clip to play to and fro needs two images, got {count}")
    while True:
        yield from range(1, count)
        yield from range(count - 2, -1, -1)


def matrix_rate(threads: int) -> float:
    """Multiply-accumulates a second of numpy's matrix product in fp32, the best of several.

    Measured in a process of its own: numpy's threads are counted when it is loaded.
    """
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
    done = subprocess.run([sys.executable, "-c", MATRIX_PRODUCT], env=environment, capture_output=True, check=True)
    return float(done.stdout)


def _functions(backend: Backend, batch: int) -> list[tuple[str, Callable[[], object]]]:
    size, frames = backend.config.crop_size, backend.config.memory_frames
    image = np.random.default_rng(0).integers(0, 256, (batch, 3, size, size), dtype=np.uint8)
    foreground = np.zeros((batch, 1, size, size), np.uint8)
    foreground[:, :, size // 4 : -size // 4, size // 4 : -size // 4] = 1
    memory = np.repeat(backend.memorize(image, foreground)[:, None], frames, axis=1)
    enhanced = backend.enhance(memory)
    return [
        ("memorize", lambda: backend.memorize(image, foreground)),
        ("enhance", lambda: backend.enhance(memory)),
        ("track", lambda: backend.track(image, enhanced)),
    ]


def _in_turns(
    runs: Mapping[str, Callable[[], object]], block: int, advance: Callable[[], None]
) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for call in runs.values():
        for _ in range(WARM_UP):
            call()
    for _ in range(ROUNDS):
        for name, call in runs.items():
            call()  # the caches are the one's before
            for _ in range(block):
                start = time.perf_counter()
                call()
                seconds[name].append(time.perf_counter() - start)
        advance()
    return seconds


def _latency(name: str, seconds: list[float], batch: int, least: float) -> Latency:
    """``least``: seconds that one crop would take at the machine's matrix rate."""
    p50, p95, p99 = (1e3 * float(value) for value in np.percentile(seconds, (50, 95, 99)))
    median = statistics.median(seconds)
    return Latency(name, p50, p95, p99, batch / median, batch * least / median)


def clip_images(folder: Path | None, count: int = 120) -> tuple[list[NDArray[np.uint8]], FloatArray]:
    """The beginning of a sequence folder, or of the rendered clip, with the target's first box.

    Raises:
        ValueError: The folder is no sequence, or holds one image alone.
    """
    if folder is None:
        from stif_core.evaluation.rendered_clip import RenderedClip

        clip = RenderedClip(frames=count)
        return list(clip), clip.truth()[0]
    from stif_core.evaluation.sequences import read_sequence

    sequence = read_sequence(folder)
    if len(sequence.images) < 2:
        raise ValueError(f"{folder} holds one image, a tracker needs two")
    return [image for _, image in zip(range(count), sequence.frames(), strict=False)], sequence.truth[0]
