"""The networks of Jiang et al. (ICLR 2019), built of our layers, have as many parameters as the published ones."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import omniconv as oc
from omniconv.errors import InputError


class Bottleneck(nn.Module):
    """1×1 – mesh convolution – 1×1, beside the input; stride 2 drops the vertices of the finer level."""

    def __init__(self, in_channels, neck, out_channels, surface, stride=1):
        super().__init__()
        inner = surface if stride == 1 else surface.coarser()
        self.branch = nn.Sequential(
            *(oc.nn.Conv(in_channels, neck, 1, stride, surface=surface), nn.BatchNorm1d(neck), nn.ReLU()),
            *(oc.nn.Conv(neck, neck, surface=inner), nn.BatchNorm1d(neck), nn.ReLU()),
            *(oc.nn.Conv(neck, out_channels, 1, surface=inner), nn.BatchNorm1d(out_channels)),
        )
        self.shortcut = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            across = oc.nn.Conv(in_channels, out_channels, 1, stride, surface=surface)
            self.shortcut = nn.Sequential(across, nn.BatchNorm1d(out_channels))

    def forward(self, x):
        return (self.branch(x) + self.shortcut(x)).relu()


def classifier(channels, classes, level, widths, first_stride):
    """A mesh convolution, a bottleneck a level down for each pair of widths, a mean, a dense layer."""
    surface = oc.Icosphere(level)
    first = oc.nn.Conv(channels, widths[0], stride=first_stride, surface=surface)
    layers, surface = [first, nn.BatchNorm1d(widths[0]), nn.ReLU()], first.output_surface
    for before, after in pairwise(widths):
        layers.append(Bottleneck(before, before, after, surface, stride=2))
        surface = surface.coarser()
    return nn.Sequential(*layers, oc.nn.GlobalAvgPool(surface), nn.Dropout(0.5), nn.Linear(widths[-1], classes))


def mnist():
    return classifier(1, 10, 4, [16, 64, 256], 1)


def modelnet(width, growth=(1, 4, 16, 64)):
    return classifier(6, 40, 5, [width * factor for factor in growth], 2)


class UNet(nn.Module):
    """Levels 5 to 0 and back, half of the channels of a step up from the transposed convolution, half beside it."""

    def __init__(self, in_channels, classes, width, level=5):
        super().__init__()
        surfaces = [oc.Icosphere(level - step) for step in range(level + 1)]
        widths = [width * 2**step for step in range(level)] + [width * 2 ** (level - 1)]
        ends = [width, *widths[: level - 1]]
        steps = range(level)
        self.first = oc.nn.Conv(in_channels, width, surface=surfaces[0])
        self.downs = nn.ModuleList(Bottleneck(widths[i], widths[i], widths[i + 1], surfaces[i], 2) for i in steps)
        self.ups = nn.ModuleList(oc.nn.ConvTranspose(widths[i], widths[i], surface=surfaces[i + 1]) for i in steps)
        self.merges = nn.ModuleList(Bottleneck(2 * widths[i], ends[i], ends[i], surfaces[i]) for i in steps)
        self.last = oc.nn.Conv(width, classes, surface=surfaces[0])

    def forward(self, x):
        signals = [self.first(x)]
        for down in self.downs:
            signals.append(down(signals[-1]))
        x = signals.pop()
        for up, merge in zip(reversed(self.ups), reversed(self.merges), strict=True):
            x = merge(torch.cat([signals.pop(), up(x)], 1))
        return self.last(x)


def parameter_count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("build", "published"),
    [
        (mnist, 61658),
        (lambda: modelnet(8), 252912),
        (lambda: modelnet(16), 960056),
        (lambda: modelnet(32), 3737160),
        (lambda: modelnet(1, (1, 2, 8, 32)), 2558),
        (lambda: UNet(4, 15, 8), 328351),
        (lambda: UNet(4, 15, 16), 1301167),
        (lambda: UNet(4, 15, 32), 5180239),
        (lambda: UNet(16, 3, 8), 328339),
    ],
    ids=["mnist", "modelnet 8", "modelnet 16", "modelnet 32", "tiny", "rooms 8", "rooms 16", "rooms 32", "climate"],
)  # fmt: skip
def test_parameters_are_as_many_as_published(build, published):
    assert parameter_count(build()) == published


@pytest.mark.parametrize(
    ("build", "size", "answer"),
    [
        (mnist, (2, 1, 2562), (2, 10)),
        (lambda: modelnet(1, (1, 2, 8, 32)), (2, 6, 10242), (2, 40)),
        (lambda: UNet(16, 3, 2), (2, 16, 10242), (2, 3, 10242)),
    ],
    ids=["mnist", "modelnet tiny", "climate"],
)
def test_they_answer_and_every_parameter_learns(build, size, answer):
    torch.manual_seed(0)
    network = build()
    found = network(torch.randn(size))
    assert found.shape == answer
    (found**2).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())


def test_a_step_down_by_a_pointwise_convolution_keeps_the_first_vertices():
    layer = oc.nn.Conv(3, 5, 1, 2, surface=oc.Icosphere(2))
    x = torch.randn(2, 3, 162)
    wanted = F.conv1d(x[..., :42], layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), wanted)


def test_weights_are_drawn_as_the_published_ones():
    torch.manual_seed(0)
    layer, bound = oc.nn.Conv(16, 64, surface=oc.Icosphere(1)), 1 / (4 * 16) ** 0.5
    assert layer.weight.shape == (64, 16, 4)
    for drawn in (layer.weight, layer.bias):
        assert bound > drawn.abs().max() > 0.9 * bound
    assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.03)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("laplacian", ["mass", "raw"])
def test_transposed_convolution_pads_with_zeros_and_the_published_ones_are_a_step_more(laplacian, value):
    """The paper pads new vertices with zeros, the published code with ones: a finer convolution of what was padded."""
    coarse = oc.Icosphere(2, laplacian)
    up, finer = oc.nn.ConvTranspose(3, 5, surface=coarse), oc.nn.Conv(3, 5, surface=coarse.finer())
    finer.load_state_dict(up.state_dict())
    x = torch.randn(2, 3, 162)
    padded = nn.Sequential(oc.nn.Pad([(0, 642 - 162)], value=value), finer)(x)  # new vertices come last
    ones = torch.cat([torch.zeros(1, 3, 162), torch.ones(1, 3, 480)], dim=2)
    from_ones = finer(ones) - finer(torch.zeros(1, 3, 642))
    torch.testing.assert_close(padded, up(x) + value * from_ones, atol=1e-5, rtol=1e-5)
    assert from_ones.abs().max() > 0.01


def test_six_levels_are_all_there_are():
    with pytest.raises(InputError, match=re.escape("level=0: has no coarser level")):
        classifier(1, 10, 0, [2, 8], 1)
