"""Runs of several trackers over a data set that can be interrupted and go on: a finished result is never made again."""

import ctypes
import itertools
import json
import multiprocessing
import os
import platform
import random
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib import metadata
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import stif_core
from stif_core.evaluation.datasets import Dataset
from stif_core.evaluation.realtime import RealtimeClock
from stif_core.evaluation.results import RUN_FILE, TrackerResults
from stif_core.evaluation.run import Track, run_sequence
from stif_core.evaluation.sequences import Sequence
from stif_core.evaluation.trackers import TrackerChoice, made

SEED = 0
PACKAGES = ("numpy", "onnxruntime", "openvino", "tensorrt", "torch")


@dataclass(frozen=True)
class Task:
    """One tracker on one sequence.

    Attributes:
        identity: Of the tracker, as the process that handed out the task sees it.
        realtime: Frames a second at which the images arrive; None: every image waits for the tracker.
    """

    choice: TrackerChoice
    identity: dict[str, Any]
    sequence: Sequence
    realtime: float | None = None


def run_task(task: Task) -> Track:
    """Tracks the sequence; called in any process, on any machine.

    Raises:
        ValueError: With the names of tracker and sequence: an image or the tracker is broken, or the tracker here is
            not the one that is meant.
    """
    try:
        tracker, identity = made(task.choice)
        if changed := difference(task.identity, identity):
            raise ValueError(f"it is another one on the machine that was to run it: {changed}")
        fix_seeds()
        clock = None if task.realtime is None else RealtimeClock(task.realtime)
        return run_sequence(tracker, task.sequence, clock)
    except ValueError as error:
        raise ValueError(f"{task.choice.name} on {task.sequence.name}: {error}") from None


def run_all(
    dataset: Dataset,
    root: Path,
    choices: list[TrackerChoice],
    out: Path,
    workers: int = 1,
    realtime: float | None = None,
    ray_address: str | None = None,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Makes what is missing of ``out``/TRACKER; ``progress`` is called once a tracker and sequence.

    Args:
        dataset: Its sequences are taken in their order, the trackers one after the other.
        root: Where the data set stands, for ``run.json``.
        choices: The trackers, by different names.
        out: Folder of results.
        workers: Processes; with more than one each tracker gets its share of the cores, where its threads are free.
        realtime: As in ``Task``.
        ray_address: Of a ray cluster that takes the place of processes; trackers whose threads are free get one.

    Raises:
        ValueError: A tracker is not there, ``out`` holds results of something else, or a sequence cannot be tracked;
            what was finished stays.
    """
    if not 1 <= len({choice.name for choice in choices}) == len(choices):
        raise ValueError("each tracker needs a name of its own: NAME=stif, NAME=COMMAND")
    if workers > 1 or ray_address:
        share = 1 if ray_address else max(1, (os.cpu_count() or 1) // workers)
        choices = [replace(choice, threads=choice.threads or share) for choice in choices]
    sessions = {}
    tasks = []
    for choice in choices:
        _, identity = made(choice)
        results = TrackerResults(out / choice.name)
        whole = {"dataset": dataset.name, "realtime": realtime, "seed": SEED, **identity}
        how = {"workers": workers, "threads": choice.threads, "ray": bool(ray_address)}
        sessions[choice.name] = _Session(results, whole, root, how)
        for sequence in dataset.sequences:
            if results.finished(sequence.name):
                results.read(sequence)  # of another sequence? Better said now than after hours
                progress()
            else:
                tasks.append(Task(choice, identity, sequence, realtime))
    if workers > 1 or ray_address:
        made.cache_clear()  # the trackers of this process have served: others do the work
    for task, track in _tracks(tasks, workers, ray_address):
        session = sessions[task.choice.name]
        session.results.write(task.sequence, track)
        session.add(task.sequence.name)
        progress()


class _Session:
    """What ``run.json`` says of this run; other runs may have made other sequences before."""

    def __init__(self, results: TrackerResults, identity: dict[str, Any], root: Path, how: dict[str, Any]) -> None:
        self.results = results
        before = results.description()
        if not before and results.any_finished():
            raise ValueError(
                f"{results.folder} holds results without a {RUN_FILE}, so nobody knows of what: give another "
                "--out or another name"
            )
        if changed := difference(before.get("identity", identity), identity):
            raise ValueError(
                f"{results.folder} holds results of something else: {changed}; give another --out, another name "
                "(--tracker NAME=...), or remove that folder"
            )
        self._content = {"identity": identity, "root": str(root.resolve()), "sessions": before.get("sessions", [])}
        if not before:
            results.write_description(self._content)  # ahead of the first result
        self._session = {"started": _now(), **how, **surroundings(), "sequences": []}

    def add(self, sequence: str) -> None:
        if not self._session["sequences"]:
            self._content["sessions"].append(self._session)
        self._session["sequences"].append(sequence)
        self.results.write_description(self._content)


def difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """The first entry in which two descriptions differ, in words; empty when they are equal."""
    before, now = (json.loads(json.dumps(content)) for content in (before, now))
    for key in {**now, **before}:
        if before.get(key) != now.get(key):
            if isinstance(before.get(key), dict) and isinstance(now.get(key), dict):
                return difference(before[key], now[key])
            return f"{key} was {before.get(key)}, is {now.get(key)}"
    return ""


def fix_seeds() -> None:
    """The same chance for every sequence, whatever was tracked before it."""
    random.seed(SEED)
    np.random.seed(SEED)
    cv2.setRNGSeed(SEED)
    ctypes.CDLL(None).srand(SEED)  # OpenCV's MIL draws its features with the C library's rand()


def surroundings() -> dict[str, Any]:
    """Versions and machine, for a reader who wonders about a figure or a speed."""
    versions = {"stif_core": stif_core.__version__, "python": platform.python_version(), "opencv": cv2.__version__}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform(terse=True)},
    }


def _tracks(tasks: list[Task], workers: int, ray_address: str | None) -> Iterable[tuple[Task, Track]]:
    if not tasks:
        return ()
    if ray_address:
        from stif_core.evaluation.cluster import run_on_cluster

        return run_on_cluster(tasks, ray_address)
    if workers > 1:
        return _in_processes(tasks, workers)
    return ((task, run_task(task)) for task in tasks)


def _in_processes(tasks: list[Task], workers: int) -> Iterator[tuple[Task, Track]]:
    # Forked processes would share the locks of libraries that have threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_prepare_worker, initargs=(workers,)) as pool:
        futures = {pool.submit(run_task, task): task for task in tasks}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool:
            raise ValueError(
                "a worker process died (out of memory?): the same command goes on where this one stopped"
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _prepare_worker(workers: int) -> None:
    cv2.setNumThreads(max(1, (os.cpu_count() or 1) // workers))
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C is the parent's to explain

    def end_with_parent() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _processor() -> str:
    """Name of the processor; Linux says it in /proc alone."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(itertools.chain(names, [platform.machine()]))


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
