"""Runs that go on where they stopped, in one process or several."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import cv2
import numpy as np
import psutil
import pytest

from stif_core.evaluation import runs
from stif_core.evaluation.datasets import read_dataset
from stif_core.evaluation.results import TrackerResults
from stif_core.evaluation.runs import difference, fix_seeds, run_all
from stif_core.evaluation.trackers import choose

needs_contrib = pytest.mark.skipif(not hasattr(cv2, "TrackerKCF_create"), reason="this OpenCV has no KCF")
# Answers with the box it was given; notes each new target in the file that is named.
STILL = """
import sys, time
for line in sys.stdin:
    path, _, box = line.rstrip("\\n").partition("\\t")
    if box:
        kept = box
        open(sys.argv[1], "a").write(path.split("/")[-3] + "\\n")
        print("ok", flush=True)
    else:
        time.sleep(float(sys.argv[2]))
        print(kept, flush=True)
"""


@pytest.fixture
def still(tmp_path):
    """A choice of the tracker that stands still, and the sequences that it was started on."""
    (tmp_path / "still.py").write_text(STILL)
    log = tmp_path / "started.txt"

    def choice(name="still", seconds=0.0):
        return choose(f"{name}={sys.executable} {tmp_path / 'still.py'} {log} {seconds}")

    return choice, lambda: log.read_text().split() if log.exists() else []


def run(sequences, out, *choices, **options):
    dataset = read_dataset("folder", sequences)
    run_all(dataset, sequences, list(choices), out, **options)
    return dataset


def boxes(out, tracker, dataset):
    return {s.name: TrackerResults(out / tracker).read(s).boxes for s in dataset.sequences}


def test_sequences_are_tracked_in_their_order_and_never_twice(sequences, tmp_path, still):
    choice, started = still
    done = []
    run(sequences, tmp_path / "out", choice(), progress=lambda: done.append(1))
    assert started() == ["down", "right", "slant"]
    assert len(done) == 3
    before = (tmp_path / "out/still/down.txt").stat().st_mtime_ns
    run(sequences, tmp_path / "out", choice(), progress=lambda: done.append(1))
    assert started() == ["down", "right", "slant"]
    assert len(done) == 6
    assert (tmp_path / "out/still/down.txt").stat().st_mtime_ns == before


def test_what_is_missing_is_made_and_noted_as_a_session_of_its_own(sequences, tmp_path, still):
    choice, started = still
    run(sequences, tmp_path / "out", choice())
    (tmp_path / "out/still/right.txt").unlink()
    run(sequences, tmp_path / "out", choice())
    assert started() == ["down", "right", "slant", "right"]
    content = TrackerResults(tmp_path / "out/still").description()
    assert [session["sequences"] for session in content["sessions"]] == [["down", "right", "slant"], ["right"]]
    session = content["sessions"][0]
    assert session["versions"]["numpy"] == np.__version__
    assert session["machine"]["cores"] == os.cpu_count()
    assert content["identity"]["dataset"] == "folder"


def test_a_killed_run_loses_one_sequence_at_most(sequences, tmp_path, still):
    """The command itself, killed in the middle of its second sequence."""
    choice, started = still
    tracker = f"still={choice(seconds=0.1).command}"
    command = [sys.executable, "-m", "stif_core.cli", "eval", "run", "--root", sequences, "--out", tmp_path / "out"]
    process = subprocess.Popen([*map(str, command), "--tracker", tracker], stdout=subprocess.DEVNULL)
    wait_for(lambda: len(started()) == 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert TrackerResults(tmp_path / "out/still").finished("down")
    assert not TrackerResults(tmp_path / "out/still").finished("right")
    run(sequences, tmp_path / "out", choice(seconds=0.1))
    assert started() == ["down", "right", "right", "slant"]


def test_a_broken_image_stops_the_run_and_keeps_what_was_finished(sequences, tmp_path):
    (sequences / "right/img/0003.png").write_text("no image")
    with pytest.raises(ValueError, match=r"mil on right: cannot read the image .*0003.png"):
        run(sequences, tmp_path / "out", choose("mil"))
    assert TrackerResults(tmp_path / "out/mil").finished("down")


def test_results_of_another_model_are_refused(sequences, tmp_path):
    run(sequences, tmp_path / "out", choose("stif"))
    file = tmp_path / "out/stif/run.json"
    content = json.loads(file.read_text())
    assert content["identity"]["model_sha256"]
    content["identity"]["model_sha256"] = "0123456789abcdef"
    file.write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match=r"out/stif holds results of something else: model_sha256 was 0123456789abcdef"
    ):
        run(sequences, tmp_path / "out", choose("stif"))


def test_results_of_unknown_origin_are_not_added_to(sequences, tmp_path, still):
    choice, _ = still
    run(sequences, tmp_path / "out", choice())
    (tmp_path / "out/still/run.json").unlink()
    with pytest.raises(ValueError, match=r"out/still holds results without a run\.json"):
        run(sequences, tmp_path / "out", choice())


def test_another_tracker_speed_or_data_set_is_refused(sequences, tmp_path, still):
    choice, _ = still
    run(sequences, tmp_path / "out", choice())
    with pytest.raises(ValueError, match="something else: kind was program, is mil"):
        run(sequences, tmp_path / "out", choose("still=mil"))
    with pytest.raises(ValueError, match="realtime was None, is 30"):
        run(sequences, tmp_path / "out", choice(), realtime=30.0)
    lines = (sequences / "down/groundtruth.txt").read_text().replace("50,40,30,30", "51,40,30,30")
    (sequences / "down/groundtruth.txt").write_text(lines)
    with pytest.raises(ValueError, match=r"down.txt starts with the box"):
        run(sequences, tmp_path / "out", choice())


def test_two_trackers_of_one_name_are_refused(sequences, tmp_path, still):
    choice, _ = still
    with pytest.raises(ValueError, match="a name of its own"):
        run(sequences, tmp_path / "out", choice(), choice())


@needs_contrib
def test_processes_give_the_boxes_of_a_single_one(sequences, tmp_path):
    choices = [choose("stif", threads=1), choose("kcf")]
    dataset = run(sequences, tmp_path / "one", *choices)
    run(sequences, tmp_path / "two", *choices, workers=2)
    for name in ("stif", "kcf"):
        one, two = (boxes(tmp_path / out, name, dataset) for out in ("one", "two"))
        for sequence in one:
            np.testing.assert_allclose(one[sequence], two[sequence], atol=1e-6)
    session = TrackerResults(tmp_path / "two/stif").description()["sessions"][0]
    assert session["workers"] == 2
    assert TrackerResults(tmp_path / "one/stif").description()["sessions"][0]["workers"] == 1


def test_a_killed_parent_leaves_no_process_behind(sequences, tmp_path, still):
    choice, started = still
    tracker = f"still={choice(seconds=1.0).command}"
    command = [sys.executable, "-m", "stif_core.cli", "eval", "run", "--root", sequences, "--out", tmp_path / "out"]
    command += ["--workers", "2", "--tracker", tracker]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    wait_for(lambda: len(started()) == 2)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 4  # two workers and their two programs
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(family, timeout=15)
    assert not alive


def test_a_worker_that_dies_is_said_and_nothing_finished_is_lost(sequences, tmp_path):
    """A tracker whose process is killed as by the kernel when memory ends."""
    (tmp_path / "killer.py").write_text("import os, signal\ninput()\nos.kill(os.getppid(), signal.SIGKILL)\n")
    with pytest.raises(ValueError, match="a worker process died"):
        run(sequences, tmp_path / "out", choose(f"killer={sys.executable} {tmp_path / 'killer.py'}"), workers=2)


def test_the_same_seed_for_every_sequence(sequences, tmp_path):
    """MIL draws its features: alone or after others, a sequence gives the same boxes."""
    dataset = run(sequences, tmp_path / "all", choose("mil"))
    (tmp_path / "single").mkdir()
    os.symlink(sequences / "slant", tmp_path / "single" / "slant")
    run(tmp_path / "single", tmp_path / "alone", choose("mil"))
    slant = dataset.sequences[-1]
    np.testing.assert_array_equal(
        TrackerResults(tmp_path / "all/mil").read(slant).boxes, TrackerResults(tmp_path / "alone/mil").read(slant).boxes
    )


def test_seeds_are_those_of_numpy_and_opencv():
    fix_seeds()
    first = (np.random.random(), cv2.randu(np.zeros((1, 1)), 0, 1).item())
    fix_seeds()
    assert first == (np.random.random(), cv2.randu(np.zeros((1, 1)), 0, 1).item())


def test_in_real_time_skipped_images_have_no_time(sequences, tmp_path, still):
    choice, _ = still
    dataset = run(sequences, tmp_path / "out", choice(seconds=0.05), realtime=50.0)
    seconds = TrackerResults(tmp_path / "out/still").read(dataset.sequences[0]).seconds
    assert 0 < np.isnan(seconds).sum() < len(seconds)


def test_variants_of_our_tracker_differ_in_what_their_names_say():
    def settings(kind):
        return choose(kind, backend="onnxruntime", threads=1).make().tracker.settings

    whole = settings("stif")
    assert (settings("stif-initial").memory_capacity, settings("stif-off").reacquire) == (1, False)
    assert replace(settings("stif-initial"), memory_capacity=whole.memory_capacity) == whole
    assert replace(settings("stif-off"), reacquire=True, distractors=True) == whole


@pytest.mark.parametrize(
    ("text", "name", "kind", "command"),
    [
        ("stif", "stif", "stif", ""),
        ("small=stif-initial", "small", "stif-initial", ""),
        ("mine=python track.py --lr=3", "mine", "", "python track.py --lr=3"),
    ],
)
def test_trackers_by_name(text, name, kind, command):
    choice = choose(text)
    assert (choice.name, choice.kind, choice.command) == (name, kind, command)


@pytest.mark.parametrize("text", ["python track.py", "./track --lr=3", "=stif", "mine=", "..=stif", "a/b=stif"])
def test_a_program_without_a_name_is_refused(text):
    with pytest.raises(ValueError, match="NAME=COMMAND"):
        choose(text)


def test_difference_names_the_entry_that_differs():
    assert difference({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 2}}) == ""
    assert difference({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}) == "c was 2, is 3"
    assert difference({"a": 1}, {}) == "a was 1, is None"
    assert difference({"a": (1, 2)}, {"a": [1, 2]}) == ""


def test_surroundings_name_processor_and_versions():
    found = runs.surroundings()
    assert found["machine"]["processor"]
    assert found["versions"]["opencv"] == cv2.__version__


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
