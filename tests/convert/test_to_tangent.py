"""``to_tangent`` agrees with omniconv's tangent-plane layers that have the same weights."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from flat_networks import AutoencoderLike, DeepLabLike, EfficientLike, SegNetLike, UNetLike
from roll_equivariance import main_output, noise_image, randomized, roll_error
from torch import nn

import omniconv as oc
from omniconv.errors import InputError
from omniconv.surfaces import panorama

HEIGHT = 32
KINDS = {AutoencoderLike: 2, DeepLabLike: 4, EfficientLike: 8, SegNetLike: 4, UNetLike: 4}


def surface(height):
    return oc.Equirectangular(height=height, kernels="tangent")


def smooth(height, channels=3):
    """Return sine waves of at most a few periods around the sphere."""
    directions = panorama.pixel_directions(height, 2 * height)
    rates = np.random.default_rng(0).uniform(-2, 2, (3, channels))
    return torch.from_numpy(np.sin(directions @ rates + 0.5)).movedim(-1, 0)[None]


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 1), (3, 2, 1), ((5, 3), 1, (1, 2)), (7, 2, 1)])
def test_convolution_agrees_with_omniconv(kernel, stride, dilation, groups):
    reach = (np.array(kernel) - 1) * np.array(dilation) // 2 * np.ones(2, int)
    flat = nn.Conv2d(3, 6, kernel, stride, tuple(map(int, reach)), dilation, groups).double()
    ours = oc.nn.Conv(3, 6, kernel, stride, dilation=dilation, groups=groups, surface=surface(16)).double()
    ours.load_state_dict(flat.state_dict())
    torch.testing.assert_close(oc.convert.to_tangent(flat, 16)(noise_image()), ours(noise_image()))


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1)])
def test_max_pooling_and_its_indices_agree_with_omniconv(kernel, stride, padding):
    flat = oc.convert.to_tangent(nn.MaxPool2d(kernel, stride, padding, return_indices=True), 16, example=noise_image())
    ours = oc.nn.MaxPool(kernel, stride, return_switches=True, surface=surface(16)).double()
    for one, other in zip(flat(noise_image()), ours(noise_image()), strict=True):
        torch.testing.assert_close(one, other)


def test_padding_on_one_side_centres_kernels_on_odd_pixels():
    """With TensorFlow's "SAME" padding, windows start at even pixels and are centred on odd ones."""
    flat = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 4, 3, 2)).double()
    dense = oc.nn.Conv(3, 4, 3, surface=surface(16)).double()
    dense.load_state_dict(flat[1].state_dict())
    y = oc.convert.to_tangent(flat, 16)(noise_image())
    torch.testing.assert_close(y, dense(noise_image())[:, :, 1::2, 1::2])


@pytest.mark.parametrize("kind", list(KINDS), ids=lambda kind: kind.__name__)
def test_converted_network_is_equivariant_to_rolls(kind):
    torch.manual_seed(0)
    network = oc.convert.to_tangent(randomized(kind()), HEIGHT)
    for multiple in (1, 3):
        assert roll_error(network, noise_image(3, HEIGHT, 2 * HEIGHT), multiple * KINDS[kind]) < 1e-10


@pytest.mark.parametrize(
    "kind", [AutoencoderLike, DeepLabLike, EfficientLike]
)  # without transposed convolution and unpooling
def test_constant_image_gives_the_same_as_to_equirectangular(kind):
    """Every kernel samples the same constant, on the tangent plane or on the grid."""
    torch.manual_seed(0)
    flat = randomized(kind())
    x = torch.tensor([0.3, -1.2, 0.8], dtype=torch.float64).view(1, 3, 1, 1).expand(1, 3, HEIGHT, 2 * HEIGHT)
    circular = main_output(oc.convert.to_equirectangular(copy.deepcopy(flat), poles="over")(x))
    torch.testing.assert_close(main_output(oc.convert.to_tangent(flat, HEIGHT)(x)), circular)


