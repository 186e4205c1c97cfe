from __future__ import annotations

import pytest
from torch import nn

import omniconv as oc

MESH = oc.Icosphere(2)


@pytest.mark.parametrize(
    ("layer", "shape", "field", "cost"),
    [
        (oc.nn.Conv2d(3, 4, 3, padding="same", padding_mode="circular"), (3, 16, 16), (3, 3), 3 * 4 * 9 * 256),
        (oc.nn.Conv1d(3, 4, 3, dilation=2, padding=[(1, 3)], padding_mode="reflect"), (3, 16), (5,), 3 * 4 * 3 * 16),
        (oc.nn.ConvTranspose2d(3, 4, 2, 2, padding_mode="circular"), (3, 8, 8), (1, 1), 3 * 4 * 4 * 64),
        (oc.nn.CoordConv(3, 4, surface=oc.Equirectangular()), (3, 8, 16), (3, 3), 6 * 4 * 9 * 128),
        (oc.nn.CoordConv(3, 4, surface=MESH), (3,), (3,), None),
        (oc.nn.GatedConv(3, 4, surface=MESH), (3,), (3,), None),
        (oc.nn.LpPool(2), (3, 16, 16), (2, 2), 0),
        (oc.nn.LpPool(2, surface=MESH), (3,), (3,), 0),
        (oc.nn.Downsample(), (3, 16, 16), (2, 2), 0),
        (oc.nn.Downsample(surface=MESH), (3,), (3,), 0),
        (oc.nn.Downsample(mode="nearest", surface=MESH), (3,), (1,), 0),
    ],
)
def test_field_and_cost(layer, shape, field, cost):
    grid = (*shape, 162) if len(shape) == 1 else shape
    found = oc.summary(nn.Sequential(layer), grid)
    assert found.receptive_field == field
    assert cost is None or found.multiply_adds == cost
