"""Whole trainings of a few steps, as a user starts them."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import yaml

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from safetensors.torch import load_file, save_file  # noqa: E402

from stif_core.cli import main  # noqa: E402
from stif_core.model.config import NANO  # noqa: E402
from stif_core.model.convolution import separated  # noqa: E402
from stif_core.model.stif import Stif, load_weights  # noqa: E402
from stif_core.tracking import Tracker  # noqa: E402
from stif_core.training.checkpoints import write_model  # noqa: E402
from stif_core.training.cli import train  # noqa: E402
from stif_core.training.module import StifTraining  # noqa: E402
from stif_core.training.quantised import RoundedConvolution, rounded_layers  # noqa: E402
from stif_core.weights import ModelFiles  # noqa: E402

pytestmark = pytest.mark.slow
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def options(tmp_path, data_root):
    """A training of eight steps on the small data set, quick enough for a test."""
    torch.manual_seed(0)
    save_file(Stif(NANO).state_dict(), tmp_path / "start.safetensors")
    (tmp_path / "held_out.txt").write_text("source/held  # for validation\n")
    config = {
        "trainer": {
            "max_steps": 8,
            "log_every_n_steps": 1,
            "enable_progress_bar": False,
            "accelerator": "cpu",
            "precision": "bf16-mixed",
        },
        "checkpoint": {"every_n_train_steps": 3},
        "data": {
            "steps_per_epoch": 8,
            "ratios": {"folder_stills": 1.0, "folder_videos": 1.0},
            "rendered": 1.0,
            "batch_size": 4,
            "workers": 0,
            "memory_frames": 2,
            "validation_clips": str(tmp_path / "held_out.txt"),
        },
        # Trained along from the middle on: both halves of a run with a frozen trunk are gone through.
        "model": {
            "network": {**NANO.to_dict(), "crop_size": 128},
            "optimisation": {"trunk_released": 0.5, "warm_up_steps": 2},
        },
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(config))
    return [
        "fit",
        "--config",
        str(tmp_path / "small.yaml"),
        "--data.roots.folder",
        str(data_root),
        "--model.start",
        str(tmp_path / "start.safetensors"),
    ]


def losses(out):
    """Loss of each step, over all starts of the training."""
    found = {}
    for log in sorted(out.glob("logs/version_*/metrics.csv")):
        for row in csv.DictReader(log.open()):
            if row.get("loss/total"):
                found[int(row["step"])] = float(row["loss/total"])
    return found


def checkpoint(out):
    return torch.load(out / "last.ckpt", weights_only=True)


def command(*arguments):
    return [sys.executable, "-m", "stif_core.cli", "train", *arguments]


def test_training_that_was_killed_goes_on_as_if_it_had_not_been(options, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    subprocess.run(command(*options, "--out", str(whole)), check=True, env=ENVIRONMENT, capture_output=True)

    process = subprocess.Popen(command(*options, "--out", str(parts)), env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (parts / "last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stopped_at = checkpoint(parts)["global_step"]
    assert stopped_at in (3, 6)

    again = subprocess.run(command(*options, "--out", str(parts)), env=ENVIRONMENT, capture_output=True, text=True)
    assert again.returncode == 2
    assert "go on with --ckpt_path last, or give another --out" in " ".join(again.stderr.split())
    goes_on = command(*options, "--out", str(parts), "--ckpt_path", "last")
    subprocess.run(goes_on, check=True, env=ENVIRONMENT, capture_output=True)

    assert set(losses(whole)) == set(range(8))
    for step, loss in losses(parts).items():
        assert loss == losses(whole)[step], step
    assert set(losses(parts)) >= set(range(stopped_at, 8))
    assert checkpoint(parts)["global_step"] == 8
    for state in ("state_dict", "current_model_state"):  # averaged weights, and those of the last step
        for name, value in checkpoint(whole)[state].items():
            assert torch.equal(checkpoint(parts)[state][name], value), name


def test_trunk_is_trained_from_its_release_on(options, tmp_path):
    start = load_file(tmp_path / "start.safetensors")
    for share, trained in (("0.9", False), ("0.5", True)):  # of four steps: never, or after the second
        out = tmp_path / share
        released = ["--model.optimisation.trunk_released", share, "--trainer.max_steps", "4"]
        train([*options, "--out", str(out), *released])
        state = checkpoint(out)["current_model_state"]
        name = "branches.trunk.blocks.5.project.weight"
        assert torch.equal(state["model." + name], start[name]) != trained
        assert not torch.equal(state["model.head.class_logit.weight"], start["head.class_logit.weight"])


def test_two_processes_train_the_weights_that_one_does(options, tmp_path):
    """Gradients of two ranks with half of the batch each, batch norms fixed, as of one with all of it.

    Tolerance: the order of sums differs, and Adam's first steps enlarge that where a gradient is near zero.
    """
    common = [*options, "--model.fixed_norms", "true", "--trainer.max_steps", "4", "--trainer.precision", "32-true"]
    one, two = tmp_path / "one", tmp_path / "two"
    subprocess.run(command(*common, "--out", str(one)), check=True, env=ENVIRONMENT, capture_output=True)
    ddp = ["--trainer.devices", "2", "--trainer.strategy", "ddp_find_unused_parameters_true"]
    done = subprocess.run(
        command(*common, *ddp, "--out", str(two)), env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "2 processes" in done.stderr
    for step, loss in losses(one).items():
        assert losses(two)[step] == pytest.approx(loss, rel=1e-4)
    for name, value in checkpoint(one)["current_model_state"].items():
        torch.testing.assert_close(checkpoint(two)["current_model_state"][name], value, rtol=1e-3, atol=2e-5)


def test_network_learns_from_a_teacher(options, tmp_path):
    """The branches are the teacher's, and stay so; the rest starts from it, full convolutions as separable ones."""
    config = replace(NANO, crop_size=128, separable=False)
    torch.manual_seed(5)
    teacher = Stif(config).state_dict()
    save_file(teacher, tmp_path / "teacher.safetensors")
    (tmp_path / "teacher.json").write_text(json.dumps({"model": config.to_dict()}))
    out = tmp_path / "out"
    taught = ["--model.start", "null", "--model.teacher", str(tmp_path / "teacher.json")]
    separable = ["--model.network.separable", "true", "--model.optimisation.trunk_released", "1.0"]
    train([*options, *taught, *separable, "--trainer.max_steps", "3", "--out", str(out)])

    state = checkpoint(out)["current_model_state"]
    assert not any(name.startswith("teacher") for name in state)
    for name, value in teacher.items():
        if name.startswith("branches."):
            assert torch.equal(state["model." + name], value), name
    depthwise, _ = separated(teacher["fusion.query_gate.value.weight"])
    change = (state["model.fusion.query_gate.value.0.weight"] - depthwise).abs().max()
    assert 0 < change < 0.01  # three small steps away
    [log] = out.glob("logs/version_*/metrics.csv")
    rows = [row for row in csv.DictReader(log.open()) if row.get("loss/teacher")]
    assert len(rows) == 3
    assert all(0 < float(row["loss/teacher"]) < float(row["loss/total"]) for row in rows)
    assert checkpoint(out)["stif"]["training"]["taught"]


