"""``stif benchmark infer`` and ``memory``: what they measure, in few rounds, and what they refuse."""

import itertools
import json
import shutil

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from stif_core.cli import app
from stif_core.evaluation import boards, inference_benchmark, memory_benchmark
from stif_core.evaluation.boards import BOARDS, roofline
from stif_core.evaluation.inference_benchmark import load_candidates, measure_trackers, to_and_fro
from stif_core.evaluation.memory_benchmark import measure_memory
from stif_core.evaluation.tracker_nano import BACKBONE, HEAD, TrackerNano
from stif_core.runtime.graph_check import Costs
from stif_core.weights import DEFAULT_MODEL, ModelFiles, find_model

SHIPPED = find_model(DEFAULT_MODEL)
IMAGES = [np.full((8, 8, 3), i, np.uint8) for i in range(4)]
BOX = np.array([1.0, 2, 3, 4])
needs_kcf = pytest.mark.skipif(not hasattr(cv2, "TrackerKCF_create"), reason="this OpenCV has no KCF")


def command(*arguments):
    return CliRunner().invoke(app, ["benchmark", *map(str, arguments)])


@pytest.fixture
def few_rounds(monkeypatch):
    """Two rounds of three calls each, after one to warm up."""
    for name, value in (("ROUNDS", 2), ("BLOCK_RUNS", 3), ("BLOCK_FRAMES", 3), ("WARM_UP", 1)):
        monkeypatch.setattr(inference_benchmark, name, value)


@pytest.fixture
def fp32_alone(tmp_path) -> ModelFiles:
    """The shipped model without its other precisions."""
    files = ModelFiles("nano", tmp_path / "model")
    files.folder.mkdir()
    for name in ("json", "memorize_onnx", "enhance_onnx", "track_onnx"):
        shutil.copy(getattr(SHIPPED, name), getattr(files, name))
    return files


class Recorder:
    """A tracker that notes which images it has seen, and keeps some memory for each."""

    confidence, state = 1.0, ""

    def __init__(self, kept: int = 0) -> None:
        self.seen: list[int] = []
        self._kept, self._store = kept, []

    def init(self, image, box):
        self.seen.append(int(image[0, 0, 0]))

    def track(self, image):
        self.seen.append(int(image[0, 0, 0]))
        self._store.append(bytes(self._kept))
        return BOX


def test_a_clip_is_played_to_and_fro_without_a_jump():
    assert list(itertools.islice(to_and_fro(4), 10)) == [1, 2, 3, 2, 1, 0, 1, 2, 3, 2]
    with pytest.raises(ValueError, match="needs two images, got 1"):
        next(to_and_fro(1))


def test_trackers_take_turns_over_the_same_images(few_rounds):
    trackers, rounds = {"one": Recorder(), "two": Recorder()}, []
    rows = measure_trackers(trackers, IMAGES, BOX, lambda: rounds.append(1))
    assert len(rounds) == 2
    assert [row.name for row in rows] == ["one", "two"]
    # The first image, one frame to warm up, and for each round one more before the three that are timed.
    expected = [0, *itertools.islice(to_and_fro(4), 1 + 2 * 4)]
    assert trackers["one"].seen == trackers["two"].seen == expected
    for row in rows:
        assert 0 < row.p50 <= row.p95 <= row.p99
        assert row.per_second == pytest.approx(1e3 / row.p50)


def test_a_precision_that_is_not_there_is_left_out_with_a_line(fp32_alone):
    lines = []
    found = load_candidates(fp32_alone, ["onnxruntime", "onnxruntime:int8"], 1, lines.append)
    assert [candidate.name for candidate in found] == ["onnxruntime fp32"]
    assert len(lines) == 1 and lines[0].startswith("left out: ") and "nano.int8.memorize.onnx" in lines[0]
    with pytest.raises(ValueError, match="no backend can run nano"):
        load_candidates(fp32_alone, ["onnxruntime:int8"], 1, lines.append)


def test_estimates_of_a_board_counted_by_hand(monkeypatch):
    """The Orin NX does 7.5e12 products a second in fp16; 2 M parameters read, 1 M outputs written and read again."""
    costs = Costs(multiply_accumulates=10**9, activations=10**6, parameters=2 * 10**6)
    monkeypatch.setattr(boards, "graph_costs", lambda files: {"track": costs})
    (nx,) = (estimate for estimate in roofline(SHIPPED) if "NX" in estimate.board.name)
    assert (nx.fp16_compute, nx.int8_compute) == pytest.approx((1e9 / 7.5e12 * 1e6, 1e9 / 15e12 * 1e6))
    assert (nx.fp16_memory, nx.int8_memory) == pytest.approx((8e6 / 102.4e9 * 1e6, 4e6 / 102.4e9 * 1e6))


def test_every_board_has_an_estimate_of_the_shipped_model():
    found = roofline(SHIPPED)
    assert [estimate.board for estimate in found] == list(BOARDS)
    assert all(estimate.fp16_compute > estimate.int8_compute > 0 for estimate in found)
    assert all(estimate.fp16_memory == pytest.approx(2 * estimate.int8_memory) for estimate in found)


