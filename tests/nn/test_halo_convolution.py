from __future__ import annotations

import copy

import pytest
import torch

from omniconv.nn import Conv
from omniconv.nn.stencil.backends import HaloOps
from omniconv.nn.stencil.halo_ops import halo_convolution
from omniconv.nn.stencil.modules import StencilConvolution
from omniconv.surfaces import Healpix, Stencil

TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}


def pair(nside, channels=(3, 4)):
    """Return a convolution on padded faces, and the general operator on the same taps in float64."""
    torch.manual_seed(0)
    layer = Conv(*channels, surface=Healpix(nside))
    assert isinstance(layer.op.backend, HaloOps)
    taps = layer.surface.conv_neighbours()
    general = Stencil(taps.operators, taps.input_shape, taps.output_shape, taps.kernel_shape)
    return layer, StencilConvolution(general, 1).double()


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("nside", [1, 2, 4, 8])
def test_output_and_gradients_equal_those_of_the_general_operator(nside, dtype, last):
    layer, stencil = pair(nside)
    layer = layer.to(dtype)
    x = torch.randn(2, 12 * nside**2, 3).movedim(2, 1) if last else torch.randn(2, 3, 12 * nside**2)
    x = x.to(dtype).requires_grad_()
    exact = [tensor.detach().double().requires_grad_() for tensor in (x, layer.weight, layer.bias)]
    found, wanted = layer(x), stencil(*exact)
    upstream = torch.randn_like(wanted).to(dtype)
    pairs = zip(
        (found, *torch.autograd.grad(found, (x, layer.weight, layer.bias), upstream)),
        (wanted, *torch.autograd.grad(wanted, exact, upstream.double())),
        strict=True,
    )
    for one, other in pairs:
        assert one.dtype == dtype
        assert (one.double() - other).abs().max() <= TOLERANCES[dtype] * other.abs().max()


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's forward mode of its own convolution
def test_gradcheck():
    layer, _ = pair(2, (2, 2))
    x = torch.randn(1, 2, 48, dtype=torch.float64, requires_grad=True)
    inputs = x, layer.double().weight, layer.bias
    assert torch.autograd.gradcheck(layer.op, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(layer.op, inputs)


def test_opcheck():
    layer, _ = pair(2, (2, 3))
    op = layer.double().op
    faces, order, *halo = op.own_table("operators").tensors
    x = torch.randn(2, 48, 2, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(3, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    for bias in (None, torch.randn(3, dtype=torch.float64, requires_grad=True)):
        torch.library.opcheck(halo_convolution, (x, kernel, bias, faces, order, op.own_table("operators").plan, halo))


@pytest.mark.parametrize("needs", [(True, False), (False, True)])
def test_only_the_gradients_asked_for_are_computed(needs):
    layer, _ = pair(2)
    x = torch.randn(2, 3, 48, requires_grad=needs[0])
    layer.weight.requires_grad_(needs[1])
    layer(x).sum().backward()
    assert [x.grad is not None, layer.weight.grad is not None] == list(needs)


def test_groups_and_other_kernels_use_the_general_operator():
    assert not isinstance(Conv(4, 4, groups=2, surface=Healpix(2)).op.backend, HaloOps)
    assert not isinstance(Conv(4, 4, 5, surface=Healpix(2)).op.backend, HaloOps)


def test_copies_and_casts_keep_the_tables():
    layer, _ = pair(2)
    x = torch.randn(1, 3, 48)
    torch.testing.assert_close(copy.deepcopy(layer).double().float()(x), layer(x))
