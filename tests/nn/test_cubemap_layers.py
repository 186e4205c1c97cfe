"""Layers on the faces of a cube: symmetry, adjoints, weights of flat layers, continuity over edges."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import omniconv as oc
from omniconv.nn.grid import border_strips, cube_padding
from omniconv.surfaces.cubemap.faces import padded_pixels

SURFACE = oc.Cubemap(4)
CASES = [
    (kernel, stride, dilation, padding)
    for kernel, stride, dilation in (
        (1, 1, 1),
        (2, 2, 1),
        (3, 1, 1),
        (3, 1, 2),
        (3, 2, 1),
        (4, 1, 1),
        (5, 1, 1),
        ((3, 1), 1, 1),
    )
    for padding in ("same", "same_upper", "same_lower")
]
ROTATIONS = [
    matrix
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
    if np.linalg.det(matrix := np.eye(3)[list(order)] * np.array(signs)[:, None]) > 0
]


def signal(channels=3, surface=SURFACE):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, channels, *surface.shape, dtype=torch.float64, generator=generator)


def turned(x, rotation):
    """Rotate a signal by a rotation R of the cube: the sample in direction d moves to R d."""
    size = x.shape[-1]
    directions = oc.Cubemap(size).directions().reshape(-1, 3)
    source = ((directions @ rotation) @ directions.T).argmax(1)
    return x.flatten(2)[..., source].view_as(x)


@pytest.mark.parametrize(("kernel", "stride", "dilation", "padding"), CASES)
@pytest.mark.parametrize("with_border_strips", [False, True])
def test_conv_of_padded_faces_and_its_adjoint(monkeypatch, kernel, stride, dilation, padding, with_border_strips):
    monkeypatch.setattr(border_strips, "MIN_ELEMENTS", 0 if with_border_strips else 2**60)
    coarse = SURFACE.coarser() if stride == 2 else SURFACE
    conv = oc.nn.Conv(3, 5, kernel, stride, padding, dilation, surface=SURFACE).double()
    back = oc.nn.ConvTranspose(5, 3, kernel, stride, padding, dilation=dilation, bias=False, surface=coarse).double()
    back.weight = conv.weight
    x = signal().requires_grad_()
    y = conv(x)
    assert y.shape == (2, 5, *coarse.shape)
    rows, columns = conv.op.window.amounts(SURFACE.shape)[1:]
    framed = padded_faces(x, rows, columns)
    flat = F.conv2d(framed.transpose(1, 2).flatten(0, 1), conv.weight, conv.bias, stride, 0, dilation)
    torch.testing.assert_close(y, flat.unflatten(0, (2, 6)).transpose(1, 2))
    gradient = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    (pulled,) = torch.autograd.grad(y, x, gradient)
    torch.testing.assert_close(back(gradient), pulled)
    assert torch.autograd.gradcheck(conv, (x[:1, :, :, :, :].detach().requires_grad_(),), fast_mode=True)


def padded_faces(x, rows, columns):
    size = x.shape[-1]
    one, other = torch.from_numpy(padded_pixels(size, (rows[0], columns[0]), (rows[1], columns[1])))
    flat = x.flatten(2)
    return (flat[..., one] + flat[..., other]) / 2


def test_pad_cube_and_its_adjoint():
    x, amounts = signal(), ((1, 2), (3, 0))
    framed = cube_padding.pad_cube(x, *amounts)
    torch.testing.assert_close(framed, padded_faces(x, *amounts))
    y = torch.randn_like(framed)
    torch.testing.assert_close((framed * y).sum(), (x * cube_padding.pad_cube_adjoint(y.clone(), *amounts)).sum())


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_quarter_turn_about_the_axis_turns_the_output(turns):
    angle = turns * np.pi / 2
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    conv = oc.nn.Conv(3, 4, surface=SURFACE).double()
    x = signal()
    around = slice(0, 4)  # up and down turn within themselves, and their kernels do not turn with them
    torch.testing.assert_close(conv(turned(x, rotation))[:, :, around], turned(conv(x), rotation)[:, :, around])


@pytest.mark.parametrize("rotation", ROTATIONS, ids=range(24))
def test_isotropic_kernels_commute_with_the_rotations_of_the_cube(rotation):
    conv = oc.nn.Conv(3, 4, surface=SURFACE).double()
    with torch.no_grad():
        corner, side, middle = conv.weight[:, :, 0, 0], conv.weight[:, :, 0, 1], conv.weight[:, :, 1, 1]
        ring = torch.stack([corner, side, corner, side, middle, side, corner, side, corner], -1)
        conv.weight.copy_(ring.unflatten(-1, (3, 3)))
    x = signal()
    torch.testing.assert_close(conv(turned(x, rotation)), turned(conv(x), rotation))


def test_weights_are_those_of_a_flat_convolution():
    flat, conv = torch.nn.Conv2d(3, 4, 3, padding=1), oc.nn.Conv(3, 4, surface=oc.Cubemap(8))
    conv.load_state_dict(flat.state_dict())
    x = torch.randn(1, 3, 6, 8, 8)
    inside = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(conv(x)[:, :, 0][inside], flat(x[:, :, 0])[inside])


@pytest.mark.parametrize("kind", [oc.nn.MaxPool, oc.nn.AvgPool, oc.nn.Upsample, oc.nn.Downsample])
def test_constants_are_kept(kind):
    ones = torch.full((1, 2, *SURFACE.shape), 2.5, dtype=torch.float64)
    y = kind(surface=SURFACE)(ones)
    torch.testing.assert_close(y, torch.full_like(y, 2.5))


def test_unpooling_restores_maxima():
    x = signal()
    values, switches = oc.nn.MaxPool(return_switches=True, surface=SURFACE)(x)
    y = oc.nn.MaxUnpool(surface=SURFACE.coarser())(values, switches)
    assert y.shape == x.shape
    kept = y != 0
    assert (y[kept] == x[kept]).all()
    assert kept.sum() == values.numel()


def test_global_avg_pool_is_weighted_by_area():
    x, areas = signal(), torch.from_numpy(SURFACE.areas())
    mean = (x * areas).sum((2, 3, 4)) / areas.sum()
    torch.testing.assert_close(oc.nn.GlobalAvgPool(surface=SURFACE).double()(x), mean)


@pytest.mark.parametrize(
    "layer",
    [
        oc.nn.GatedConv(3, 4, surface=SURFACE),
        oc.nn.SeparableConv(3, 4, surface=SURFACE),
        oc.nn.CoordConv(3, 4, surface=SURFACE),
        oc.nn.ASPP(3, 4, rates=(1, 2), surface=SURFACE),
        oc.nn.LpPool(surface=SURFACE),
        oc.nn.ConvBlock(3, 4, stride=2, surface=SURFACE),
        oc.nn.MaxPool(3, 2, 1, surface=SURFACE),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_every_layer_runs_forward_and_backward(layer):
    x = signal().float().requires_grad_()
    layer(x).square().mean().backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().sum() > 0


def test_upsampled_faces_are_continuous_over_edges():
    fine = oc.nn.Upsample(surface=oc.Cubemap(16)).double()
    xyz = torch.from_numpy(oc.Cubemap(16).directions()).movedim(-1, 0)[None]
    exact = torch.from_numpy(oc.Cubemap(32).directions()).movedim(-1, 0)[None]
    assert (fine(xyz) - exact).abs().max() < 0.01


def test_receptive_field_of_a_cube_is_that_of_its_faces():
    found = oc.summary(torch.nn.Sequential(oc.nn.Conv(3, 4, 5, surface=SURFACE)), (3, *SURFACE.shape))
    assert found.receptive_field == (1, 5, 5)


def test_training_after_inference():
    conv = oc.nn.Conv(2, 2, surface=oc.Cubemap(5))
    x = torch.rand(1, 2, 6, 5, 5)
    with torch.inference_mode():
        conv(x)
    conv(x.requires_grad_()).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize("fullgraph", [False, True])
def test_layers_compile_with_dynamic_sizes(fullgraph):
    torch._dynamo.reset()
    layer = oc.nn.Conv(2, 3, surface=SURFACE)
    compiled = torch.compile(layer, backend="eager", dynamic=True, fullgraph=fullgraph)
    for batch in (2, 3):
        x = torch.rand(batch, 2, *SURFACE.shape)
        torch.testing.assert_close(compiled(x), layer(x))