@needs_kcf
def test_infer_prints_and_keeps_networks_trackers_memory_and_estimates(few_rounds, tmp_path):
    pytest.importorskip("skimage")  # draws the rendered clip
    out = tmp_path / "figures.json"
    options = ("--backend", "onnxruntime:fp32", "--threads", 1, "--batch", 1, "--batch", 2, "--peer", "kcf")
    done = command("infer", *options, "--json", out)
    assert done.exit_code == 0, done.output
    content = json.loads(out.read_text())
    assert content["threads"] == 1
    networks = {row["name"]: row for row in content["networks"]}
    assert list(networks) == [
        f"onnxruntime fp32, {name}, batch {batch}" for batch in (1, 2) for name in ("memorize", "enhance", "track")
    ]
    for row in networks.values():
        assert 0 < row["p50"] <= row["p95"] <= row["p99"]
        assert row["per_second"] == pytest.approx(1e3 * int(row["name"][-1]) / row["p50"])
        assert row["limit_share"] > 0
    assert [row["name"] for row in content["trackers"]] == ["nano, onnxruntime fp32", "kcf"]
    assert list(content["memory_mb"]) == ["onnxruntime fp32"] and content["memory_mb"]["onnxruntime fp32"] > 1
    assert [estimate["board"]["name"] for estimate in content["estimates"]] == [board.name for board in BOARDS]
    for shown in ("onnxruntime fp32, track, batch 2", "kcf", "of fp32 limit", "Thor T5000", "not measured"):
        assert shown in done.stdout


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--peer", "siamese"], "unknown peer 'siamese': use csrt, kcf, mil"),
        (["--json", "no/such/folder/out.json"], "No such file or directory: 'no/such/folder/out.json'"),
        (["--model", "huge"], "unknown model 'huge': use one of nano"),
        (["--backend", "abacus"], "no backend can run nano"),
    ],
)
def test_infer_refuses_before_it_measures(monkeypatch, options, reason):
    monkeypatch.setattr(inference_benchmark, "measure_networks", lambda *_: pytest.fail("it measured"))
    done = command("infer", *options)
    assert done.exit_code == 2, done.output
    assert reason in done.stderr.splitlines()[-1]


def test_infer_needs_a_sequence_of_two_images(tmp_path):
    (tmp_path / "one/img").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "one/img/0.png"), np.zeros((20, 20, 3), np.uint8))
    (tmp_path / "one/groundtruth.txt").write_text("1,2,10,10\n")
    done = command("infer", "--backend", "onnxruntime:fp32", "--sequence", tmp_path / "one")
    assert done.exit_code == 2 and "one holds one image, a tracker needs two" in done.stderr


def test_networks_of_peers_that_are_missing_are_one_line(tmp_path, sequences):
    (tmp_path / "empty").mkdir()
    options = ("--backend", "onnxruntime:fp32", "--sequence", sequences / "down", "--nanotrack", tmp_path / "empty")
    done = command("infer", *options)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1 and "nanotrack_backbone.onnx" in done.stderr
    with pytest.raises(ValueError, match=f"no {BACKBONE} and no {HEAD} in"):
        TrackerNano(tmp_path / "empty")
    (tmp_path / "empty" / BACKBONE).write_bytes(b"")
    with pytest.raises(ValueError, match=f"nanotrackv2: no {HEAD} in"):
        TrackerNano(tmp_path / "empty")


def test_targets_together_and_apart_are_printed_and_kept(tmp_path):
    file = tmp_path / "targets.json"
    pytest.importorskip("skimage")  # draws the rendered clip
    done = command("targets", "--targets", 1, "--targets", 3, "--rounds", 1, "--threads", 1, "--json", file)
    assert done.exit_code == 0, done.output
    kept = json.loads(file.read_text())
    assert [row["targets"] for row in kept] == [1, 3]
    assert all(row["together_ms"] > 0 and row["apart_ms"] > 0 for row in kept)
    assert "together / apart" in done.stdout


def test_memory_that_a_tracker_keeps_is_seen():
    looks = []
    usage = measure_memory(Recorder(kept=100_000), IMAGES, BOX, 25, lambda: looks.append(1))
    assert [row.frame for row in usage] == [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]
    assert len(looks) == 10
    assert usage[-1].heap - usage[0].heap == pytest.approx(22 * 0.1, abs=0.05)
    steady = measure_memory(Recorder(), IMAGES, BOX, 25)
    assert steady[-1].heap - steady[0].heap < 0.05
    with pytest.raises(ValueError, match=f"at least {memory_benchmark.POINTS} frames are needed, got 9"):
        measure_memory(Recorder(), IMAGES, BOX, 9)


def test_memory_command_prints_ten_lines_and_the_growth():
    pytest.importorskip("skimage")
    done = command("memory", "--frames", 20, "--backend", "onnxruntime", "--threads", 1)
    assert done.exit_code == 0, done.output
    rows = [line.split("│")[1].strip() for line in done.stdout.splitlines() if line.startswith("│")]
    assert rows == [str(frame) for frame in range(2, 21, 2)]
    assert "growth since the first line: " in done.stdout
