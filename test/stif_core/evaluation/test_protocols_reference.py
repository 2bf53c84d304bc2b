"""Our figures against those of the package got10k, where it is installed (docs/evaluation.md says how).

The package reads data sets and results from files, so whole trees are written and read by both.
"""

import numpy as np
import pytest

from stif_core.evaluation.datasets import read_dataset
from stif_core.evaluation.protocols import score, summarise
from stif_core.evaluation.sequences import Sequence, read_sequences

experiments = pytest.importorskip("got10k.experiments", reason="the package got10k is not installed")

SIZE = (320, 240)


def random_track(rng, length):
    """Boxes true and found in the coordinates of a file, with three decimals as the package writes them."""
    corner = rng.uniform(-20, 280, (length, 2))
    true = np.concatenate([corner, rng.uniform(4, 120, (length, 2))], axis=1).round(3)
    found = (true + rng.normal(0, 12, true.shape)).round(3)
    found[:, 2:] = np.maximum(found[:, 2:], 1)
    found[0] = true[0]
    return true, found


@pytest.fixture
def got10k_val(tmp_path, rng):
    """Twelve random sequences and the folder of their results."""
    root, results = tmp_path / "data", tmp_path / "results" / "GOT-10k" / "t"
    names = [f"GOT-10k_Val_{number:06d}" for number in range(1, 13)]
    for name in names:
        length = int(rng.integers(3, 40))
        true, found = random_track(rng, length)
        true[0, :2] = np.abs(true[0, :2])
        folder = root / "val" / name
        folder.mkdir(parents=True)
        (results / name).mkdir(parents=True)
        np.savetxt(folder / "groundtruth.txt", true, fmt="%.4f", delimiter=",")
        np.savetxt(results / name / f"{name}_001.txt", found, fmt="%.3f", delimiter=",")
        np.savetxt(results / name / f"{name}_time.txt", np.full(length, 0.01))
        cover = rng.integers(0, 9, length)
        cover[1] = 8
        for label, values in (("cover", cover), ("absence", cover == 0), ("cut_by_image", cover * 0)):
            np.savetxt(folder / f"{label}.label", values, fmt="%d")
        (folder / "meta_info.ini").write_text(f"[METAINFO]\nresolution: {SIZE}\n")
        for number in range(1, length + 1):
            (folder / f"{number:08d}.jpg").touch()
    (root / "val" / "list.txt").write_text("\n".join(names))
    return root, results


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_got10k_figures_are_those_of_its_toolkit(got10k_val, tmp_path):
    root, results = got10k_val
    experiment = experiments.ExperimentGOT10k(
        str(root), "val", result_dir=str(tmp_path / "results"), report_dir=str(tmp_path / "reports")
    )
    experiment.plot_curves = lambda *_: None
    reference = experiment.report(["t"])["t"]
    scores = {}
    for sequence in read_dataset("got10k-val", root).sequences:
        found = np.loadtxt(results / sequence.name / f"{sequence.name}_001.txt", delimiter=",")
        scores[sequence.name] = score("got10k", sequence, found - (1, 1, 0, 0))
        assert scores[sequence.name].figures["ao"] == pytest.approx(
            reference["seq_wise"][sequence.name]["ao"], abs=1e-9
        )
    summary = summarise("got10k", scores)
    assert summary.figures["ao"] == pytest.approx(reference["overall"]["ao"], abs=1e-9)
    assert summary.figures["sr_50"] == pytest.approx(reference["overall"]["sr"], abs=1e-9)
    assert summary.curves["success"].values == pytest.approx(reference["overall"]["succ_curve"], abs=1e-9)


class Folders:
    """What an experiment of the package takes as a data set."""

    def __init__(self, pairs):
        self.seq_names = [f"s{i}" for i in range(len(pairs))]
        self._pairs = pairs

    def __len__(self):
        return len(self._pairs)

    def __getitem__(self, index):
        if index >= len(self):
            raise IndexError
        return [], self._pairs[index][0]


def package_report(experiment_type, pairs, folder):
    """The report of the package for boxes true and found."""
    experiment = experiment_type.__new__(experiment_type)
    experiment.dataset = Folders(pairs)
    experiment.result_dir, experiment.report_dir = str(folder / "results"), str(folder / "reports")
    experiment.nbins_iou, experiment.nbins_ce = 21, 51
    experiment.plot_curves = lambda *_: None
    (folder / "results" / "t").mkdir(parents=True)
    for name, (_, found) in zip(experiment.dataset.seq_names, pairs, strict=True):
        np.savetxt(folder / "results" / "t" / f"{name}.txt", found, fmt="%.17g", delimiter=",")
    return experiment.report(["t"])["t"]["overall"]


def ours(protocol, pairs):
    scores = {}
    for i, (true, found) in enumerate(pairs):
        scores[f"s{i}"] = score(protocol, Sequence(f"s{i}", [None] * len(true), true), found)
    return summarise(protocol, scores)


def assert_same(summary, reference):
    assert summary.figures["success_auc"] == pytest.approx(reference["success_score"], abs=1e-9)
    assert summary.figures["precision"] == pytest.approx(reference["precision_score"], abs=1e-9)
    assert summary.figures["success_50"] == pytest.approx(reference["success_rate"], abs=1e-9)
    assert summary.curves["success"].values == pytest.approx(reference["success_curve"], abs=1e-9)
    assert summary.curves["precision"].values == pytest.approx(reference["precision_curve"], abs=1e-9)


def test_otb_figures_are_those_of_the_package_where_every_true_box_is_inside(tmp_path, rng):
    pairs = [random_track(rng, int(rng.integers(2, 60))) for _ in range(20)]
    pairs = [(true + np.array([30, 30, 0, 0]), found + np.array([30, 30, 0, 0])) for true, found in pairs]
    assert_same(ours("otb", pairs), package_report(experiments.ExperimentOTB, pairs, tmp_path))


def test_folder_figures_are_made_of_the_frames_after_the_first_that_have_a_true_box(rng):
    calculate = experiments.ExperimentUAV123.__new__(experiments.ExperimentUAV123)
    calculate.nbins_iou, calculate.nbins_ce = 21, 51
    pairs = [random_track(rng, int(rng.integers(4, 60))) for _ in range(20)]
    for true, _ in pairs:
        true[2::3] = np.nan  # which the package's UAV123 leaves out
    curves = [calculate._calc_curves(*calculate._calc_metrics(found[1:], true[1:])) for true, found in pairs]
    success, precision = (np.mean(values, axis=0) for values in zip(*curves, strict=True))
    summary = ours("folder", pairs)
    assert summary.curves["success"].values == pytest.approx(success, abs=1e-9)
    assert summary.curves["precision"].values == pytest.approx(precision, abs=1e-9)
    assert summary.figures["success_auc"] == pytest.approx(success.mean(), abs=1e-9)
    assert summary.figures["precision"] == pytest.approx(precision[20], abs=1e-9)


def test_real_sequences_score_as_in_the_package(shared_data, tmp_path):
    pairs = []
    for sequence in read_sequences(shared_data / "sequences"):
        true = sequence.truth[sequence.present]
        drift = np.linspace(0, 0.6, len(true))[:, None] * true[:, [2, 3, 2, 3]] * (1, 0.5, 0.3, -0.2)
        pairs.append((true + np.array([1, 1, 0, 0]), true + drift + np.array([1, 1, 0, 0])))
    assert_same(ours("otb", pairs), package_report(experiments.ExperimentOTB, pairs, tmp_path))
