from __future__ import annotations

import pytest
import torch
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
        (oc.nn.Downsample(mode="nearest"), (3, 16, 16), (1, 1), 0),
        (oc.nn.Downsample(3, mode="nearest"), (3, 12, 12), (1, 1), 0),
        (oc.nn.Downsample(surface=MESH), (3,), (3,), 0),
        (oc.nn.Downsample(mode="nearest", surface=MESH), (3,), (1,), 0),
        (oc.nn.Upsample(surface=MESH), (3,), (2,), 0),
        (oc.nn.Upsample(mode="nearest", surface=MESH), (3,), (1,), 0),
    ],
)
def test_field_and_cost(layer, shape, field, cost):
    grid = (*shape, 162) if len(shape) == 1 else shape
    found = oc.summary(nn.Sequential(layer), grid)
    assert found.receptive_field == field
    assert cost is None or found.multiply_adds == cost


CELLS = oc.Healpix(16)


@pytest.mark.parametrize(
    ("layer", "field"),
    [
        (oc.nn.Conv(3, 4, 5, dilation=2, surface=CELLS), 9),
        (oc.nn.Conv(3, 4, 3, dilation=3, surface=CELLS), 7),
        (oc.nn.ConvTranspose(3, 4, 3, stride=1, dilation=2, surface=CELLS), 5),
        (oc.nn.ConvTranspose(3, 4, 3, surface=CELLS), 2),
        (oc.nn.Upsample(surface=CELLS), 2),
        (oc.nn.Upsample(mode="nearest", surface=CELLS), 1),
        (oc.nn.AvgPool(surface=CELLS), 2),
        (nn.Sequential(oc.nn.Upsample(surface=CELLS), oc.nn.Conv(3, 4, surface=CELLS.finer())), 3),
    ],
)
def test_rings_on_healpix_equal_the_support_of_gradients(layer, field):
    """Compare with the columns of a base face, far from its corners, on which an output depends."""
    assert oc.summary(layer, (3, 3072)).receptive_field == (field,)
    layer = layer.double()
    x = torch.randn(1, 3, 3072, dtype=torch.float64, requires_grad=True)
    face = torch.from_numpy(CELLS.faces()[4].copy())
    widths = []
    y = layer(x).mean(1)[0]
    nside = round((y.numel() / 12) ** 0.5)
    for place in range(nside // 2, nside // 2 + 4):
        output = oc.Healpix(nside).faces()[4][place, place]
        (gradient,) = torch.autograd.grad(y[int(output)], x, retain_graph=True)
        (columns,) = (gradient[0].abs().sum(0)[face] > 0).any(0).nonzero(as_tuple=True)
        widths.append(int(columns[-1] - columns[0]) + 1)
    assert max(widths) == field


class Switching(nn.Module):
    """Pooling with switches, a convolution and unpooling, as in SegNet."""

    def __init__(self, surface, **window):
        super().__init__()
        self.pool = oc.nn.MaxPool(return_switches=True, surface=surface, **window)
        self.conv = oc.nn.Conv(3, 3, surface=self.pool.output_surface)
        self.unpool = oc.nn.MaxUnpool(surface=self.pool.output_surface, **window)

    def forward(self, x):
        values, switches = self.pool(x)
        return self.unpool(self.conv(values), switches, x.shape[2:])


@pytest.mark.parametrize(
    ("surface", "window", "shape"),
    [
        (oc.Plane(), {}, (3, 16, 20)),
        (oc.Plane(border="circular"), {"kernel_size": 3, "stride": 2, "padding": 1}, (3, 24, 24)),
        (oc.Plane(1), {"kernel_size": 3}, (3, 36)),
        (oc.Plane(border=("reflect", "circular")), {"padding": 1}, (3, 16, 32)),
    ],
)
def test_field_of_unpooling_equals_a_perturbation_test(surface, window, shape):
    network = Switching(surface, **window)
    assert oc.summary(network, shape).receptive_field == probed_field(network.double(), shape)


def test_field_of_unpooling_on_a_mesh():
    assert oc.summary(Switching(MESH), (3, 162)).receptive_field == (9,)


def probed_field(network, shape):
    """Return for each axis the largest extent of input lines that change one line of outputs."""
    x = torch.rand(1, *shape, dtype=torch.float64)
    with torch.no_grad():
        return tuple(max(_extents(network, x, axis)) for axis in range(2, x.ndim))


def _extents(network, x, axis):
    plain, lines = network(x), x.shape[axis]
    changes = []
    for line in range(lines):
        other = x.clone()
        other.select(axis, line).add_(100)
        changes.append((network(other) - plain).abs().movedim(axis, 0).flatten(1).sum(1) > 0)
    for seen in torch.stack(changes, 1)[lines // 3 : -lines // 3]:
        (places,) = seen.nonzero(as_tuple=True)
        yield int(places.max() - places.min()) + 1 if len(places) else 0
