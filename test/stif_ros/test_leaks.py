"""Many targets set and forgotten: memory, file descriptors and threads stay where they were."""

import gc
import multiprocessing
import threading
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from stif_core.io.ros_images import to_bgr
from stif_core.model.config import NANO
from stif_core.tracking import Tracker
from stif_core.tracking.target_set import TargetSet
from stif_ros.pipeline import TrackingPipeline
from stif_ros.target import TargetRequest

ME = psutil.Process()
SIDE = 160
PIXELS = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8).tobytes()


class NoNetwork:
    """Stands in for the network, whose time would be all of the test's: the target is always in the middle."""

    name = "none"
    batch = None
    config = NANO

    def memorize(self, image, foreground):
        return np.zeros((len(image), NANO.channels, 16, 16), np.float32)

    def enhance(self, memory):
        return memory[:, :1]

    def track(self, image, enhanced):
        score = np.full((len(image), 256), 0.1, np.float32)
        score[:, 136] = 0.9
        return score, np.broadcast_to(np.array([96, 96, 160, 160], np.float32), (len(image), 256, 4))


def message(index: int) -> SimpleNamespace:
    stamp = SimpleNamespace(sec=1 + index // 30, nanosec=index % 30 * 33_000_000)
    header = SimpleNamespace(stamp=stamp, frame_id="")
    fields = {"height": SIDE, "width": SIDE, "encoding": "bgr8", "step": 3 * SIDE, "is_bigendian": 0}
    return SimpleNamespace(header=header, data=PIXELS, **fields)


def use(pipeline: TrackingPipeline, done: threading.Semaphore, cycles: int, first: int) -> tuple[float, int, int]:
    """Sets and forgets a target ``cycles`` times; memory in MB, file descriptors and threads after it."""
    for i in range(first, first + cycles):
        pipeline.set_target(TargetRequest(str(i), np.array([60.0, 60, 40, 40]), False, None))
        for step in (0, 1) if i % 10 == 0 else (0,):
            pipeline.add_image(message(2 * i + step))
            assert done.acquire(timeout=20)
        pipeline.reset()
        if i % 100 == 0:
            pipeline.stop()
            pipeline.start()
    gc.collect()
    return ME.memory_info().rss / 1e6, ME.num_fds(), ME.num_threads()


def grown(network: str, warm_up: int, cycles: int) -> tuple[float, int, int]:
    """In a process of its own: what other tests have left behind moves its memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_grown, (network, warm_up, cycles))


def _grown(network: str, warm_up: int, cycles: int) -> tuple[float, int, int]:
    tracker = Tracker(NoNetwork()) if network == "none" else Tracker.load(threads=1)
    trackers = TargetSet(tracker.backend, tracker.settings)
    done, problems = threading.Semaphore(0), []
    pipeline = TrackingPipeline(trackers, to_bgr, lambda outcome: done.release(), lambda *told: problems.append(told))
    pipeline.start()
    try:
        before = use(pipeline, done, warm_up, 0)
        after = use(pipeline, done, cycles, warm_up)
    finally:
        pipeline.stop()
    assert problems == []
    return after[0] - before[0], after[1] - before[1], after[2] - before[2]


@pytest.mark.parametrize("cycles", [1_000, pytest.param(10_000, marks=pytest.mark.soak)])
def test_thousands_of_targets_set_and_forgotten_leave_nothing_behind(cycles):
    megabytes, descriptors, threads = grown("none", 500, cycles)
    assert (descriptors, threads) == (0, 0)
    assert megabytes < 5


def test_a_hundred_targets_on_the_real_network_leave_nothing_behind():
    megabytes, descriptors, threads = grown("nano", 40, 100)
    assert (descriptors, threads) == (0, 0)
    assert megabytes < 10


@pytest.mark.soak
def test_ten_thousand_targets_on_the_real_network_leave_nothing_behind():
    megabytes, descriptors, threads = grown("nano", 1_000, 10_000)
    print(f"memory +{megabytes:.1f} MB, descriptors +{descriptors}, threads +{threads}")
    assert (descriptors, threads) == (0, 0)
    assert megabytes < 20
