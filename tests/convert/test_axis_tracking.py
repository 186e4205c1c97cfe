"""Networks that exchange axes: only convolutions whose last axis is the longitude are converted."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from omniconv.convert import SeamWarning, to_equirectangular, to_tangent


class Exchanged(nn.Module):
    """A depthwise convolution on an image whose axes are exchanged, which are restored afterwards."""

    def __init__(self, there, back, channels):
        super().__init__()
        self.first = nn.Conv2d(8, 8, 3, padding=1)
        self.h = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.there, self.back = there, back

    def forward(self, x):
        return self.back(self.h(F.relu(self.there(self.first(x)) * 1.5)))


class PaddedChannelsLast(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return F.pad(self.first(x).permute(0, 2, 3, 1), (0, 0, 0, 1))


def exchange(*axes):
    return lambda x: x.transpose(*axes)


@pytest.mark.parametrize("poles", ["flat", "over", "replicate"])
def test_a_convolution_over_channels_and_longitude_wraps_and_is_flat_over_channels(poles):
    network = Exchanged(exchange(1, 2), exchange(1, 2), 16).double()
    x = torch.rand(1, 8, 16, 32, dtype=torch.float64)
    inner = Exchanged(exchange(1, 2), exchange(1, 2), 16).double()
    inner.load_state_dict(network.state_dict())
    to_equirectangular(inner.first, poles=poles)  # the first convolution alone
    converted, report = to_equirectangular(network, poles=poles, report=True, example=x, copy=True)
    middle = slice(2, -2)
    torch.testing.assert_close(converted(x)[..., middle], inner(x)[..., middle])
    assert not any(finding.seam for finding in report)
    torch.testing.assert_close(converted(x.roll(5, -1)), converted(x).roll(5, -1))


MOVED = {
    "transpose": (exchange(2, 3), exchange(2, 3), 8),
    "mT": (lambda x: x.mT, lambda x: x.mT, 8),
    "permute": (lambda x: x.permute(0, 3, 1, 2), lambda x: x.permute(0, 2, 3, 1), 32),
    "movedim": (lambda x: x.movedim(3, 1), lambda x: x.movedim(1, 3), 32),
    "swapaxes": (lambda x: x.swapaxes(1, 3), lambda x: torch.swapaxes(x, 1, 3), 32),
}


@pytest.mark.parametrize("name", list(MOVED))
def test_a_convolution_over_other_axes_stays_flat_and_is_named(name):
    network = Exchanged(*MOVED[name])
    x = torch.rand(1, 8, 16, 32)
    converted = to_equirectangular(network, copy=True)
    inner = Exchanged(*MOVED[name])
    inner.load_state_dict(network.state_dict())
    to_equirectangular(inner.first)
    with pytest.warns(SeamWarning, match="h: conv2d: the network moved the longitude to axis [12] of its input, so it"):
        found = converted(x)
    torch.testing.assert_close(found, inner(x))
    _, report = to_equirectangular(network, copy=True, report=True, example=x)
    assert [finding.module for finding in report if finding.seam] == ["h"]


@pytest.mark.parametrize("name", list(MOVED))
def test_exchanged_axes_that_are_exchanged_back_leave_no_seam(name):
    there, back, _ = MOVED[name]

    class Between(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = (nn.Conv2d(8, 8, 3, padding=1) for _ in range(2))

        def forward(self, x):
            return self.last(back(F.gelu(there(self.first(x)))))

    x = torch.rand(1, 8, 16, 32)
    converted, report = to_equirectangular(Between(), poles="over", report=True, example=x)
    assert not any(finding.seam for finding in report)
    torch.testing.assert_close(converted(x.roll(5, -1)), converted(x).roll(5, -1), atol=1e-5, rtol=1e-5)


def test_images_with_channels_last_are_converted():
    class ChannelsLast(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.mix = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 6)

        def forward(self, x):  # (batch, height, width, channels)
            return self.mix(self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))

    network = to_equirectangular(ChannelsLast())
    x = torch.rand(1, 16, 32, 3)
    torch.testing.assert_close(network(x.roll(5, 2)), network(x).roll(5, 2), atol=1e-5, rtol=1e-5)


def test_padding_of_columns_before_the_channels_is_named():
    network = to_equirectangular(PaddedChannelsLast())
    with pytest.warns(SeamWarning, match="pad: the network moved the longitude to axis 2 of its input"):
        network(torch.rand(1, 3, 4, 8))


def test_tangent_kernels_leave_exchanged_axes_flat():
    network = to_tangent(Exchanged(exchange(1, 2), exchange(1, 2), 16), 16, example=torch.rand(1, 8, 16, 32))
    x = torch.rand(1, 8, 16, 32)
    torch.testing.assert_close(network(x.roll(5, -1)), network(x).roll(5, -1), atol=1e-5, rtol=1e-5)


def test_a_compiled_network_follows_exchanged_axes():
    network = to_equirectangular(Exchanged(exchange(1, 2), exchange(1, 2), 16), poles="over")
    x = torch.rand(1, 8, 16, 32)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), network(x), atol=1e-5, rtol=1e-5)
