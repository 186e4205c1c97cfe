from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from omniconv.errors import InputError
from omniconv.nn import ASPP, Conv, CoordConv, GatedConv, SeparableConv
from omniconv.nn.conv.coord_conv import PlaneCoordinates, make_coordinates
from omniconv.surfaces import Cubemap, Equirectangular, Icosphere, Plane

SURFACES = [
    (Plane(1), (9,)),
    (Plane(), (7, 6)),
    (Plane(3), (5, 4, 6)),
    (Equirectangular(), (6, 8)),
    (Icosphere(2), (162,)),
]


@pytest.mark.parametrize(("surface", "grid"), SURFACES, ids=str)
@pytest.mark.parametrize("layer", [GatedConv, SeparableConv, CoordConv])
@pytest.mark.parametrize("stride", [1, 2])
def test_output_shape_on_every_surface(surface, grid, layer, stride):
    made = layer(4, 6, stride=stride, surface=surface)
    x = torch.randn(2, 4, *grid, requires_grad=True)
    y = made(x)
    assert y.shape == Conv(4, 6, stride=stride, surface=surface)(x).shape
    y.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in made.parameters())
    assert made.output_surface == Conv(4, 6, stride=stride, surface=surface).output_surface


def test_gate_multiplies_the_activated_feature():
    layer = GatedConv(3, 4, padding=1)
    x = torch.randn(2, 3, 5, 6)
    both = F.conv2d(x, layer.conv.weight, layer.conv.bias, padding=1)
    torch.testing.assert_close(layer(x), F.elu(both[:, :4]) * torch.sigmoid(both[:, 4:]))


@pytest.mark.parametrize("radius", [False, True])
def test_coordinates_are_columns_then_rows_also_on_oblong_maps(radius):
    layer = CoordConv(1, 2 + radius, kernel_size=1, bias=False, radius=radius)
    layer.conv.weight.data = F.pad(torch.eye(2 + radius), (1, 0))[..., None, None]
    found = layer(torch.randn(1, 1, 3, 5))[0]
    columns = torch.linspace(-1, 1, 5).expand(3, 5)
    rows = torch.linspace(-1, 1, 3)[:, None].expand(3, 5)
    expected = [columns, rows, (columns**2 + rows**2).sqrt()]
    torch.testing.assert_close(found, torch.stack(expected[: 2 + radius]))


@pytest.mark.parametrize(
    "options", [{}, {"stride": 2}, {"dilation": 2}, {"padding": "valid"}, {"padding": (0, (1, 2))}]
)
@pytest.mark.parametrize("surface", [Plane(), Plane(border="reflect"), Equirectangular()], ids=str)
def test_coordinates_are_seen_as_further_channels(surface, options):
    layer = CoordConv(3, 4, radius=True, surface=surface, **options)
    x = torch.randn(2, 3, 8, 10)
    known = layer.coordinates(x).expand(2, -1, -1, -1)
    torch.testing.assert_close(layer(x), layer.conv(torch.cat([x, known], 1)), rtol=1e-4, atol=1e-5)


def test_coordinates_of_the_sphere_agree_between_its_surfaces():
    on_mesh = CoordConv(1, 1, radius=True, surface=Icosphere(2)).coordinates(torch.zeros(1, 1, 162))[0]
    x, y, z = torch.from_numpy(Icosphere(2).directions()).float().T
    torch.testing.assert_close(on_mesh[3:], torch.stack([x, y, z]))
    torch.testing.assert_close(on_mesh[0], torch.asin(z.clamp(-1, 1)) * 2 / torch.pi, atol=1e-3, rtol=0)
    away = z.abs() < 0.999
    torch.testing.assert_close(on_mesh[1][away], torch.sin(torch.atan2(y, x))[away], atol=1e-5, rtol=0)
    panorama = CoordConv(1, 1, radius=True, surface=Equirectangular()).coordinates(torch.zeros(1, 1, 4, 8))[0]
    directions = torch.from_numpy(Equirectangular().directions((4, 8))).float().movedim(-1, 0)
    torch.testing.assert_close(panorama[3:], directions)
    torch.testing.assert_close(panorama[1], torch.sin(torch.atan2(directions[1], directions[0])))


@pytest.mark.parametrize(
    ("layer", "count"),
    [
        (CoordConv(2, 32, 1), (2 + 2) * 32 + 32),
        (CoordConv(8, 8, 3, radius=True), (8 + 3) * 8 * 9 + 8),
        (SeparableConv(32, 64), 32 * 9 + 32 * 64 + 64),
        (ASPP(2048, 256), 15_535_104),
    ],
)
def test_parameter_counts(layer, count):
    assert sum(p.numel() for p in layer.parameters()) == count


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("surface", [Plane(), Equirectangular()], ids=str)
def test_aspp_keeps_the_grid_and_sees_the_whole_image(surface, separable):
    layer = ASPP(4, 6, rates=(2, 4), separable=separable, surface=surface).double().eval()
    x = torch.randn(1, 4, 12, 16, dtype=torch.float64)
    y = layer(x)
    assert y.shape == (1, 6, 12, 16)
    turned = layer(x.roll(5, -1)).roll(-5, -1)
    assert torch.allclose(turned, y, atol=1e-12) == isinstance(surface, Equirectangular)
    changed = x.clone()
    changed[0, 0, 0, 0] += 10
    assert (layer(changed) != y).flatten(2).any(2).any()


def test_aspp_needs_rates_and_dilation():
    with pytest.raises(InputError, match=r"rates=\(\): must hold at least one dilation"):
        ASPP(4, 6, rates=())
    with pytest.raises(InputError, match="dilation=6: must be 1 on an icosphere"):
        ASPP(4, 6, surface=Icosphere(2))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("radius", [False, True])
@pytest.mark.parametrize("surface", [Plane(1), Plane(2), Equirectangular(), Icosphere(2), Cubemap(8)], ids=str)
def test_coordinates_in_half_precision_are_the_exact_ones_rounded_once(surface, dtype, radius):
    coordinates = make_coordinates(surface, radius)
    grid = (
        [512]
        if surface.shape == (None,)
        else [size or wide for size, wide in zip(surface.shape, (3, 512, 0), strict=False)]
    )
    exact = coordinates(torch.zeros(1, 1, *grid, dtype=torch.float64))
    found = coordinates.to(dtype)(torch.zeros(1, 1, *grid, dtype=dtype))
    assert found.dtype == dtype
    nearly = exact.float()  # rounding twice, over float32, moves no number by more than that
    bound = torch.finfo(dtype).eps / 2 * nearly.abs() + 2e-6
    assert ((found.float() - nearly).abs() <= bound).all()


def test_columns_of_a_wide_image_stay_apart_in_half_precision():
    """In bfloat16 integers from 256 on are not distinct: pairs of columns would get the same coordinate."""
    x = PlaneCoordinates(2, False)(torch.zeros(1, 1, 1, 512, dtype=torch.bfloat16))[0, 0, 0].float()
    wanted = torch.linspace(-1, 1, 512).bfloat16().float()
    assert (x - wanted).abs().max() <= 2**-8
    assert x.unique().numel() == wanted.unique().numel()
