"""Sequences on a ray cluster of two nodes of this machine, one of which dies."""

import sys
import threading
import time

import cv2
import numpy as np
import pytest

from stif_core.evaluation.cluster import run_within_threads
from stif_core.evaluation.datasets import read_dataset
from stif_core.evaluation.results import TrackerResults
from stif_core.evaluation.runs import Task, run_all
from stif_core.evaluation.trackers import choose, made

pytest.importorskip("ray", reason="ray is not installed")
from ray.cluster_utils import Cluster

# Answers with the box it was given, after a while; notes node and sequence of each new target in a file.
STILL = """
import os, sys, time
for line in sys.stdin:
    path, _, box = line.rstrip("\\n").partition("\\t")
    if box:
        kept = box
        open(sys.argv[1], "a").write(os.environ["NODE"] + " " + path.split("/")[-3] + "\\n")
        print("ok", flush=True)
    else:
        time.sleep(float(sys.argv[2]))
        print(kept, flush=True)
"""


@pytest.fixture(scope="module")
def cluster():
    """Two nodes with one core each, that tell their processes which they are: the head, and another."""
    arguments = {"num_cpus": 1, "include_dashboard": False, "env_vars": {"NODE": "first"}}
    made = Cluster()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # or ray would leave a token in the home folder
        try:
            made.add_node(**arguments)
            made.second = made.add_node(num_cpus=1, env_vars={"NODE": "second"})
        except Exception as error:  # nothing more precise: a busy machine exceeds ray's limits of time
            made.shutdown()
            pytest.skip(f"ray starts no cluster here: {error}")
        yield made
        made.shutdown()


@pytest.mark.slow
def test_a_tracker_that_fails_on_a_node_is_said_in_one_line(cluster, sequences, tmp_path):
    dataset = read_dataset("folder", sequences)
    choice = choose(f"broken={sys.executable} -c 1/0")
    with pytest.raises(ValueError, match=r"^broken on \w+: tracker 'broken' ended at .*ZeroDivisionError"):
        run_all(dataset, sequences, [choice], tmp_path / "out", ray_address=cluster.address)


@pytest.mark.slow
def test_sequences_of_a_node_that_dies_run_on_another(cluster, sequences, tmp_path):
    program, log = tmp_path / "still.py", tmp_path / "started.txt"
    program.write_text(STILL)
    choice = choose(f"still={sys.executable} {program} {log} 0.4")
    dataset = read_dataset("folder", sequences)
    errors = []

    def work():
        try:
            run_all(dataset, sequences, [choice], tmp_path / "out", ray_address=cluster.address)
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    end = time.monotonic() + 120
    while not log.exists() or len({line.split()[0] for line in log.read_text().splitlines()}) < 2:
        assert time.monotonic() < end and thread.is_alive(), errors
        time.sleep(0.05)
    cluster.remove_node(cluster.second, allow_graceful=False)
    thread.join(timeout=120)
    assert not errors and not thread.is_alive()

    started = [tuple(line.split()) for line in log.read_text().splitlines()]
    lost = next(sequence for node, sequence in started if node == "second")
    assert [node for node, sequence in started if sequence == lost][-1] == "first"
    for sequence in dataset.sequences:
        track = TrackerResults(tmp_path / "out/still").read(sequence)
        np.testing.assert_array_equal(track.boxes, np.tile(sequence.truth[0], (len(sequence.images), 1)))
        assert np.isfinite(track.seconds).all()
    (session,) = TrackerResults(tmp_path / "out/still").description()["sessions"]
    assert session["threads"] == 1
    assert session["ray"] and sorted(session["sequences"]) == ["down", "right", "slant"]


def test_opencv_keeps_to_the_threads_of_a_task(sequences):
    choice = choose("mil", threads=1)
    task = Task(choice, made(choice)[1], read_dataset("folder", sequences).sequences[0])
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        assert len(run_within_threads(task).boxes) == len(task.sequence.images)
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(before)


def test_an_address_without_a_cluster_is_said(sequences, tmp_path):
    dataset = read_dataset("folder", sequences)
    choice = choose(f"broken={sys.executable} -c 1/0")
    with pytest.raises(ValueError, match=r"no ray cluster at 'nonsense'"):
        run_all(dataset, sequences, [choice], tmp_path / "out", ray_address="nonsense")