def test_difference_at_the_equator_is_of_second_order():
    """At half the pixel size, the difference on rows beside the equator falls to about a quarter."""
    torch.manual_seed(0)
    flat = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 8, 5, padding=2, groups=2), nn.MaxPool2d(3, 1, 1),
        nn.Conv2d(8, 2, 3, padding=2, dilation=2),
    ).double()  # fmt: skip
    errors = []
    for height in (32, 64, 128):
        circular = oc.convert.to_equirectangular(flat, copy=True)(smooth(height))
        tangent = oc.convert.to_tangent(flat, height, copy=True)(smooth(height))
        errors.append(((circular - tangent)[:, :, height // 2].abs().max() / circular.abs().max()).item())
    assert errors[0] < 0.05
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3


def test_weights_stay_through_both_conversions_and_revert():
    flat = UNetLike()
    state = copy.deepcopy(flat.state_dict())
    network = oc.convert.to_tangent(flat, 16)
    assert list(network.state_dict()) == list(state)
    assert len(list(network.buffers())) == len(list(UNetLike().buffers()))
    oc.convert.to_equirectangular(network)
    assert type(oc.convert.revert(network)) is UNetLike
    assert all(torch.equal(value, state[name]) for name, value in flat.state_dict().items())


def test_conversion_does_not_change_statistics():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout()).train()
    oc.convert.to_tangent(network, 16)
    assert int(network[1].num_batches_tracked) == 0
    assert all(module.training for module in network.modules())


def test_unsupported_windows_stay_flat_and_are_reported():
    flat = nn.Sequential(
        nn.Conv2d(3, 4, 4, 4), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.MaxPool2d(2, 2),
        nn.Conv2d(4, 4, 2, 2), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 2, 3, padding=1),
    )  # fmt: skip
    network, report = oc.convert.to_tangent(flat, 32, report=True)
    reasons = {found.module: found.reason for found in report if found.operation != "forward"}
    assert list(reasons) == ["0", "1", "3", "4", "6"]
    assert reasons["0"] == reasons["4"] == "stays flat: tangent planes have odd windows of stride 1 or 2 only"
    assert reasons["1"] == reasons["3"] == "moved to tangent planes"
    assert not any(found.seam for found in report)
    assert network(torch.rand(1, 3, 32, 64)).shape == (1, 2, 1, 1)


def test_functional_calls_are_converted():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 3, 3, 3, dtype=torch.float64))

        def forward(self, x):
            return F.conv2d(x, self.weight, padding="same")

    network = oc.convert.to_tangent(Functional(), 16, example=noise_image())
    ours = oc.nn.Conv(3, 3, 3, bias=False, surface=surface(16)).double()
    ours.load_state_dict(network.state_dict())
    torch.testing.assert_close(network(noise_image()), ours(noise_image()))


def test_gradients_reach_all_weights_and_other_dtypes_and_heights_work():
    network = oc.convert.to_tangent(randomized(SegNetLike()), 16)
    network(noise_image()).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())
    y = network(noise_image())
    torch.testing.assert_close(network.float()(noise_image().float()), y.float(), rtol=1e-3, atol=1e-4)
    assert network(noise_image(3, 32, 64).float()).shape == (2, 2, 32, 64)  # another height


class PyramidBranch(nn.Module):
    """A convolution on the panorama beside one on 6 × 6 means of it."""

    def __init__(self):
        super().__init__()
        self.first, self.pooled = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.first(x) + F.interpolate(self.pooled(F.adaptive_avg_pool2d(x, 6)), x.shape[-2:])


@pytest.mark.filterwarnings("ignore::omniconv.convert.SeamWarning")
def test_layers_on_other_signals_than_panoramas_stay_flat_and_are_named():
    network, report = oc.convert.to_tangent(randomized(PyramidBranch()), 16, report=True)
    named = [(found.module, found.reason) for found in report if found.operation == "conv2d"]
    assert ("first", "moved to tangent planes") in named
    assert ("pooled", "stays flat: its input of 6 × 6 is no panorama of the sphere") in named
    x = noise_image()
    torch.testing.assert_close(copy.deepcopy(network)(x), network(x))
    with pytest.raises(InputError, match=r"input=.*: must have twice as many columns as rows at 'first'"):
        network(x[..., :16])
    with pytest.raises(InputError, match=r"input=.*: must have twice as many columns as rows at 'first'"):
        oc.convert.to_tangent(randomized(PyramidBranch()), 16, example=x[..., :16])
