"""Every committed configuration is read by the parser that reads it in training."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

from stif_core.model.config import GOOGLENET, NANO
from stif_core.training.cli import read_configuration

ROOTS = ("trackingnet", "lasot", "got10k", "imagenet_vid", "imagenet_det", "coco")


def read(repository, *names):
    paths = [argument for name in names for argument in ("--config", str(repository / "config/train" / f"{name}.yaml"))]
    return read_configuration(["fit", *paths])


def test_paper_s_protocol(repository):
    config = read(repository, "stif_got10k")
    assert vars(config.model.network) == GOOGLENET.to_dict()
    assert config.data.crop_size == 289
    assert config.data.memory_frames == 3
    assert config.data.ratios == {"got10k": 1.0}
    assert config.data.steps_per_epoch * config.data.batch_size == 150_000
    assert config.model.optimisation.warm_up_steps == config.data.steps_per_epoch
    assert config.trainer.use_distributed_sampler is False


def test_full_data_is_an_overlay_that_changes_the_data_alone(repository):
    full, part = read(repository, "stif_got10k", "stif_full"), read(repository, "stif_got10k")
    assert set(full.data.ratios) == set(ROOTS)
    assert full.model == part.model


def test_nano_is_nano(repository):
    for names in (("nano_folder",), ("nano_folder", "nano_folder_along"), ("nano_public",)):
        assert vars(read(repository, *names).model.network) == NANO.to_dict()
    taught = read(repository, "nano_folder", "nano_folder_taught").model
    assert vars(taught.network) == {**NANO.to_dict(), "separable": True}
    assert taught.trunk is None


@pytest.mark.parametrize(
    ("name", "switches"),
    [
        ("baseline", (False, False, False)),
        ("ste", (True, False, False)),
        ("sde", (False, True, False)),
        ("ste_sde", (True, True, False)),
        ("stif", (False, False, True)),
        ("all", (True, True, True)),
    ],
)
def test_ablations_are_overlays_of_three_switches(repository, name, switches):
    whole, overlaid = read(repository, "nano_folder"), read(repository, "nano_folder", f"ablation/{name}")
    network = overlaid.model.network
    assert (network.ste, network.query_sde, network.interaction) == switches
    for key in ("ste", "query_sde", "interaction"):
        network[key] = whole.model.network[key]
    assert overlaid.data.memory_frames == 3
    overlaid.data.memory_frames = whole.data.memory_frames
    overlaid.config = whole.config  # the list of files
    assert overlaid == whole
