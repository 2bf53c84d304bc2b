import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from stif_core.model.convolution import SeparableConvolution, convolution3x3, fitting_state, separated  # noqa: E402


def full_weight(depthwise, pointwise):
    """The full kernel of a depthwise and a 1x1 convolution."""
    return pointwise * depthwise.transpose(0, 1)


def test_separable_convolution_is_the_full_one_of_their_product():
    torch.manual_seed(0)
    separable = SeparableConvolution(5, 7, bias=True)
    torch.nn.init.zeros_(separable[0].bias)
    full = nn.Conv2d(5, 7, 3, padding=1)
    full.load_state_dict(
        {"weight": full_weight(separable[0].weight.detach(), separable[1].weight.detach()), "bias": separable[1].bias}
    )
    x = torch.randn(2, 5, 6, 6)
    torch.testing.assert_close(separable(x), full(x), rtol=1e-4, atol=1e-5)


def test_what_is_separable_is_separated_without_loss():
    torch.manual_seed(0)
    weight = full_weight(torch.randn(5, 1, 3, 3), torch.randn(7, 5, 1, 1))
    torch.testing.assert_close(full_weight(*separated(weight)), weight, rtol=1e-4, atol=1e-5)


def test_separated_is_the_nearest():
    torch.manual_seed(0)
    weight = torch.randn(7, 5, 3, 3)
    depthwise, pointwise = separated(weight)
    error = (full_weight(depthwise, pointwise) - weight).square().sum()
    for _ in range(20):
        moved = full_weight(depthwise + 0.05 * torch.randn(5, 1, 3, 3), pointwise + 0.05 * torch.randn(7, 5, 1, 1))
        assert (moved - weight).square().sum() > error


def test_fitting_state_takes_what_fits_and_separates_full_convolutions():
    full = nn.Sequential(convolution3x3(4, 6, False), nn.BatchNorm2d(6), nn.Conv2d(6, 2, 1))
    ours = nn.Sequential(convolution3x3(4, 6, True), nn.BatchNorm2d(6), nn.Conv2d(6, 3, 1))
    fitting = fitting_state(ours, full.state_dict())
    assert torch.equal(fitting["0.1.bias"], full[0].bias)
    assert torch.equal(fitting["1.running_var"], full[1].running_var)
    assert not any(name.startswith("2.") for name in fitting)  # of another shape
    missing, unexpected = ours.load_state_dict(fitting, strict=False)
    assert sorted(missing) == ["2.bias", "2.weight"]
    assert not unexpected


def test_separable_convolutions_of_another_width_are_left_out():
    full, ours = nn.Sequential(convolution3x3(4, 6, False)), nn.Sequential(convolution3x3(4, 8, True, bias=False))
    fitting = fitting_state(ours, full.state_dict())
    assert sorted(fitting) == ["0.0.bias", "0.0.weight"]  # the depthwise part has the width of what goes in
    ours.load_state_dict(fitting, strict=False)
