from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from stif_core.model.config import GOOGLENET, NANO  # noqa: E402
from stif_core.model.stif import Stif  # noqa: E402
from stif_core.training.schedule import Optimisation, build_optimizer, freeze, rate_factor  # noqa: E402


def test_rate_of_the_paper_warms_up_and_falls_to_its_last():
    paper = Optimisation("sgd", rate=8e-2, first_rate=1e-2, last_rate=1e-6, warm_up_steps=100)
    rates = [paper.rate * rate_factor(step, 1000, paper) for step in range(1001)]
    assert rates[0] == pytest.approx(1e-2, rel=0.1)
    assert rates[99] == pytest.approx(8e-2)
    assert rates[550] == pytest.approx((8e-2 + 1e-6) / 2)
    assert rates[1000] == pytest.approx(1e-6)
    assert max(rates) == pytest.approx(8e-2)


def test_frozen_trunk_is_not_trained():
    model = Stif(NANO)
    freeze(model, Optimisation(trunk_released=1.0))
    trained = {id(p) for group in build_optimizer(model, Optimisation()).param_groups for p in group["params"]}
    assert not trained & {id(p) for p in model.branches.trunk.parameters()}
    assert id(model.branches.foreground_stem.weight) not in trained
    assert id(model.branches.foreground_cells.weight) in trained


def test_named_parts_of_the_trunk_stay_frozen():
    model = Stif(NANO)
    freeze(model, Optimisation(trunk_released=0.5, trunk_frozen=("stem", "blocks.0")))
    trunk = model.branches.trunk
    assert not any(p.requires_grad for p in [*trunk.stem.parameters(), *trunk.blocks[0].parameters()])
    assert all(p.requires_grad for p in trunk.blocks[1].parameters())
    with pytest.raises(ValueError, match=r"no module 'block\.0'; it has stem, blocks, blocks\.0"):
        freeze(model, Optimisation(trunk_released=0.0, trunk_frozen=("block.0",)))


def test_both_trunks_of_the_paper_are_frozen():
    model = Stif(replace(GOOGLENET, channels=8, tower_channels=8, tower_depth=1))
    freeze(model, Optimisation(trunk_released=0.5, trunk_frozen=("conv1a",)))
    assert model.branches.foreground_stem.weight.requires_grad  # starts untrained: the foreground's only way in
    for trunk in model.branches.trunks():
        assert not trunk.conv1a.conv.weight.requires_grad
        assert trunk.conv2a.conv.weight.requires_grad


def test_trunk_has_its_own_rate_and_biases_do_not_decay():
    model = Stif(NANO)
    groups = build_optimizer(model, Optimisation(rate=1.0, trunk_factor=0.1, trunk_released=0.0)).param_groups
    by_id = {id(p): group for group in groups for p in group["params"]}
    assert len(by_id) == len(list(model.parameters()))
    assert by_id[id(model.branches.trunk.stem.weight)]["lr"] == pytest.approx(0.1)
    assert by_id[id(model.head.class_logit.weight)]["lr"] == 1.0
    assert by_id[id(model.head.class_logit.weight)]["weight_decay"] > 0
    assert by_id[id(model.head.class_logit.bias)]["weight_decay"] == 0