def test_rounding_is_learned_beside_a_teacher(options, tmp_path, monkeypatch):
    """What runs for memory frames stays the teacher's; of the checkpoint weights for int8 are written, and no model."""
    config = replace(NANO, crop_size=128)
    torch.manual_seed(5)
    teacher = Stif(config)
    save_file(teacher.state_dict(), tmp_path / "teacher.safetensors")
    (tmp_path / "teacher.json").write_text(json.dumps({"model": config.to_dict()}))
    out = tmp_path / "out"
    rounded = ["--model.start", "null", "--model.teacher", str(tmp_path / "teacher.json"), "--model.quantised", "true"]
    all_of_it = ["--model.optimisation.trunk_released", "0.0", "--trainer.limit_val_batches", "0"]
    trained = []
    monkeypatch.setattr(StifTraining, "on_train_end", lambda self: trained.append(self))
    train([*options, *rounded, *all_of_it, "--trainer.max_steps", "3", "--out", str(out)])

    layers = [trained[0].model.get_submodule(name) for name in rounded_layers(teacher)]
    assert all(type(layer) is RoundedConvolution and (layer.ranges > 0).all() for layer in layers)
    assert checkpoint(out)["stif"]["training"]["quantised"]
    files = ModelFiles("teacher", tmp_path / "model")
    assert write_model(out / "last.ckpt", files) == (3, [files.int8_weights])
    assert [path.name for path in files.folder.iterdir()] == ["teacher.int8.safetensors"]
    learned, known = load_weights(config, files.int8_weights).state_dict(), teacher.state_dict()
    for name in ("branches.foreground_stem.weight", "branches.foreground_cells.weight", "memory_sde.conv.weight"):
        torch.testing.assert_close(learned[name], known[name], rtol=1e-6, atol=0)  # averaging rounds
    for name in ("branches.trunk.blocks.1.depthwise.weight", "necks.0.mix.0.weight", "head.offsets.weight"):
        change = (learned[name] - known[name]).abs().max()
        assert 0 < change < 0.01, name  # three small steps away


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ([], "needs --model.teacher"),
        (["--model.teacher", "nano", "--model.start", "null"], "not that of --model.network"),
        (
            ["--model.teacher", "nano", "--model.start", "null", "--model.network.crop_size", "256"],
            "give --trainer.limit_val_batches 0",
        ),
    ],
)
def test_rounding_that_cannot_be_trained_is_refused(options, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        train([*options, "--model.quantised", "true", "--out", str(tmp_path / "out"), *change])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ([], "give no trunk and no start"),
        (["--model.start", "null"], "the trunk stays as it is"),
        (["--model.start", "null", "--model.optimisation.trunk_released", "1.0"], "cannot teach"),  # other crops
        (["--model.start", "null", "--model.teacher", "/nowhere.json"], "/nowhere.json"),
    ],
)
def test_teacher_that_cannot_teach_is_refused(options, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        train([*options, "--model.teacher", "nano", "--out", str(tmp_path / "out"), *change])


def test_validation_tracks_the_held_out_clips(options, tmp_path):
    train([*options, "--out", str(tmp_path / "out"), "--data.steps_per_epoch", "4", "--trainer.max_steps", "4"])
    [log] = (tmp_path / "out").glob("logs/version_*/metrics.csv")
    values = [float(row["val_auc"]) for row in csv.DictReader(log.open()) if row.get("val_auc")]
    assert len(values) == 1
    assert 0 <= values[0] <= 1


def test_weights_of_the_memory_frames_are_logged(options, tmp_path):
    train([*options, "--out", str(tmp_path / "out"), "--trainer.max_steps", "1"])
    [log] = (tmp_path / "out").glob("logs/version_*/metrics.csv")
    rows = [row for row in csv.DictReader(log.open()) if row.get("tde/frame_0")]
    assert len(rows) == 1
    assert float(rows[0]["tde/frame_0"]) + float(rows[0]["tde/frame_1"]) == pytest.approx(1, abs=1e-3)
    assert float(rows[0]["tde/frame_0"]) < 0.95


def test_batch_with_a_loss_that_is_not_finite_is_kept(options, tmp_path, monkeypatch):
    out = tmp_path / "out"
    state = Stif(NANO).state_dict()
    state["head.offset_bias"].fill_(float("nan"))
    save_file(state, tmp_path / "broken.safetensors")
    with pytest.raises(ValueError, match=r"not finite at step 0; the batch is in .*bad_batch_rank0\.pt"):
        train([*options, "--out", str(out), "--model.start", str(tmp_path / "broken.safetensors")])
    assert torch.load(out / "bad_batch_rank0.pt", weights_only=True)["query"].shape == (4, 3, 128, 128)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--data.roots.folder", "/nowhere"], "no training data at /nowhere: expected the folder /nowhere/stills"),
        (["--model.start", "/nowhere.safetensors"], "no weights file /nowhere.safetensors"),
        (["--data.batch_size", "5"], "must be even"),
        (["--data.ratios", "{got10k: 1.0}"], "Give --data.roots.got10k FOLDER"),
        (["--data.ratios", "{gto10k: 1.0}"], "unknown data set 'gto10k'"),
        (["--model.network.trunk", "resnet"], "resnet"),
        (["--config", "/nowhere.yaml"], "/nowhere.yaml"),
    ],
)
def test_mistakes_are_one_clear_message(options, tmp_path, monkeypatch, capsys, change, message):
    monkeypatch.setattr(sys, "argv", ["stif", "train", *options, "--out", str(tmp_path / "out"), *change])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_checkpoint_becomes_a_model_that_tracks(options, tmp_path, monkeypatch, capsys):
    train([*options, "--out", str(tmp_path / "out"), "--trainer.max_steps", "2"])
    monkeypatch.setattr(
        sys, "argv", ["stif", "weights", str(tmp_path / "out" / "last.ckpt"), "--out", str(tmp_path / "model")]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "from step 2" in capsys.readouterr().out
    averaged = checkpoint(tmp_path / "out")["state_dict"]
    for name, value in load_file(tmp_path / "model" / "nano.safetensors").items():
        assert torch.equal(value, averaged["model." + name]), name
    tracker = Tracker.load(str(tmp_path / "model" / "nano.json"), backend="torch")
    assert tracker.backend.config.crop_size == 128


def test_file_that_is_no_checkpoint_is_one_clear_error(tmp_path):
    with pytest.raises(ValueError, match=r"no checkpoint .*gone\.ckpt"):
        write_model(tmp_path / "gone.ckpt", ModelFiles("nano", tmp_path))
    (tmp_path / "text.ckpt").write_text("no checkpoint at all")
    with pytest.raises(ValueError, match=r"text\.ckpt is no checkpoint of stif train"):
        write_model(tmp_path / "text.ckpt", ModelFiles("nano", tmp_path))
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=r"other\.ckpt is no checkpoint of stif train"):
        write_model(tmp_path / "other.ckpt", ModelFiles("nano", tmp_path))
