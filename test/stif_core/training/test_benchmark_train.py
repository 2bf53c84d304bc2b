"""`stif benchmark train`, and trainings whose samples are drawn on the device; here that is the CPU."""

import re

import pytest
import yaml
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from safetensors.torch import save_file  # noqa: E402

from stif_core.cli import app  # noqa: E402
from stif_core.data.datasets import Roots  # noqa: E402
from stif_core.model.config import NANO  # noqa: E402
from stif_core.model.stif import Stif  # noqa: E402
from stif_core.training import benchmark  # noqa: E402
from stif_core.training.benchmark import TrainingSpeed, samples_a_second  # noqa: E402
from stif_core.training.data_module import StoreSettings, TrackingDataModule, channels_last  # noqa: E402

SIZE = 128


@pytest.fixture
def options(tmp_path, data_root):
    """A training on the small data set, quick enough for a test."""
    torch.manual_seed(0)
    save_file(Stif(NANO).state_dict(), tmp_path / "start.safetensors")
    config = {
        "trainer": {"max_steps": 8, "log_every_n_steps": 1, "enable_progress_bar": False, "accelerator": "cpu"},
        "data": {
            "ratios": {"folder_stills": 1.0, "folder_videos": 1.0},
            "rendered": 1.0,
            "batch_size": 2,
            "workers": 1,
        },
        "model": {"network": {**NANO.to_dict(), "crop_size": SIZE}, "optimisation": {"warm_up_steps": 2}},
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(config))
    files = {"--config": tmp_path / "small.yaml", "--model.start": tmp_path / "start.safetensors"}
    return [str(part) for option in {**files, "--data.roots.folder": data_root}.items() for part in option]


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(benchmark, "BLOCKS", 4)
    monkeypatch.setattr(benchmark, "BLOCK_STEPS", 3)
    monkeypatch.setattr(benchmark, "SETTLING_STEPS", 1)


def test_loader_cost_is_its_share_of_the_time_of_a_sample():
    # 50 samples/s are 20 ms a sample, 40 are 25: of these the loader takes 5.
    assert TrainingSpeed(real=40.0, cached=50.0, memory=(0, 0)).loader_cost == pytest.approx(0.2)
    assert TrainingSpeed(real=50.0, cached=50.0, memory=(0, 0)).loader_cost == 0


def test_speeds_are_medians_over_blocks_without_their_first_steps(short):
    # Blocks of three steps: real, cached, real, cached. Between the first two of a block anything may happen.
    times, now = [], 0.0
    for seconds in (0.5, 0.25, 0.7, 0.35):
        for step in range(3):
            now += 60.0 if step < 2 else seconds
            times.append(now)
    real, cached = samples_a_second(times, batch=7)
    assert real == pytest.approx((7 / 0.5 + 7 / 0.7) / 2)
    assert cached == pytest.approx((7 / 0.25 + 7 / 0.35) / 2)


@pytest.mark.slow
@pytest.mark.parametrize("draw_on", ["loader", "device"])
def test_benchmark_prints_both_speeds_and_what_the_loader_costs(options, short, draw_on, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    result = CliRunner().invoke(app, ["benchmark", "train", *options, "--data.draw_on", draw_on])
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    real, cached = (float(found) for found in re.findall(r"([\d.]+) samples/s", text))
    cost = float(re.search(r"the loader costs (-?[\d.]+)%", text)[1])
    assert real > 0 and cached > 0
    assert cost / 100 == pytest.approx(1 - real / cached, abs=0.1 / real + 0.1 / cached + 0.001)
    own, loader = (float(found) for found in re.findall(r"process ([\d.]+) GB", text))
    assert 0.05 < loader < 4 and 0.1 < own < 8
    assert set(tmp_path.iterdir()) == before  # nothing of it is kept


def module(data_root, **options):
    data = TrackingDataModule(
        {"folder_stills": 1.0, "folder_videos": 1.0}, Roots(folder=data_root), 1.0, crop_size=SIZE, **options
    )
    data.setup("fit")
    return data


def test_batch_lies_in_memory_with_the_channels_last(data_root):
    data = module(data_root)
    batch = channels_last([data.dataset[i] for i in range(4)])
    assert batch["memory"].shape == (4, 1, 3, SIZE, SIZE)
    assert batch["query"].is_contiguous(memory_format=torch.channels_last)
    assert batch["memory"].flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch["query"][2], data.dataset[2]["query"])


def test_data_set_that_does_not_fit_on_the_device_is_one_clear_error(data_root):
    with pytest.raises(ValueError, match=r"does not fit in 0\.0001 GB of the device: .*--data\.draw_on loader"):
        module(data_root, draw_on="device", store=StoreSettings(gigabytes=1e-4))


def test_batches_of_plans_become_the_samples_of_the_loader(data_root):
    data = module(data_root, draw_on="device")
    plans = [data.dataset.planner[i] for i in range(4)]
    batch = data.on_after_batch_transfer(data.packer(plans), 0)
    expected = channels_last([data.dataset[i] for i in range(4)])
    assert {name: (value.shape, value.dtype) for name, value in batch.items()} == {
        name: (value.shape, value.dtype) for name, value in expected.items()
    }
    assert torch.equal(batch["query_xyxy"], expected["query_xyxy"])
    assert data.on_after_batch_transfer(3, 0) == 3  # the number of a validation clip
