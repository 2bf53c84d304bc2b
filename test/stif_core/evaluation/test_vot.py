"""Our tracker driven over TraX: by vot-trax's client, and by the real VOT toolkit where STIF_VOT_PYTHON names one.

STIF_VOT_PYTHON is the Python of an environment with vot-toolkit (docs/vot.md says which versions work).
"""

import configparser
import json
import os
import shlex
import subprocess

import cv2
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

pytest.importorskip("trax", reason="vot-trax is not installed")

from trax.client import Client
from trax.image import FileImage
from trax.region import Rectangle

from stif_core.cli import app
from stif_core.evaluation.rendered_clip import RenderedClip
from stif_core.evaluation.run import StifBoxes, run_sequence
from stif_core.evaluation.sequences import Sequence, read_sequences
from stif_core.evaluation.vot_workspace import register_tracker, write_workspace
from stif_core.tracking import Tracker

TOOLKIT = os.environ.get("STIF_VOT_PYTHON")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A sequence folder of the rendered clip."""
    pytest.importorskip("skimage", reason="the rendered clip needs scikit-image")
    root = tmp_path_factory.mktemp("sequences")
    clip = RenderedClip(frames=25, width=320, height=240)
    (root / "face" / "img").mkdir(parents=True)
    lines = []
    for index in range(clip.frames):
        image, box = clip.render(index)
        cv2.imwrite(str(root / "face" / "img" / f"{index:04d}.png"), image)
        lines.append(",".join(f"{value:.2f}" for value in box))
    (root / "face" / "groundtruth.txt").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def workspace(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vot") / "workspace"
    done = CliRunner().invoke(app, ["eval", "vot-init", str(folder), "--root", str(root)])
    assert done.exit_code == 0, done.output
    return folder


def entry(folder, name: str = "stif") -> configparser.SectionProxy:
    registry = configparser.ConfigParser()
    registry.read(folder / "trackers.ini")
    return registry[name]


def test_workspace_links_the_images_and_names_the_tracker(workspace, root):
    assert yaml.safe_load((workspace / "config.yaml").read_text()) == {
        "stack": "./stack.yaml",
        "registry": ["./trackers.ini"],
    }
    experiments = yaml.safe_load((workspace / "stack.yaml").read_text())["experiments"]
    assert list(experiments) == ["baseline", "realtime", "unsupervised", "longterm"]
    face = workspace / "sequences" / "face"
    assert (workspace / "sequences" / "list.txt").read_text() == "face\n"
    assert (face / "color" / "00000001.png").resolve() == (root / "face" / "img" / "0000.png").resolve()
    assert len(list((face / "color").iterdir())) == 25
    assert len((face / "groundtruth.txt").read_text().splitlines()) == 25
    assert entry(workspace)["protocol"] == "trax"


def test_second_tracker_is_added_and_a_name_is_not_taken_twice(tmp_path):
    (tmp_path / "trackers.ini").write_text("[other]\nprotocol = trax\ncommand = ncc")
    register_tracker(tmp_path, "stif", ["--threads", "1"])
    register_tracker(tmp_path, "stif-torch", ["--backend", "torch"])
    assert entry(tmp_path, "other")["command"] == "ncc"
    assert entry(tmp_path, "stif-torch")["command"].endswith("-m stif_core.evaluation.vot --backend torch")
    with pytest.raises(ValueError, match=r"has a tracker \[stif\] already: remove it, or choose another with --name"):
        register_tracker(tmp_path, "stif", [])


def test_mistakes_are_one_clear_line(workspace, root, tmp_path):
    def error(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["eval", "vot-init", *arguments])
        assert done.exit_code == 2
        return " ".join(done.output.split())

    assert "holds a workspace of the toolkit already" in error(str(workspace), "--root", str(root))
    assert "no sequences in" in error(str(tmp_path / "new"), "--root", str(tmp_path))
    assert "nobody" in error(str(tmp_path), "--model", "nobody")
    assert not (tmp_path / "trackers.ini").exists()


def test_absent_target_is_nan_in_the_truth_and_a_sequence_without_truth_is_refused(root, tmp_path):
    (face,) = read_sequences(root)
    truth = face.truth.copy()
    truth[3] = np.nan
    write_workspace(tmp_path / "a", [Sequence("face", face.images, truth)])
    assert (tmp_path / "a/sequences/face/groundtruth.txt").read_text().splitlines()[3] == "nan,nan,nan,nan"
    with pytest.raises(ValueError, match="face: 25 images but 1 true boxes"):
        write_workspace(tmp_path / "b", [Sequence("face", face.images, truth[:1])])


def test_tracker_answers_over_trax_what_it_answers_in_python(workspace, root, tmp_path):
    (face,) = read_sequences(root)
    section = entry(workspace)
    environment = {**os.environ, "PYTHONPATH": section["env_pythonpath"], "TRAX": "1"}
    process = subprocess.Popen(
        shlex.split(section["command"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0
    )
    try:
        client = Client(stream=(process.stdin.fileno(), process.stdout.fileno()), log=str(tmp_path / "log"))
        assert (client.tracker_name, client.region_formats, client.image_formats) == (
            "stif-nano", ["rectangle"], ["path"],
        )  # fmt: skip
        boxes, confidence = [], []
        for index, path in enumerate(face.images[:10]):
            image = {"color": FileImage.create(str(path))}
            if index == 0:
                objects, _ = client.initialize(image, [(Rectangle.create(*face.truth[0]), {})], {})
            else:
                objects, _ = client.frame(image, objects=[])
            region, properties = objects[0]
            boxes.append(region.bounds())
            confidence.append(float(properties["confidence"]))
        client.quit()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.stdin.close()
        process.stdout.close()
    expected = run_sequence(StifBoxes(Tracker.load()), Sequence("face", face.images[:10], face.truth[:10]))
    np.testing.assert_allclose(boxes, expected.boxes, atol=1e-3)
    assert 0.5 < min(confidence) <= max(confidence) <= 1


@pytest.mark.slow
@pytest.mark.skipif(TOOLKIT is None, reason="STIF_VOT_PYTHON does not name a Python with vot-toolkit (docs/vot.md)")
def test_toolkit_itself_tests_evaluates_and_analyses_our_tracker(workspace, root):
    def vot(*arguments: str) -> str:
        # Neither our own packages nor the libraries of ROS are for the toolkit.
        hidden = ("PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        environment["MPLBACKEND"] = "agg"
        command = [TOOLKIT, "-m", "vot", *arguments]
        done = subprocess.run(command, cwd=workspace, env=environment, capture_output=True, text=True, timeout=900)
        logs = "".join(log.read_text() for log in workspace.glob("logs/*"))
        assert done.returncode == 0, done.stdout + done.stderr + logs
        return done.stdout + done.stderr + logs

    assert "Test concluded successfuly" in vot("test", "stif")
    assert "Evaluation concluded successfuly" in vot("evaluate", "--workspace", ".", "stif")
    assert "Analysis successful" in vot("analysis", "--workspace", ".", "--name", "ours")

    results = workspace / "results" / "stif"
    read = (
        "import json, sys; from vot.region.io import read_trajectory;"
        "print(json.dumps([list(map(float, str(r).strip('[]').split(','))) for r in read_trajectory(sys.argv[1])]))"
    )
    done = subprocess.run(
        [TOOLKIT, "-c", read, str(results / "unsupervised" / "face" / "face_001.bin")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (face,) = read_sequences(root)
    expected = run_sequence(StifBoxes(Tracker.load()), face)
    np.testing.assert_allclose(json.loads(done.stdout)[1:], expected.boxes[1:], atol=0.01)
    confidence = (results / "longterm" / "face" / "face_001_confidence.value").read_text().splitlines()
    np.testing.assert_allclose([float(value) for value in confidence[1:]], expected.confidence[1:], atol=1e-5)

    analysis = json.loads((workspace / "analysis" / "ours.json").read_text())["results"]
    ((accuracy, failures, _, frames),) = analysis["baseline"]["results"][0]
    assert (failures, frames) == (0, 25)
    assert accuracy > 0.6
