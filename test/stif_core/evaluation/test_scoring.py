"""Results scored and compared, through the command line where a user would."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from stif_core.cli import app
from stif_core.evaluation.datasets import Dataset, read_dataset
from stif_core.evaluation.results import TrackerResults, find_results
from stif_core.evaluation.run import Track
from stif_core.evaluation.runs import Task, run_task
from stif_core.evaluation.scoring import find_dataset, long_term_cells, paired_difference, score_tracker
from stif_core.evaluation.sequences import Sequence
from stif_core.evaluation.trackers import choose


def command(*arguments):
    return CliRunner().invoke(app, ["eval", *map(str, arguments)])


def write_tracks(folder, dataset, shift, seconds=0.01, **session):
    """Results whose boxes lie ``shift`` pixels to the right of the truth; shift by sequence, or one for all."""
    results = TrackerResults(folder)
    for sequence in dataset.sequences:
        boxes = sequence.truth.copy()
        boxes[1:, 0] += shift[sequence.name] if isinstance(shift, dict) else shift
        results.write(sequence, Track(boxes, [seconds] * (len(boxes) - 1), 0.1))
    return results


@pytest.fixture
def dataset(sequences):
    return read_dataset("folder", sequences)


def test_a_box_a_tenth_to_the_right_scores_its_iou(dataset, tmp_path):
    """Shifted by 3 of 30 pixels: IoU 27 / 33 in every frame, so 17 of 21 thresholds (0 to 0.8) are passed."""
    scored = score_tracker("shifted", write_tracks(tmp_path / "shifted", dataset, 3.0), dataset)
    assert scored.summary.figures["mean_iou"] == pytest.approx(27 / 33)
    assert scored.rank == pytest.approx(17 / 21)
    assert scored.by_sequence() == pytest.approx(dict.fromkeys(("down", "right", "slant"), 17 / 21))
    assert scored.fps == pytest.approx(100)
    assert not scored.parallel


def test_speed_leaves_out_initialisation_and_skipped_frames(dataset, tmp_path):
    results = TrackerResults(tmp_path)
    for sequence in dataset.sequences:
        count = len(sequence.images) - 1
        results.write(sequence, Track(sequence.truth, [0.02] * (count - 1) + [np.nan], 9.0))
    assert score_tracker("some", results, dataset).fps == pytest.approx(50)


def test_speeds_taken_in_parallel_are_marked(dataset, tmp_path):
    results = write_tracks(tmp_path / "one", dataset, 0.0)
    results.write_description({"sessions": [{"workers": 1, "ray": False}, {"workers": 2, "ray": False}]})
    assert score_tracker("one", results, dataset).parallel


def test_a_difference_that_every_sequence_shows_has_no_width(dataset, tmp_path):
    better = score_tracker("better", write_tracks(tmp_path / "better", dataset, 0.0), dataset)
    worse = score_tracker("worse", write_tracks(tmp_path / "worse", dataset, 3.0), dataset)
    difference = paired_difference(better, worse, resamples=200)
    assert difference.value == pytest.approx(20 / 21 - 17 / 21)
    assert difference.low == pytest.approx(difference.high) == pytest.approx(difference.value)
    same = paired_difference(better, better, resamples=200)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_the_interval_is_that_of_drawing_sequences(tmp_path):
    """Two sequences, differences 0 and d: the mean of a draw of two is 0, d/2 or d with chances 1/4, 1/2, 1/4."""
    truth = np.tile([10.0, 10, 30, 30], (5, 1))
    dataset = Dataset("folder", "folder", [Sequence(name, [tmp_path] * 5, truth) for name in ("same", "other")])
    even = score_tracker("even", write_tracks(tmp_path / "even", dataset, 0.0), dataset)
    mixed = score_tracker("mixed", write_tracks(tmp_path / "mixed", dataset, {"same": 0.0, "other": 3.0}), dataset)
    difference = paired_difference(mixed, even)
    assert difference.value == pytest.approx(-3 / 42)
    assert difference.low == pytest.approx(-3 / 21)
    assert difference.high == pytest.approx(0)


def test_targets_that_go_away_give_times_of_loss_and_return(tmp_path):
    """Away in frames 4 to 7 of 12; one tracker says so a frame late and is back two late, the other never says so."""
    truth = np.tile([10.0, 10, 30, 30], (12, 1))
    boxes = truth.copy()
    truth[4:8] = np.nan
    dataset = Dataset("folder", "folder", [Sequence("walk", [tmp_path] * 12, truth)])
    states = ["TRACKING"] * 5 + ["LOST"] * 5 + ["TRACKING"] * 2
    confidence = np.array([0.9] * 5 + [0.1] * 3 + [0.5] * 2 + [0.9] * 2)
    for name, track in (
        ("honest", Track(boxes, [0.1] * 11, 0.1, confidence, states)),
        ("blind", Track(boxes, [0.1] * 11, 0.1)),
    ):
        TrackerResults(tmp_path / name).write(dataset.sequences[0], track)
    honest, blind = (score_tracker(n, TrackerResults(tmp_path / n), dataset) for n in ("honest", "blind"))
    assert long_term_cells(honest)[3:] == ["1 of 1", "1", "1 of 1", "2"]
    assert long_term_cells(blind)[3:] == ["0 of 1", "never", "1 of 1", "0"]
    assert (blind.long_term.precision, blind.long_term.recall) == pytest.approx((7 / 11, 1))
    # Outside LOST it claims five of the seven frames with the target and one without; held in LOST is no claim.
    assert (honest.long_term.precision, honest.long_term.recall) == pytest.approx((5 / 6, 5 / 7))


def test_a_missing_confidence_is_said_with_tracker_and_sequence(tmp_path):
    truth = np.tile([10.0, 10, 30, 30], (4, 1))
    boxes = truth.copy()
    truth[3] = np.nan
    dataset = Dataset("folder", "folder", [Sequence("walk", [tmp_path] * 4, truth)])
    results = TrackerResults(tmp_path / "some")
    results.write(dataset.sequences[0], Track(boxes, [0.1] * 3, 0.1, np.array([np.nan, 0.5, np.nan, 0.5])))
    with pytest.raises(ValueError, match=r"^some on walk: the confidence of frame 2 is NaN"):
        score_tracker("some", results, dataset)


def test_without_absences_there_is_no_long_term_score(dataset, tmp_path):
    assert score_tracker("some", write_tracks(tmp_path / "some", dataset, 0.0), dataset).long_term is None


def test_missing_sequences_are_counted(dataset, tmp_path):
    results = write_tracks(tmp_path / "some", dataset, 0.0)
    results.box_file("right").unlink()
    with pytest.raises(ValueError, match="1 of 3 sequences are not finished, the first is right"):
        score_tracker("some", results, dataset)


def test_an_unknown_protocol_and_a_hidden_truth_are_said(dataset, tmp_path):
    results = write_tracks(tmp_path / "some", dataset, 0.0)
    with pytest.raises(ValueError, match="unknown protocol 'davis': use one of folder, otb"):
        score_tracker("some", results, dataset, "davis")
    hidden = Sequence("hidden", dataset.sequences[0].images, dataset.sequences[0].truth[:1])
    with pytest.raises(ValueError, match="the truth of hidden is kept by the server of got10k-test"):
        score_tracker("some", results, Dataset("got10k-test", "got10k", [hidden]))


def test_the_data_set_is_what_the_results_say(sequences, dataset, tmp_path):
    results = write_tracks(tmp_path / "out/some", dataset, 0.0)
    found = find_results([tmp_path / "out"])
    with pytest.raises(ValueError, match="name the data set with --dataset"):
        find_dataset(found, None, None)
    results.write_description({"identity": {"dataset": "folder"}, "root": str(sequences)})
    assert [s.name for s in find_dataset(found, None, None).sequences] == ["down", "right", "slant"]
    with pytest.raises(ValueError, match="the results some are of the data set folder, not lasot"):
        find_dataset(found, "lasot", None)


@pytest.mark.parametrize("content", ['{"identity": {}, "root": "here"}', '{"identity": []}', "[]"])
def test_a_description_that_names_no_data_set_is_one_line(sequences, dataset, tmp_path, content):
    results = write_tracks(tmp_path / "some", dataset, 0.0)
    (results.folder / "run.json").write_text(content)
    done = command("score", results.folder, "--dataset", "folder", "--root", sequences)
    assert done.exit_code == 2, done.output
    assert done.stderr.count("\n") == 1 and "some/run.json" in done.stderr


def test_another_tracker_on_the_machine_that_runs_a_task_is_refused(dataset):
    choice = choose("mil")
    with pytest.raises(ValueError, match=r"mil on down: it is another one .*: opencv was 1.0, is "):
        run_task(Task(choice, {"kind": "mil", "opencv": "1.0"}, dataset.sequences[0]))


def test_score_prints_and_keeps_figures_by_another_protocol(sequences, dataset, tmp_path):
    write_tracks(tmp_path / "out/shifted", dataset, 3.0)
    where = ("--dataset", "folder", "--root", sequences)
    done = command("score", tmp_path / "out", *where, "--protocol", "got10k", "--json", tmp_path / "figures.json")
    assert done.exit_code == 0, done.output
    content = json.loads((tmp_path / "figures.json").read_text())
    assert content["protocol"] == "got10k"
    assert content["trackers"]["shifted"]["figures"]["ao"] == pytest.approx(27 / 33)
    assert "GOT-10k toolkit" in done.stdout and "0.818" in done.stdout


def test_compare_sets_trackers_against_the_first(sequences, dataset, tmp_path):
    for name, shift in (("exact", 0.0), ("shifted", 3.0)):
        write_tracks(tmp_path / "out" / name, dataset, shift)
    where = ("--dataset", "folder", "--root", sequences)
    done = command("compare", tmp_path / "out/shifted", tmp_path / "out/exact", *where)
    assert done.exit_code == 0, done.output
    assert "+0.143" in done.stdout and "+0.143 +0.143" in done.stdout
    alone = command("compare", tmp_path / "out/shifted", *where)
    assert alone.exit_code == 2 and "nothing to compare shifted with" in alone.stderr


def test_submit_is_for_data_sets_with_a_server(sequences, dataset, tmp_path):
    write_tracks(tmp_path / "out/exact", dataset, 0.0)
    done = command("submit", tmp_path / "out", "--dataset", "folder", "--root", sequences, "--out", tmp_path / "a.zip")
    assert done.exit_code == 2 and "folder has no evaluation server" in done.stderr
