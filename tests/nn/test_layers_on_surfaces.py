"""Laws that hold for every layer on every surface."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from model_battery import SHAPES

import omniconv as oc
from omniconv.surfaces import Border

LAYERS = {
    "conv": partial(oc.nn.Conv, 4, 6),
    "conv of one": partial(oc.nn.Conv, 4, 6, 1),
    "strided": partial(oc.nn.Conv, 4, 6, stride=2),
    "grouped": partial(oc.nn.Conv, 4, 6, groups=2),
    "transposed": partial(oc.nn.ConvTranspose, 4, 6),
    "gated": partial(oc.nn.GatedConv, 4, 6),
    "coordinates": partial(oc.nn.CoordConv, 4, 6),
    "separable": partial(oc.nn.SeparableConv, 4, 6),
    "pyramid": partial(oc.nn.ASPP, 4, 6),
    "maximum": oc.nn.MaxPool,
    "mean": oc.nn.AvgPool,
    "norm": oc.nn.LpPool,
    "up": oc.nn.Upsample,
    "up, nearest": partial(oc.nn.Upsample, mode="nearest"),
    "down": oc.nn.Downsample,
    "down, nearest": partial(oc.nn.Downsample, mode="nearest"),
    "global mean": oc.nn.GlobalAvgPool,
}
AVERAGES = ("mean", "up", "up, nearest", "down", "down, nearest")

every_surface = pytest.mark.parametrize("surface", SHAPES, ids=str)
every_layer = pytest.mark.parametrize("name", LAYERS)


def dilates(surface):
    try:
        surface.conv_neighbours(3, 1, 2)
    except oc.errors.InputError:
        return False
    return True


def layer_of(name, surface):
    torch.manual_seed(0)
    given = {} if name != "pyramid" else {"rates": (2,) if dilates(surface) else (1,)}
    return LAYERS[name](surface=surface, **given)


def signal_on(surface, batch=2, channels=4):
    return torch.randn(batch, channels, *SHAPES[surface], generator=torch.Generator().manual_seed(1))


def shape_after(layer, surface):
    """Return the grid of the output if the surface has a fixed size."""
    after = getattr(layer, "output_surface", surface)
    return tuple(size for size in after.shape if size is not None)


@every_layer
@every_surface
def test_forward_and_backward(name, surface):
    layer, x = layer_of(name, surface), signal_on(surface).requires_grad_()
    y = layer(x)
    y.square().sum().backward()
    assert y.shape[0] == 2
    assert torch.isfinite(y).all()
    if not surface.any_size and name != "global mean":
        assert y.shape[2:] == shape_after(layer, surface)
    for tensor in (x, *layer.parameters()):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()
        assert tensor.grad.abs().max() > 0


@every_layer
@every_surface
def test_empty_batch(name, surface):
    layer = layer_of(name, surface).eval()
    with torch.no_grad():
        assert layer(signal_on(surface, 0)).shape == (0, *layer(signal_on(surface, 1)).shape[1:])


@every_layer
@every_surface
def test_images_are_independent_in_every_memory_layout(name, surface):
    layer, x = layer_of(name, surface).eval(), signal_on(surface)
    last = x.movedim(1, -1).contiguous().movedim(-1, 1)
    with torch.no_grad():
        y = layer(x)
        torch.testing.assert_close(layer(x[1:]), y[1:], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(layer(last), y, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", AVERAGES)
@every_surface
def test_constant_is_kept(name, surface):
    x = torch.full((1, 4, *SHAPES[surface]), 3.0)
    y = layer_of(name, surface)(x)
    torch.testing.assert_close(y, torch.full_like(y, 3.0))


@every_surface
def test_pooling_keeps_the_mean_by_area(surface):
    layer, mean = oc.nn.AvgPool(surface=surface).double(), oc.nn.GlobalAvgPool(surface).double()
    x = signal_on(surface).double()
    kept = oc.nn.GlobalAvgPool(layer.output_surface).double()(layer(x))
    torch.testing.assert_close(kept, mean(x), rtol=1e-12, atol=1e-12)


@every_surface
def test_unpooling_restores_maxima(surface):
    pool = oc.nn.MaxPool(return_switches=True, surface=surface)
    x = signal_on(surface)
    values, switches = pool(x)
    back = oc.nn.MaxUnpool(surface=pool.output_surface)(values, switches, SHAPES[surface])
    flat, kept = x.flatten(2), back.flatten(2)
    own = torch.zeros_like(flat, dtype=torch.bool).scatter_(2, switches.flatten(2), True)
    assert ((kept != 0) <= own).all()
    if kept.shape[2] == 4 * values.flatten(2).shape[2]:  # disjoint windows: all maxima have different indices
        assert own.sum() == values.numel()
    exact = isinstance(surface.window_neighbours(), Border) or surface.window_neighbours().taps == 1
    if exact:
        assert torch.equal(kept[own], flat[own])


@pytest.mark.parametrize("stride", [1, 2])
@every_surface
def test_convolution_and_its_transpose_are_adjoint(surface, stride):
    if isinstance(surface, oc.Icosphere | oc.Icosahedron):
        pytest.skip("published otherwise: zeros at the new samples, then a convolution")
    torch.manual_seed(0)
    ahead = oc.nn.Conv(4, 6, stride=stride, bias=False, surface=surface).double()
    back = oc.nn.ConvTranspose(6, 4, stride=stride, bias=False, surface=ahead.output_surface).double()
    weight = ahead.weight.data
    back.weight.data.copy_(weight if weight.shape == back.weight.shape else weight.transpose(0, 1))
    x = signal_on(surface).double()
    y = ahead(x)
    g = torch.randn_like(y)
    torch.testing.assert_close((y * g).sum(), (x * back(g, x.shape[2:])).sum())


@every_layer
@every_surface
def test_autocast_and_half_precision_stay_near(name, surface):
    layer, x = layer_of(name, surface).eval(), signal_on(surface)
    with torch.no_grad():
        exact = layer(x)
        with torch.autocast("cpu", torch.bfloat16):
            cast = layer(x)
        half = layer.bfloat16()(x.bfloat16())
    for found in (cast, half):
        assert (found.float() - exact).square().mean().sqrt() < 0.03 * exact.square().mean().sqrt() + 1e-3
    assert half.dtype == torch.bfloat16
