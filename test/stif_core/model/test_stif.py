from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from stif_core.crops import SearchWindow, foreground_map, plain_canvas  # noqa: E402
from stif_core.evaluation.rendered_clip import RenderedClip  # noqa: E402
from stif_core.model.config import GOOGLENET, NANO, VARIANTS  # noqa: E402
from stif_core.model.enhancement import SpatialEnhancement, temporal_weights  # noqa: E402
from stif_core.model.fbnet import FBNet  # noqa: E402
from stif_core.model.googlenet import GoogLeNetBranches, torchvision_name  # noqa: E402
from stif_core.model.mobilenet import MobileNetV3Small  # noqa: E402
from stif_core.model.shared_trunk import SharedTrunkBranches  # noqa: E402
from stif_core.model.stif import Stif, build_branches, load_weights, multiply_accumulates, parameter_count  # noqa: E402
from stif_core.runtime.export import fold_batch_norm  # noqa: E402
from stif_core.weights import find_model  # noqa: E402

ABLATIONS = {
    "baseline": {"ste": False, "query_sde": False, "interaction": False},
    "ste": {"ste": True, "query_sde": False, "interaction": False},
    "sde": {"ste": False, "query_sde": True, "interaction": False},
    "ste_sde": {"ste": True, "query_sde": True, "interaction": False},
    "stif": {"ste": False, "query_sde": False, "interaction": True},
    "all": {"ste": True, "query_sde": True, "interaction": True},
}


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    return {name: Stif(config).eval() for name, config in VARIANTS.items()}


def crops(size: int, batch: int = 1, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, generator=generator)
    foreground = torch.zeros(batch, 1, size, size, dtype=torch.uint8)
    foreground[:, :, size // 3 : size // 2, size // 3 : size // 2] = 1
    return image, foreground


@pytest.mark.parametrize(("name", "cells"), [("googlenet", 25), ("nano", 16)])
@torch.no_grad()
def test_shapes(models, name, cells):
    model, config = models[name], VARIANTS[name]
    image, foreground = crops(config.crop_size, batch=2)
    feature = model.memorize(image, foreground)
    assert feature.shape == (2, config.channels, cells, cells)
    enhanced = model.enhance(feature[:, None].repeat(1, 3, 1, 1, 1))
    assert enhanced.shape == (2, 1, config.channels, cells, cells)
    score, box = model.track(image, enhanced)
    assert score.shape == (2, cells * cells)
    assert box.shape == (2, cells * cells, 4)
    assert ((score >= 0) & (score <= 1)).all()
    assert (box[..., 2:] > box[..., :2]).all()


def test_googlenet_has_the_papers_size(models):
    assert parameter_count(models["googlenet"]) / 1e6 == pytest.approx(46.2, abs=0.1)
    without_gates = Stif(replace(GOOGLENET, interaction=False))
    assert parameter_count(without_gates) / 1e6 == pytest.approx(36.8, abs=0.1)


def test_googlenet_has_the_papers_cost(models):
    model = models["googlenet"]
    image = torch.zeros(1, 3, 289, 289)
    assert multiply_accumulates(model.branches.query, image) / 1e9 == pytest.approx(14, abs=0.1)
    assert multiply_accumulates(model.necks[0], torch.zeros(1, 768, 25, 25)) / 1e9 == pytest.approx(2.2, abs=0.1)
    assert multiply_accumulates(model.head, torch.zeros(1, 1024, 25, 25)) / 1e9 == pytest.approx(7.4, abs=0.1)
    gates = multiply_accumulates(model.fusion.memory_gate, torch.zeros(1, 512, 25, 25)) * 2
    assert gates / 1e9 == pytest.approx(5.9, abs=0.1)


def test_nano_is_small(models):
    assert parameter_count(models["nano"]) / 1e6 == pytest.approx(1.67, abs=0.01)


@pytest.mark.parametrize("switches", ABLATIONS.values(), ids=ABLATIONS)
def test_gradients_reach_every_parameter(switches):
    torch.manual_seed(0)
    model = Stif(replace(NANO, crop_size=128, **switches))
    image, foreground = crops(128, batch=4)
    memory = image.view(2, 2, 3, 128, 128).float()
    output = model(memory, foreground.view(2, 2, 1, 128, 128).float(), image[:2].float())
    sum(part.square().sum() for part in output).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


@pytest.mark.parametrize("cosine", [False, True])
def test_temporal_weights_sum_to_1_and_prefer_the_initial_frame(cosine):
    features = torch.randn(2, 3, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    weights = temporal_weights(features, cosine)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2, 1, 4, 4))
    assert weights[:, 0].mean() > weights[:, 1:].mean()


