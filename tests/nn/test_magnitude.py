from __future__ import annotations

import copy

import pytest
import torch
from model_battery import SHAPES, every_surface
from torch import nn

from omniconv.nn import Conv, ConvBlock, MPConv, MPLinear, mp_cat, mp_silu, mp_sum, pixel_norm
from omniconv.nn.blocks import ACTIVATIONS, activation_layer
from omniconv.nn.norm.magnitude import ACTIVATION_RMS
from omniconv.surfaces import Equirectangular, Healpix, Icosphere, Plane

GRIDS = {Plane(2): (4, 6), Equirectangular(): (4, 8), Healpix(2): (48,), Icosphere(1): (42,)}
quick_surfaces = pytest.mark.parametrize("surface", GRIDS, ids=str)


@every_surface
def test_convolution_with_unit_norm_of_each_output(surface):
    conv, x = MPConv(3, 4, surface=surface).eval(), torch.randn(2, 3, *SHAPES[surface])
    norms = conv.normalized_weight().flatten(1).square().sum(1)
    torch.testing.assert_close(norms, torch.full((4,), float(conv.rows)), rtol=1e-3, atol=0)
    plain = Conv(3, 4, bias=False, surface=surface)
    with torch.no_grad():
        plain.weight.copy_(conv.normalized_weight())
    torch.testing.assert_close(conv(x), plain(x))
    torch.testing.assert_close(conv(x, gain=torch.tensor(0.5)), plain(x) / 2)


def test_row_kernels_have_a_norm_for_each_row():
    assert MPConv(1, 1, surface=Equirectangular(height=8, kernels="rows")).rows == 8
    assert MPConv(1, 1, surface=Equirectangular(height=8, kernels="tangent")).rows == 1


@pytest.mark.parametrize("surface", [Plane(border="circular"), Equirectangular(height=16, kernels="rows")], ids=str)
def test_variance_is_kept(surface):
    conv, x = MPConv(32, 64, surface=surface), torch.randn(4, 32, 16, 32)
    assert abs(conv(x).var() - 1) < 0.1


@quick_surfaces
def test_training_normalizes_the_parameter_and_evaluation_does_not(surface):
    conv, x = MPConv(3, 4, surface=surface), torch.randn(1, 3, *GRIDS[surface])
    with torch.no_grad():
        conv.weight.mul_(5)
    before = conv.weight.clone()
    wanted = conv.eval()(x)
    assert torch.equal(conv.weight, before)
    torch.testing.assert_close(conv.train()(x), wanted, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(conv.weight.flatten(1).square().mean(1), torch.ones(4), rtol=1e-3, atol=0)


@quick_surfaces
def test_gradient_is_orthogonal_to_the_weight(surface):
    conv, x = MPConv(3, 4, surface=surface), torch.randn(1, 3, *GRIDS[surface])
    conv(x).square().mean().backward()
    products = (conv.weight.grad * conv.weight).flatten(1).sum(1)
    sizes = conv.weight.grad.flatten(1).norm(dim=1) * conv.weight.flatten(1).norm(dim=1)
    assert (products.abs() < 1e-3 * sizes).all()


@quick_surfaces
def test_two_calls_before_the_backward_pass_and_second_gradients(surface):
    conv, x = MPConv(3, 4, surface=surface), torch.randn(1, 3, *GRIDS[surface], requires_grad=True)
    y = conv(x).sum() - conv(2 * x).square().sum()
    (gradient,) = torch.autograd.grad(y, x, create_graph=True)
    gradient.square().sum().backward()
    assert torch.isfinite(conv.weight.grad).all()


def test_second_gradients_are_right():
    conv = MPConv(2, 3).double().eval()

    def output(x, weight):
        return torch.func.functional_call(conv, {"weight": weight}, (x,)).square()

    x = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(output, (x, conv.weight), fast_mode=True)


@pytest.mark.slow
@quick_surfaces
def test_compiled_layer_gives_the_same(surface):
    torch._dynamo.reset()
    conv, x = MPConv(3, 4, surface=surface), torch.randn(1, 3, *GRIDS[surface])
    with torch.no_grad():
        conv.weight.mul_(2)
    compiled = torch.compile(copy.deepcopy(conv), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), conv(x))
    torch.testing.assert_close(compiled.weight, conv.weight)


@quick_surfaces
def test_autocast(surface):
    conv, x = MPConv(3, 4, surface=surface).eval(), torch.randn(1, 3, *GRIDS[surface])
    with torch.autocast("cpu", torch.bfloat16):
        half = conv(x)
    torch.testing.assert_close(half.float(), conv(x), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_of_a_block_keep_unit_variance(activation):
    layer = activation_layer(activation).double()
    quantiles = torch.special.ndtri((torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000)
    assert abs(layer(quantiles).square().mean().sqrt() / ACTIVATION_RMS[activation] - 1) < 1e-4
    block = ConvBlock(3, 4, normalization="weight", activation=activation)
    assert isinstance(block[0], MPConv)
    x = torch.randn(1, 3, 4, 4)
    torch.testing.assert_close(block(x), activation_layer(activation)(block[0](x)) / ACTIVATION_RMS[activation])


def test_linear_layer_keeps_variance():
    layer, x = MPLinear(64, 128), torch.randn(100, 64)
    assert abs(layer(x).var() - 1) < 0.1
    torch.testing.assert_close(layer(x, gain=2.0), 2 * layer(x))
    with torch.no_grad():
        layer.weight.mul_(3)
    torch.testing.assert_close(nn.functional.linear(x, layer.weight / 24), layer.eval()(x), rtol=1e-3, atol=1e-3)


def test_sums_and_concatenations_keep_variance():
    a, b = torch.randn(2, 10_000), torch.randn(2, 10_000)
    torch.testing.assert_close(mp_sum(a, b, 0.3), (0.7 * a + 0.3 * b) / 0.58**0.5)
    first, second = mp_cat(a[:, :1000], b[:, :3000], t=0.3).split([1000, 3000], 1)
    assert abs(torch.cat([first, second], 1).square().mean() - 1) < 0.1
    torch.testing.assert_close(
        second.square().sum() / first.square().sum(), torch.tensor((0.3 / 0.7) ** 2), rtol=0.1, atol=0
    )
    assert abs(mp_silu(a).square().mean() - 1) < 0.1


def test_pixel_norm():
    x = torch.randn(2, 8, 3, 4)
    torch.testing.assert_close(pixel_norm(x).square().mean(1), torch.ones(2, 3, 4), rtol=1e-2, atol=0)
