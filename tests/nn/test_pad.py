from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from omniconv.errors import InputError
from omniconv.nn import AvgPool, Downsample, Pad, Upsample
from omniconv.surfaces import Equirectangular, Icosphere, Plane


@pytest.mark.parametrize(
    ("ours", "theirs"), [("zeros", "constant"), ("reflect",) * 2, ("replicate",) * 2, ("circular",) * 2]
)
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_padding_equals_torch(ndim, ours, theirs):
    x = torch.randn(1, 2, *(5, 4, 6)[:ndim])
    sides = [(1, 2), (3, 0), (2, 1)][:ndim]
    flat = [side for pair in reversed(sides) for side in pair]
    torch.testing.assert_close(Pad(sides, ours)(x), F.pad(x, flat, theirs))
    torch.testing.assert_close(Pad(1, ours)(x), F.pad(x, [1] * 2 * ndim, theirs))


def test_padding_with_a_constant():
    assert Pad(1, value=7.0)(torch.zeros(1, 1, 1)).flatten().tolist() == [7, 0, 7]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Pad(-1), "padding=-1: must be a whole number from 0"),
        (lambda: Pad([1.5]), "padding=1.5: must be a whole number"),
        (lambda: Pad([1, 2])(torch.zeros(1, 1, 3)), "input=.* must have 2 grid axes"),
        (lambda: Pad(1, ["zeros"])(torch.zeros(1, 1, 3, 3)), "input=.* must have 1 grid axes"),
        (lambda: Downsample(0), "scale_factor=0"),
        (lambda: Downsample(mode="cubic"), "mode='cubic': must be one of linear, nearest"),
    ],
)
def test_invalid_arguments_are_refused(make, text):
    with pytest.raises(InputError, match=text):
        make()


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize(
    ("surface", "grid", "coarse"),
    [
        (Plane(1), (9,), (5,)),
        (Plane(3), (4, 5, 6), (2, 3, 3)),
        (Equirectangular(), (7, 8), (4, 4)),
        (Icosphere(2), (162,), (42,)),
    ],
)
def test_downsampling_keeps_constants_and_rounds_up(surface, grid, coarse, mode):
    found = Downsample(mode=mode, surface=surface)(torch.full((2, 3, *grid), 0.7))
    torch.testing.assert_close(found, torch.full((2, 3, *coarse), 0.7))


def test_mesh_downsampling_averages_or_selects():
    x = torch.randn(1, 2, 162)
    torch.testing.assert_close(Downsample(surface=Icosphere(2))(x), AvgPool(2, surface=Icosphere(2))(x))
    torch.testing.assert_close(Downsample(mode="nearest", surface=Icosphere(2))(x), x[..., :42])


def test_nearest_up_then_down_is_the_identity():
    x = torch.randn(1, 2, 6, 8)
    torch.testing.assert_close(Downsample(mode="nearest")(Upsample(mode="nearest")(x)), x)
    torch.testing.assert_close(Downsample(3)(Upsample(3, mode="nearest")(x)), x)
