import os
from pathlib import Path

import numpy as np
import pytest

from stif_core.evaluation.run import evaluate, make_tracker
from stif_core.evaluation.sequences import read_sequence

pytest.importorskip("onnxruntime")

FOLDER = os.environ.get("STIF_NANOTRACK")
needs_files = pytest.mark.skipif(not FOLDER, reason="STIF_NANOTRACK names no folder with NanoTrack's two ONNX files")


def test_without_a_folder_the_error_says_how_to_name_it():
    with pytest.raises(ValueError, match=r"SiamTrackers.*name their folder with --nanotrack"):
        make_tracker("nanotrack", "nano", "auto", 0)


def test_missing_files_are_named_with_their_source(tmp_path):
    with pytest.raises(ValueError, match=r"SiamTrackers.*no nanotrack_backbone\.onnx and no nanotrack_head\.onnx in"):
        make_tracker("nanotrack", "nano", "auto", 0, tmp_path / "absent")
    (tmp_path / "nanotrack_backbone.onnx").touch()
    with pytest.raises(ValueError, match=r"nanotrackv3: no nanotrack_head\.onnx in"):
        make_tracker("nanotrack", "nano", "auto", 0, tmp_path)


def test_broken_files_are_a_value_error(tmp_path):
    for name in ("nanotrack_backbone.onnx", "nanotrack_head.onnx"):
        (tmp_path / name).write_text("no graph")
    with pytest.raises(ValueError, match="ONNX Runtime cannot load NanoTrack"):
        make_tracker("nanotrack", "nano", "auto", 0, tmp_path)


@needs_files
def test_a_target_that_leaves_the_image_keeps_its_centre_inside():
    pytest.importorskip("onnx")
    tracker = make_tracker("nanotrack", "nano", "auto", 1, Path(FOLDER))
    image = np.random.default_rng(0).integers(0, 256, (80, 120, 3), dtype=np.uint8)
    tracker.init(image, (-15, 60, 40, 40))
    for shift in (20, 40):
        x, y, w, h = tracker.track(np.roll(image, -shift, axis=1))
        assert 0 <= x + w / 2 <= 120 and 0 <= y + h / 2 <= 80
        assert 10 <= w <= 120 and 10 <= h <= 80
        assert 0 <= tracker.confidence <= 1


@needs_files
def test_real_sequence_gives_the_figure_of_the_source(shared_data):
    pytest.importorskip("onnx")
    sequences = [read_sequence(shared_data / "sequences" / "OTB_Crossing")]
    summary = evaluate("nanotrack", make_tracker("nanotrack", "nano", "auto", 1, Path(FOLDER)), sequences)
    assert summary.success_auc == pytest.approx(0.719, abs=0.02)