def test_raw_dot_products_saturate_on_the_initial_frame():
    """The trap that the cosine form avoids: the memory would never be read."""
    features = 10 * torch.randn(4, 3, 96, 16, 16, generator=torch.Generator().manual_seed(0))
    assert temporal_weights(features, cosine=False)[:, 0].mean() > 0.99


def test_shipped_network_reads_all_memory_frames():
    pytest.importorskip("skimage")
    clip, files = RenderedClip(), find_model("nano")
    model = load_weights(files.config(), files.weights)
    features = []
    for index in (0, 50, 100):
        image, box = clip.render(index)
        window = SearchWindow.around(box, 256)
        crop = window.sample(image, plain_canvas(image, 256)).transpose(2, 0, 1)
        foreground = foreground_map(window.to_crop(box), 256)
        with torch.no_grad():
            features.append(
                model.memorize(torch.from_numpy(crop.copy())[None], torch.from_numpy(foreground)[None, None])
            )
    weights = temporal_weights(torch.stack(features, dim=1), cosine=True).mean(dim=(0, 2, 3, 4))
    assert weights[0] < 0.95
    assert weights[1:].min() > 0.02


def test_imagenet_checkpoint_in_torchvisions_names_starts_both_trunks(tmp_path):
    branches = GoogLeNetBranches()
    names = list(branches.query_trunk.state_dict())
    checkpoint = {
        torchvision_name(name): torch.randn_like(value.float())
        for name, value in branches.query_trunk.state_dict().items()
    }
    assert len(checkpoint) == len(names)
    assert {
        "Conv2d_1a_3x3.conv.weight",
        "Conv2d_4a_3x3.bn.running_var",
        "Mixed_5b.branch1x1.conv.weight",
        "Mixed_5d.branch3x3dbl_3.conv.weight",
        "Mixed_6a.branch3x3.bn.weight",
        "Mixed_6b.branch7x7_2.conv.weight",
        "Mixed_6e.branch7x7dbl_5.bn.bias",
        "Mixed_6e.branch_pool.conv.weight",
    } <= set(checkpoint)
    torch.save({**checkpoint, "fc.weight": torch.zeros(1)}, tmp_path / "inception_v3.pth")
    branches.load_trunk(tmp_path / "inception_v3.pth")
    for trunk in (branches.memory_trunk, branches.query_trunk):
        torch.testing.assert_close(
            trunk.mixed6[1].branch7x7[1].conv.weight, checkpoint["Mixed_6b.branch7x7_2.conv.weight"]
        )


@pytest.mark.parametrize("damage", ["missing", "truncated", "other network"])
def test_weights_that_cannot_be_loaded_are_one_clear_error(tmp_path, damage):
    path = tmp_path / "w.safetensors"
    if damage == "truncated":
        path.write_bytes(find_model("nano").weights.read_bytes()[:5000])
    elif damage == "other network":
        path = find_model("nano").weights
    with pytest.raises(ValueError, match=r"safetensors"):
        load_weights(GOOGLENET, path)


