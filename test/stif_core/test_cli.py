import json

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from stif_core.cli import app

pytest.importorskip("skimage")

from stif_core.evaluation.rendered_clip import RenderedClip

CLIP = RenderedClip(frames=12)
BOX = ",".join(str(value) for value in CLIP.render(0)[1])


def run(*arguments: str):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path):
    for i, image in enumerate(CLIP):
        cv2.imwrite(str(tmp_path / f"{i:03d}.png"), image)
    return tmp_path


@pytest.fixture
def sequences(tmp_path):
    for name in ("one", "two"):
        (tmp_path / "set" / name / "img").mkdir(parents=True)
        for i, image in enumerate(CLIP):
            cv2.imwrite(str(tmp_path / "set" / name / "img" / f"{i:03d}.jpg"), image)
        np.savetxt(tmp_path / "set" / name / "groundtruth.txt", CLIP.truth(), delimiter=",")
    return tmp_path / "set"


def test_track_writes_a_line_for_every_image(folder, tmp_path):
    out, film = tmp_path / "out.csv", tmp_path / "out.mp4"
    done = run("track", folder, "--box", BOX, "--out", out, "--video", film, "--backend", "onnxruntime")
    assert done.exit_code == 0, done.output
    lines = out.read_text().splitlines()
    assert len(lines) == CLIP.frames
    assert lines[0].split(",")[4:] == ["1.000", "TRACKING"]
    *box, score, state = lines[-1].split(",")
    assert len(box) == 4
    assert 0 <= float(score) <= 1
    assert state in ("TRACKING", "UNCERTAIN", "LOST")
    capture = cv2.VideoCapture(str(film))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == CLIP.frames
    assert "12 frames tracked with nano on onnxruntime in fp32" in done.output

    again = run("track", film, "--box", BOX)
    assert again.exit_code == 0, again.output
    assert again.stdout.count("\n") == CLIP.frames


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["track", "no_such_folder", "--box", "1,2,3,4"], "no folder or video 'no_such_folder'"),
        (["track", "{folder}", "--box", "1,2,3"], "--box expects x,y,w,h"),
        (["track", "{folder}", "--box", "a,b,c,d"], "--box expects x,y,w,h"),
        (["track", "{folder}", "--box", "900,2,3,4"], "outside the image of 640x480"),
        (["track", "{folder}", "--box", "9,2,0,4"], "no area"),
        (["track", "{folder}", "--box", "1,2,3,4", "--model", "huge"], "unknown model 'huge'"),
        (["track", "{folder}", "--box", "1,2,3,4", "--backend", "abacus"], "unknown backend 'abacus'"),
        (["track", "{folder}", "--box", "1,2,30,40", "--out", "{folder}/no/such/file"], "No such file"),
        (["track", "{folder}/empty", "--box", "1,2,3,4"], "no images in"),
        (["track", "{folder}/text.mp4", "--box", "1,2,3,4"], "text.mp4"),
        (["model-info", "huge"], "unknown model 'huge'"),
        (["export", "huge"], "unknown model 'huge'"),
        (["eval", "run", "--root", "no_such_folder", "--tracker", "stif"], "no sequences in no_such_folder"),
        (["eval", "run", "--root", "{folder}", "--tracker", "stif"], "expected folders with img/ and groundtruth.txt"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(folder, arguments, reason):
    (folder / "empty").mkdir()
    (folder / "text.mp4").write_text("this is no video")
    done = run(*(argument.format(folder=folder) for argument in arguments))
    assert done.exit_code == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert reason in errors[0]
    assert done.exception is None or isinstance(done.exception, SystemExit)


def test_a_bad_box_leaves_earlier_results_alone(folder, tmp_path):
    out = tmp_path / "earlier.csv"
    out.write_text("kept")
    assert run("track", folder, "--box", "900,2,3,4", "--out", out).exit_code == 2
    assert out.read_text() == "kept"


@pytest.mark.skipif(
    not hasattr(cv2, "TrackerCSRT_create"), reason="this OpenCV has no CSRT: opencv-contrib is not installed"
)
def test_eval_prints_the_trackers_side_by_side(sequences, tmp_path):
    out, figures = tmp_path / "results", tmp_path / "figures.json"
    done = run("eval", "run", "--root", sequences, "--tracker", "stif", "--tracker", "csrt", "--out", out)
    assert done.exit_code == 0, done.output
    for text in ("success AUC", "SR.5", "median fps", "stif", "csrt", "one", "two"):
        assert text in done.stdout
    assert run("eval", "score", out, "--json", figures).exit_code == 0
    trackers = json.loads(figures.read_text())["trackers"]
    assert set(trackers) == {"stif", "csrt"}
    assert set(trackers["stif"]["by_sequence"]) == {"one", "two"}
    assert trackers["stif"]["figures"]["success_auc"] > 0.6
    refused = run("eval", "run", "--root", sequences, "--tracker", "stif", "--out", figures)
    assert refused.exit_code == 2 and "is a file" in refused.stderr


def test_model_info_prints_the_papers_figures():
    pytest.importorskip("torch")
    done = run("model-info", "googlenet")
    assert done.exit_code == 0, done.output
    for figure in ("289 x 289", "25 x 25", "46.26 M", "13.940 GMAC", "7.374 GMAC"):
        assert figure in done.output


def test_export_of_the_shipped_model_reports_the_difference(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    done = run("export", "nano", "--out", tmp_path / "exported")
    assert done.exit_code == 0, done.output
    assert "differences to PyTorch in fp32 over 2 crops of noise" in done.output
    assert run("track", tmp_path, "--box", "1,2,3,4", "--model", tmp_path / "exported" / "nano.json").exit_code == 2
