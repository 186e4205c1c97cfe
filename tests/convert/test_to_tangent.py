"""Kernels on touching planes in place of flat ones: the layers of omniconv with the weights of torch's."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks import AutoencoderLike, DeepLabLike, EfficientLike, SegNetLike, UNetLike
from torch import nn
from turning import lively, main_output, picture, turn_error

import omniconv as oc
from omniconv.surfaces import panorama

HEIGHT = 32
KINDS = {AutoencoderLike: 2, DeepLabLike: 4, EfficientLike: 8, SegNetLike: 4, UNetLike: 4}


def surface(height):
    return oc.Equirectangular(height=height, kernels="tangent")


def smooth(height, channels=3):
    """Waves of a few turns around the sphere."""
    directions = panorama.pixel_directions(height, 2 * height)
    rates = np.random.default_rng(0).uniform(-2, 2, (3, channels))
    return torch.from_numpy(np.sin(directions @ rates + 0.5)).movedim(-1, 0)[None]


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 1), (3, 2, 1), ((5, 3), 1, (1, 2)), (7, 2, 1)])
def test_convolution_is_that_of_omniconv(kernel, stride, dilation, groups):
    reach = (np.array(kernel) - 1) * np.array(dilation) // 2 * np.ones(2, int)
    flat = nn.Conv2d(3, 6, kernel, stride, tuple(map(int, reach)), dilation, groups).double()
    ours = oc.nn.Conv(3, 6, kernel, stride, dilation=dilation, groups=groups, surface=surface(16)).double()
    ours.load_state_dict(flat.state_dict())
    assert torch.equal(oc.convert.to_tangent(flat, 16)(picture()), ours(picture()))


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1)])
def test_max_pooling_and_its_indices_are_those_of_omniconv(kernel, stride, padding):
    flat = oc.convert.to_tangent(nn.MaxPool2d(kernel, stride, padding, return_indices=True), 16, example=picture())
    ours = oc.nn.MaxPool(kernel, stride, return_switches=True, surface=surface(16)).double()
    for one, other in zip(flat(picture()), ours(picture()), strict=True):
        assert torch.equal(one, other)


def test_padding_on_one_side_moves_kernels_by_a_pixel():
    """The windows of TensorFlow's SAME start at even pixels, so that odd ones are in their middle."""
    flat = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 4, 3, 2)).double()
    dense = oc.nn.Conv(3, 4, 3, surface=surface(16)).double()
    dense.load_state_dict(flat[1].state_dict())
    y = oc.convert.to_tangent(flat, 16)(picture())
    torch.testing.assert_close(y, dense(picture())[:, :, 1::2, 1::2])


@pytest.mark.parametrize("kind", list(KINDS), ids=lambda kind: kind.__name__)
def test_network_turns_with_the_panorama(kind):
    torch.manual_seed(0)
    network = oc.convert.to_tangent(lively(kind()), HEIGHT)
    for turns in (1, 3):
        assert turn_error(network, picture(3, HEIGHT, 2 * HEIGHT), turns * KINDS[kind]) < 1e-10


@pytest.mark.parametrize("kind", [AutoencoderLike, DeepLabLike, EfficientLike])  # no zeros between samples in them
def test_constants_are_treated_alike(kind):
    """Every kernel sees the same constant, flat or not: a network gives of one what its circular conversion gives."""
    torch.manual_seed(0)
    flat = lively(kind())
    x = torch.tensor([0.3, -1.2, 0.8], dtype=torch.float64).view(1, 3, 1, 1).expand(1, 3, HEIGHT, 2 * HEIGHT)
    ring = main_output(oc.convert.to_equirectangular(copy.deepcopy(flat))(x))
    torch.testing.assert_close(main_output(oc.convert.to_tangent(flat, HEIGHT)(x)), ring)


def test_near_the_equator_it_is_the_flat_network_to_second_order():
    """Pixels half as large: the difference on the rows beside the equator falls to a quarter."""
    torch.manual_seed(0)
    flat = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 8, 5, padding=2, groups=2), nn.MaxPool2d(3, 1, 1),
        nn.Conv2d(8, 2, 3, padding=2, dilation=2),
    ).double()  # fmt: skip
    errors = []
    for height in (32, 64, 128):
        ring = oc.convert.to_equirectangular(flat, copy=True)(smooth(height))
        tangent = oc.convert.to_tangent(flat, height, copy=True)(smooth(height))
        errors.append(((ring - tangent)[:, :, height // 2].abs().max() / ring.abs().max()).item())
    assert errors[0] < 0.05
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3


def test_weights_go_from_one_to_the_other_and_back():
    flat = UNetLike()
    state = copy.deepcopy(flat.state_dict())
    network = oc.convert.to_tangent(flat, 16)
    assert list(network.state_dict()) == list(state)
    assert len(list(network.buffers())) == len(list(UNetLike().buffers()))
    oc.convert.to_equirectangular(network)
    assert type(oc.convert.revert(network)) is UNetLike
    assert all(torch.equal(value, state[name]) for name, value in flat.state_dict().items())


def test_conversion_learns_nothing():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout()).train()
    oc.convert.to_tangent(network, 16)
    assert int(network[1].num_batches_tracked) == 0
    assert all(module.training for module in network.modules())


def test_what_has_no_meaning_on_touching_planes_stays_flat_and_is_said():
    flat = nn.Sequential(
        nn.Conv2d(3, 4, 4, 4), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.MaxPool2d(2, 2),
        nn.Conv2d(4, 4, 2, 2), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 2, 3, padding=1),
    )  # fmt: skip
    network, report = oc.convert.to_tangent(flat, 32, report=True)
    said = {found.module: found.reason for found in report if found.operation != "forward"}
    assert list(said) == ["0", "1", "3", "4", "6"]
    assert said["0"] == said["4"] == "stays flat: on touching planes there are odd windows of stride 1 or 2 alone"
    assert said["1"] == said["3"] == "became one on touching planes"
    assert not any(found.seam for found in report)
    assert network(torch.rand(1, 3, 32, 64)).shape == (1, 2, 1, 1)


def test_calls_of_functions_are_converted_too():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 3, 3, 3, dtype=torch.float64))

        def forward(self, x):
            return F.conv2d(x, self.weight, padding="same")

    network = oc.convert.to_tangent(Functional(), 16, example=picture())
    ours = oc.nn.Conv(3, 3, 3, bias=False, surface=surface(16)).double()
    ours.load_state_dict(network.state_dict())
    assert torch.equal(network(picture()), ours(picture()))


def test_gradients_reach_the_weights_and_it_moves():
    network = oc.convert.to_tangent(lively(SegNetLike()), 16)
    network(picture()).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())
    y = network(picture())
    torch.testing.assert_close(network.float()(picture().float()), y.float(), rtol=1e-3, atol=1e-4)
    assert network(picture(3, 32, 64).float()).shape == (2, 2, 32, 64)  # another height
