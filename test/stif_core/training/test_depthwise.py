import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch import nn  # noqa: E402

from stif_core.training.depthwise import DepthwiseConvolution, TrainableDepthwise, use_trainable_depthwise  # noqa: E402


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from([3, 5, 7]), st.sampled_from([1, 2, 3]), st.integers(1, 5), st.integers(7, 13), st.integers(7, 13)
)
def test_gradients_are_those_of_pytorch(kernel, stride, channels, height, width):
    x = torch.randn(2, channels, height, width, requires_grad=True)
    weight = torch.randn(channels, 1, kernel, kernel, requires_grad=True)
    bias = torch.randn(channels, requires_grad=True)
    ours = DepthwiseConvolution.apply(x, weight, bias, stride)
    theirs = nn.functional.conv2d(x, weight, bias, stride, kernel // 2, groups=channels)
    torch.testing.assert_close(ours, theirs)
    gradient = torch.randn_like(ours)
    for mine, expected in zip(
        torch.autograd.grad(ours, (x, weight, bias), gradient),
        torch.autograd.grad(theirs, (x, weight, bias), gradient),
        strict=True,
    ):
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-4)


def test_only_depthwise_layers_that_are_trained_are_changed_and_keep_their_weights():
    network = nn.Sequential(
        nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 8, 3, padding=1, groups=8)
    )
    network[2].requires_grad_(False)
    image = torch.randn(1, 4, 9, 9)
    before, names = network(image), list(network.state_dict())
    use_trainable_depthwise(network)
    assert [type(layer) for layer in network] == [nn.Conv2d, TrainableDepthwise, nn.Conv2d]
    assert list(network.state_dict()) == names
    torch.testing.assert_close(network(image), before)


def test_bfloat16_autocast_reaches_the_layer():
    layer = nn.Conv2d(8, 8, 3, padding=1, groups=8)
    use_trainable_depthwise(layer)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(torch.randn(1, 8, 9, 9))
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert layer.weight.grad.dtype == torch.float32
