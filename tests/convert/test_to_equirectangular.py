from __future__ import annotations

import pytest
import torch
from flat_networks import SEAMLESS
from roll_equivariance import main_output, noise_image, randomized, roll_error
from torch import nn

import omniconv as oc


@pytest.mark.parametrize("poles", ["flat", "over", "zeros", "replicate", "reflect"])
@pytest.mark.parametrize("kind", list(SEAMLESS), ids=lambda kind: kind.__name__)
def test_converted_network_is_equivariant_to_rolls(kind, poles):
    torch.manual_seed(0)
    flat = randomized(kind())
    x, stride = noise_image(height=32, width=64), SEAMLESS[kind]
    before = roll_error(flat, x, stride)
    network = oc.convert.to_equirectangular(flat, poles=poles)
    for multiple in (1, 3):
        assert roll_error(network, x, multiple * stride) < 1e-10
    if main_output(network(x)).ndim == 4:
        assert before > 1e-3


class OtherAxes(nn.Module):
    """A convolution over channels and longitude, which the rows of the picture are the channels of."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(16, 16, 3, padding=1, groups=16)

    def forward(self, x):
        return self.layer(x.transpose(1, 2)).transpose(1, 2)


def test_convolution_over_channels_and_longitude_keeps_its_ends_of_the_channels():
    flat, x = randomized(OtherAxes()), noise_image(8)
    network, report = oc.convert.to_equirectangular(flat, copy=True, report=True, example=x)
    assert not report.seams
    assert report.middle_change == pytest.approx(0, abs=1e-12)
    assert roll_error(network, x, 1) < 1e-12 < roll_error(flat, x, 1)
    torch.testing.assert_close(network(x)[..., 1:-1], flat(x)[..., 1:-1])