@pytest.mark.parametrize("switches", ABLATIONS.values(), ids=ABLATIONS)
@torch.no_grad()
def test_memory_of_identical_frames_equals_one_frame(switches):
    torch.manual_seed(0)
    model = Stif(replace(NANO, crop_size=128, **switches)).eval()
    image, foreground = crops(128)
    feature = model.memorize(image, foreground)[:, None]
    one = model.track(image, model.enhance(feature))
    three = model.track(image, model.enhance(feature.repeat(1, 3, 1, 1, 1)))
    torch.testing.assert_close(three, one, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("switches", ABLATIONS.values(), ids=ABLATIONS)
@torch.no_grad()
def test_enhanced_memory_is_one_map_or_all_frames_where_the_read_out_attends_to_each(switches):
    torch.manual_seed(0)
    model = Stif(replace(NANO, crop_size=128, **switches)).eval()
    image, foreground = crops(128, batch=3)
    memory = model.memorize(image, foreground)[None]
    maps = 3 if switches["ste"] is switches["interaction"] is False else 1
    enhanced = model.enhance(memory)
    assert enhanced.shape == (1, maps, *memory.shape[2:])
    assert model.config.enhanced_frames == maps
    # The training form is the two in one.
    query = model.query_feature(image[:1].float())
    torch.testing.assert_close(model.find(enhanced, query), model.match(memory, query), rtol=0, atol=0)


def test_enhancement_with_gain_2_starts_as_the_identity():
    feature = torch.randn(1, 8, 5, 5)
    torch.testing.assert_close(SpatialEnhancement(2.0)(feature), feature)


@pytest.mark.parametrize(
    ("trunk", "size"),
    [("googlenet", 289 + 32 * 8), ("mobilenet_v3_small", 256 + 32 * 16), ("fbnet", 256 + 32 * 16)],
)
def test_grid_agrees_with_the_receptive_fields(monkeypatch, trunk, size):
    """The gradient of a cell with respect to the image shows which pixels it sees: their middle is its centre.

    All weights are made equal, so that no direction is preferred, and the image is made large, so that its border
    cuts no receptive field; the crop's own cells lie the same way, as 8 and 16 divide the difference.
    """
    branches = build_branches(trunk).eval()
    # Of equal values a maximum takes the first; the mean has the same window and takes all.
    monkeypatch.setattr(F, "max_pool2d", F.avg_pool2d)
    with torch.no_grad():
        for parameter in branches.parameters():
            parameter.fill_(1 / parameter[0].numel()) if parameter.ndim > 1 else parameter.zero_()
        for module in branches.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.fill_(1.0)
    for module in branches.modules():
        if type(module).__name__ == "SqueezeExcitation":  # sees the whole image, wherever the cell is
            module.forward = lambda x: x
    image = torch.full((1, 3, size, size), 200.0, requires_grad=True)
    feature = branches.query(image)
    cell = feature.shape[-1] // 2
    feature[0, :, cell, cell].sum().backward()
    seen = image.grad.abs().sum(dim=(0, 1)).double()
    for axis in (0, 1):
        profile = seen.sum(dim=axis)
        centre = (profile * (torch.arange(size) + 0.5)).sum() / profile.sum()
        assert centre.item() == pytest.approx(branches.grid_origin + branches.stride * cell, abs=0.01)


def test_head_decodes_around_the_grid(models):
    points = models["nano"].head.points
    assert points[0].tolist() == [0.5, 0.5]
    assert points[1].tolist() == [16.5, 0.5]
    assert points[16].tolist() == [0.5, 16.5]


@pytest.mark.parametrize(
    "config", [GOOGLENET, NANO, replace(NANO, separable=True)], ids=["googlenet", "nano", "separable"]
)
@torch.no_grad()
def test_training_and_export_form_agree(config):
    torch.manual_seed(0)
    model = Stif(config)
    for module in model.modules():  # batch norms as they are after training
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2.0)
    model.eval()
    image, foreground = crops(config.crop_size)
    output = model(image[:, None].float(), foreground[:, None].float(), image.float())
    expected = output.class_logits.sigmoid() * output.centreness_logits.sigmoid()
    if config.score == "geometric_mean":
        expected = expected.sqrt()
    fold_batch_norm(model)
    folded = [*model.necks.modules(), *model.head.modules()]
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded)
    score, box = model.track(image, model.enhance(model.memorize(image, foreground)[:, None]))
    torch.testing.assert_close(score, expected, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(box, output.boxes, rtol=1e-3, atol=1e-2)


def test_fbnet_equals_the_pretrained_file(shared_weights):
    """Against a second reading of the weights' description: plain functions over the file, no module of ours."""
    w = {name: value.float() for name, value in load_file(shared_weights / "fbnet_fear_xs.safetensors").items()}
    blocks = [  # kernel, stride
        (3, 1), (3, 2), (3, 1), (3, 1), (5, 2), (5, 1), (5, 1), (3, 1), (5, 2), (5, 1), (5, 1), (5, 1), (5, 1), (5, 1),
        (5, 1), (5, 1),
    ]  # fmt: skip

    def conv(x, name, stride=1, groups=1):
        weight = w[name + ".weight"]
        return F.conv2d(x, weight, w[name + ".bias"], stride, weight.shape[2] // 2, 1, groups)

    image = crops(256)[0].float()
    rgb = image[:, [2, 1, 0]]
    normal = (rgb - torch.tensor([123.675, 116.28, 103.53])[:, None, None]) / torch.tensor([58.395, 57.12, 57.375])[
        :, None, None
    ]
    x = conv(normal, "stem", 2).relu()
    for i, (kernel, stride) in enumerate(blocks):
        y = conv(x, f"blocks.{i}.expand").relu() if f"blocks.{i}.expand.weight" in w else x
        assert w[f"blocks.{i}.depthwise.weight"].shape[2] == kernel
        y = conv(y, f"blocks.{i}.depthwise", stride, groups=y.shape[1]).relu()
        y = conv(y, f"blocks.{i}.project")
        x = x + y if x.shape == y.shape else y

    branches = SharedTrunkBranches(FBNet())
    branches.load_trunk(shared_weights / "fbnet_fear_xs.safetensors")
    with torch.no_grad():
        torch.testing.assert_close(branches.query(image), x, rtol=1e-4, atol=1e-3)


def test_mobilenet_equals_the_pretrained_file(shared_weights):
    """Against a second reading of the weights' description: plain functions over the file, no module of ours."""
    w = load_file(shared_weights / "mobilenet_v3_nanotrack.safetensors")
    blocks = [  # kernel, squeeze, hard-swish, stride
        (3, True, False, 2), (3, False, False, 2), (3, False, False, 1), (5, True, True, 2), (5, True, True, 1),
        (5, True, True, 1), (5, True, True, 1), (5, True, True, 1), (5, True, True, 1),
    ]  # fmt: skip

    def conv(x, name, stride=1, groups=1):
        weight = w[name + ".weight"]
        return F.conv2d(x, weight, w[name + ".bias"], stride, (weight.shape[2] - 1) // 2, 1, groups)

    def squeeze(x, name):
        s = F.relu(F.linear(x.mean((2, 3)), w[name + ".reduce.weight"], w[name + ".reduce.bias"]))
        s = F.hardsigmoid(F.linear(s, w[name + ".expand.weight"], w[name + ".expand.bias"]))
        return x * s[:, :, None, None]

    image = crops(256)[0].float()
    x = F.hardswish(conv(image, "stem", stride=2))
    for i, (_, squeezed, hard, stride) in enumerate(blocks):
        act = F.hardswish if hard else F.relu
        y = act(conv(x, f"blocks.{i}.expand")) if i else x
        y = conv(y, f"blocks.{i}.depthwise", stride, groups=y.shape[1])
        if i == 0:
            y = squeeze(act(y), f"blocks.{i}.squeeze")
        else:
            y = act(squeeze(y, f"blocks.{i}.squeeze") if squeezed else y)
        y = conv(y, f"blocks.{i}.project")
        x = x + y if x.shape == y.shape else y

    trunk = MobileNetV3Small().eval()
    trunk.load_state_dict(w, strict=True)
    with torch.no_grad():
        torch.testing.assert_close(trunk(image), x, rtol=1e-5, atol=1e-4)
