import csv
import subprocess
import sys

import pytest
import typer

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from stif_core.model.config import NANO  # noqa: E402
from stif_core.model.stif import Stif  # noqa: E402
from stif_core.training import train as training  # noqa: E402
from stif_core.training.train import Schedule, parameter_groups, rate_factor  # noqa: E402


def run(monkeypatch, data_root, out, steps):
    clips = out.parent / "held_out.txt"
    clips.write_text("source/held  # for validation\n")
    monkeypatch.setattr(training, "LOG_EVERY", 1)
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    training.train(root=data_root, out=out, validation=clips, steps=steps, batch=4, trunk_rate=1e-4)


def losses(out):
    return [row[1:5] for row in csv.reader((out / "log.csv").open())]


@pytest.mark.slow
def test_interrupted_training_goes_on_as_if_it_had_not_been(monkeypatch, tmp_path, data_root):
    run(monkeypatch, data_root, tmp_path / "whole", steps=4)
    # The schedule knows the whole length; the interruption comes from outside, after the checkpoint of step 2.
    step = training.stif_loss
    calls = []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return step(*args)

    monkeypatch.setattr(training, "stif_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(monkeypatch, data_root, tmp_path / "parts", steps=4)
    monkeypatch.setattr(training, "stif_loss", step)
    run(monkeypatch, data_root, tmp_path / "parts", steps=4)
    whole, parts = losses(tmp_path / "whole"), losses(tmp_path / "parts")
    assert parts[-2:] == whole[-2:]  # steps 3 and 4; step 3 stands twice in the interrupted log
    for name, value in load_file(tmp_path / "whole" / "nano.safetensors").items():
        torch.testing.assert_close(load_file(tmp_path / "parts" / "nano.safetensors")[name], value)


def test_frozen_trunk_is_not_trained():
    model = Stif(NANO)
    groups = parameter_groups(model, Schedule(trunk_rate=0.0))
    trained = {id(p) for group in groups for p in group["params"]}
    assert not trained & {id(p) for p in model.branches.trunk.parameters()}
    assert id(model.branches.foreground_stem.weight) not in trained
    assert id(model.branches.foreground_cells.weight) in trained


def test_trunk_has_its_own_rate_and_biases_do_not_decay():
    model = Stif(NANO)
    groups = parameter_groups(model, Schedule(rate=1.0, trunk_rate=0.1))
    by_id = {id(p): group for group in groups for p in group["params"]}
    assert len(by_id) == len(list(model.parameters()))
    assert by_id[id(model.branches.trunk.stem.weight)]["lr"] == 0.1
    assert by_id[id(model.head.class_logit.weight)]["lr"] == 1.0
    assert by_id[id(model.head.class_logit.weight)]["weight_decay"] > 0
    assert by_id[id(model.head.class_logit.bias)]["weight_decay"] == 0


def test_rate_warms_up_and_ends_at_zero():
    schedule = Schedule(steps=1000, warm_up=100)
    assert rate_factor(0, schedule) == pytest.approx(0.01)
    assert rate_factor(99, schedule) == 1.0
    assert rate_factor(550, schedule) == pytest.approx(0.5)
    assert rate_factor(1000, schedule) == pytest.approx(0.0)


def test_untrained_trunk_is_not_frozen_silently(data_root, tmp_path, capsys):
    clips = tmp_path / "none.txt"
    clips.write_text("")
    with pytest.raises(typer.Exit):
        training.train(root=data_root, out=tmp_path / "out", validation=clips)
    assert "give --trunk or --start" in " ".join(capsys.readouterr().err.split())


def test_missing_data_is_one_clear_line(tmp_path):
    command = [
        sys.executable,
        "-m",
        "stif_core.training.train",
        "--root",
        str(tmp_path),
        "--out",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no training data at" in done.stderr
    assert "Traceback" not in done.stderr
