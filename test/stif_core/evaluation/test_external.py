"""A program as tracker, spoken to over its standard input and output: real small programs."""

import subprocess
import sys
import time

import numpy as np
import pytest

from stif_core.evaluation.external import ExternalTracker
from stif_core.evaluation.run import run_sequence
from stif_core.evaluation.sequences import read_sequence

# Says that the target moves a pixel to the right with every image.
MOVER = """
import sys
for line in sys.stdin:
    path, _, box = line.rstrip("\\n").partition("\\t")
    open(path, "rb").close()
    if box:
        x, y, w, h = map(float, box.split(","))
        print("ok", flush=True)
    else:
        x += 1
        print(f"{x},{y},{w},{h},0.5,TRACKING", flush=True)
"""


def program(tmp_path, text):
    path = tmp_path / "program.py"
    path.write_text(text)
    return f"{sys.executable} {path}"


def start(tmp_path, text, seconds=20.0):
    return ExternalTracker("mine", program(tmp_path, text), seconds)


def test_a_program_tracks_sequences_one_after_the_other(tmp_path, sequences):
    tracker = start(tmp_path, MOVER)
    for folder in sorted(sequences.iterdir()):
        sequence = read_sequence(folder)
        track = run_sequence(tracker, sequence)
        expected = sequence.truth[0] + np.outer(np.arange(len(sequence.images)), [1, 0, 0, 0])
        np.testing.assert_allclose(track.boxes, expected)
        assert track.states[1:] == ["TRACKING"] * (len(expected) - 1)
        assert track.confidence[1:].tolist() == [0.5] * (len(expected) - 1)


def test_nan_is_a_target_that_is_not_seen(tmp_path):
    tracker = start(tmp_path, "for first in (True, False):\n input()\n print('ok' if first else 'nan,nan,nan,nan')")
    tracker.init("a.jpg", [1, 2, 3, 4])
    assert np.isnan(tracker.track("b.jpg")).all()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("input(); print('ok'); input(); print('1,2,3')", "answered '1,2,3' for b.jpg, expected x,y,w,h"),
        ("input(); print('ok'); input(); print('somewhere')", "answered 'somewhere'"),
        ("input(); print('1,2,3,4')", "answered '1,2,3,4' for a new target in a.jpg, expected ok"),
        ("import sys; input(); sys.exit('weights not found')", "ended at a.jpg: exit code 1, weights not found"),
        ("input(); print('ok'); 1 / 0", "ended at b.jpg: exit code 1, ZeroDivisionError: division by zero"),
        ("input(); print('ok\\nmodel loaded', flush=True); input()", "said 'model loaded' unasked, before b.jpg"),
    ],
)
def test_what_goes_wrong_is_said_with_the_image(tmp_path, text, reason):
    tracker = start(tmp_path, text)

    def track():
        tracker.init("a.jpg", [1, 2, 3, 4])
        time.sleep(0.2)  # what is said unasked has to arrive
        tracker.track("b.jpg")

    with pytest.raises(ValueError, match=r"tracker 'mine' ") as error:
        track()
    assert reason in str(error.value)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (["1,2,3,4,0.5", "1,2,3,4"], "answered '1,2,3,4' for b.jpg, but its boxes before came with a confidence"),
        (
            ["1,2,3,4", "1,2,3,4,0.5"],
            "answered '1,2,3,4,0.5' for b.jpg, but its boxes before came without a confidence",
        ),
        (["1,2,3,4,0.5", "1,2,3,4,nan"], "came with a confidence: give one with every box, or with none"),
        (["1,2,3,4,0.5", "nan,nan,nan,nan"], ""),  # no box, no confidence
    ],
)
def test_a_confidence_comes_with_every_box_or_with_none(tmp_path, answers, reason):
    lines = "\n".join(f"input(); print({answer!r})" for answer in ["ok", "nan,nan,nan,nan", *answers])
    tracker = start(tmp_path, lines)
    tracker.init("a.jpg", [1, 2, 3, 4])
    tracker.track("b.jpg")
    tracker.track("b.jpg")
    if reason:
        with pytest.raises(ValueError, match="tracker 'mine' ") as error:
            tracker.track("b.jpg")
        assert reason in str(error.value)
    else:
        assert np.isnan(tracker.track("b.jpg")).all()


def test_a_program_that_hangs_is_ended_after_the_time(tmp_path):
    tracker = start(tmp_path, "import time; input(); time.sleep(60)", seconds=0.5)
    with pytest.raises(ValueError, match=r"gave no answer within 0.5 s for a.jpg"):
        tracker.init("a.jpg", [1, 2, 3, 4])
    assert tracker._process.poll() is not None


def test_a_program_ends_with_its_tracker(tmp_path):
    tracker = start(tmp_path, MOVER)
    process = tracker._process
    assert process.poll() is None
    del tracker
    assert process.wait(timeout=5) == 0


def test_a_program_that_cannot_be_started_is_named():
    with pytest.raises(ValueError, match=r"tracker 'mine': cannot start 'no_such_program -x'"):
        ExternalTracker("mine", "no_such_program -x")
    with pytest.raises(ValueError, match="cannot start"):
        ExternalTracker("mine", "unbalanced 'quote")


def test_the_example_of_the_documentation_runs(tmp_path, sequences, repository):
    """docs/evaluation_runs.md shows a program; it is copied from there."""
    text = (repository / "docs" / "evaluation_runs.md").read_text()
    example = text.split("```python\n")[1].split("```")[0]
    sequence = read_sequence(sorted(sequences.iterdir())[0])
    track = run_sequence(start(tmp_path, example), sequence)
    np.testing.assert_allclose(track.boxes, np.tile(sequence.truth[0], (len(sequence.images), 1)))
    assert subprocess.run([sys.executable, "-c", example], input="", timeout=20, check=False).returncode == 0
