"""Figures of lost targets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stif_core.evaluation.lost.metrics import ClipRun, figures, score_clip

BOX, ELSEWHERE = [10.0, 10, 20, 20], [200.0, 200, 20, 20]
GONE = [np.nan] * 4


def _truth(*stretches):
    """(frames, present) in turn."""
    return np.array([BOX if present else GONE for frames, present in stretches for _ in range(frames)])


def _run(boxes, states, confidence=1.0):
    return ClipRun(np.array(boxes, np.float64), np.full(len(boxes), confidence), list(states))


TRUTH = _truth((30, True), (30, False), (30, True))


def test_perfect_tracker():
    states = ["TRACKING"] * 30 + ["LOST"] * 30 + ["TRACKING"] * 30
    f = figures([score_clip(_run([BOX] * 90, states), TRUTH)])
    assert (f.precision, f.recall, f.f_score) == (1, 1, 1)
    assert (f.frames_to_report_loss, f.false_tracking_s) == (0, 0)
    assert (f.reacquired_share, f.time_to_reacquire_s) == (1, 0)


def test_tracker_that_never_reports_a_loss_counts_the_whole_absence():
    f = figures([score_clip(_run([BOX] * 30 + [ELSEWHERE] * 60, [""] * 90), TRUTH)])
    assert f.frames_to_report_loss == 30
    assert f.false_tracking_s == pytest.approx(60 / 30)
    assert f.reacquired_share == 0
    assert f.time_to_reacquire_s == pytest.approx(1.0)
    assert f.precision == pytest.approx(29 / 89)
    assert f.recall == pytest.approx(29 / 59)


def test_delays_are_counted_from_the_leaving_and_from_the_return():
    states = ["TRACKING"] * 34 + ["UNCERTAIN"] * 3 + ["LOST"] * 29 + ["TRACKING"] * 24
    f = figures([score_clip(_run([BOX] * 90, states, 0.9), TRUTH)])
    assert f.frames_to_report_loss == 4
    assert f.false_tracking_s == pytest.approx(4 / 30)
    assert f.time_to_reacquire_s == pytest.approx(6 / 30)


def test_flash_is_neither_a_loss_nor_a_return():
    truth = _truth((30, True), (4, False), (30, True))
    f = figures([score_clip(_run([BOX] * 64, ["TRACKING"] * 64), truth)])
    assert np.isnan([f.frames_to_report_loss, f.reacquired_share, f.time_to_reacquire_s]).all()
    assert f.false_tracking_s == 0


@given(
    st.lists(st.sampled_from(["TRACKING", "UNCERTAIN", "LOST"]), min_size=90, max_size=90),
    st.lists(st.booleans(), min_size=90, max_size=90),
)
def test_figures_stay_within_their_bounds(states, right):
    f = figures([score_clip(_run([BOX if r else ELSEWHERE for r in right], states, 0.5), TRUTH)])
    assert 0 <= f.precision <= 1
    assert 0 <= f.recall <= 1
    assert 0 <= f.frames_to_report_loss <= 30
    assert 0 <= f.false_tracking_s <= 89 / 30
    assert f.reacquired_share in (0, 1)
    assert 0 <= f.time_to_reacquire_s <= 1


def test_benchmark_command_writes_the_figures_and_the_sheet(tmp_path):
    import json

    from typer.testing import CliRunner

    from stif_core.cli import app

    pytest.importorskip("skimage")
    out, sheet = tmp_path / "lost.json", tmp_path / "sheet.png"
    arguments = ["benchmark", "lost", "--clips", "1", "--tracker", "kcf", "--workers", "1", "--json", str(out)]
    result = CliRunner().invoke(app, [*arguments, "--sheet", str(sheet)])
    assert result.exit_code == 0, result.output
    assert list(json.loads(out.read_text())) == ["kcf"]
    assert set(json.loads(out.read_text())["kcf"]) == {
        "precision",
        "recall",
        "f_score",
        "frames_to_report_loss",
        "false_tracking_s",
        "reacquired_share",
        "time_to_reacquire_s",
    }
    assert sheet.stat().st_size > 10_000
    assert CliRunner().invoke(app, ["benchmark", "lost", "--tracker", "nothing"]).exit_code == 2
