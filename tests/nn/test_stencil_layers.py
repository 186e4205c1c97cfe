from __future__ import annotations

import copy

import pytest
import torch

from omniconv.arithmetic import parameters
from omniconv.nn import AvgPool, Conv, ConvTranspose, MaxPool, Upsample
from omniconv.nn.stencil import PointwiseConvolution, StencilConvolution, StencilTables, convolution_on
from omniconv.nn.stencil_product import reference_convolution
from omniconv.surfaces import Icosphere

EXACT = Icosphere(2).conv_neighbours()


def dense(stencil):
    return [torch.from_numpy(operator.toarray()) for operator in stencil.operators]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("level", [1, 2])
def test_conv_is_the_reference(level, stride, groups):
    surface = Icosphere(level)
    layer = Conv(4, 6, stride=stride, groups=groups, surface=surface).double()
    x = torch.randn(2, 4, *surface.shape, dtype=torch.float64)
    operators = dense(surface.conv_neighbours(stride=stride))
    parts = [
        reference_convolution(part.transpose(1, 2), weight, operators).transpose(1, 2)
        for part, weight in zip(x.chunk(groups, 1), layer.weight.chunk(groups, 0), strict=True)
    ]
    torch.testing.assert_close(layer(x), torch.cat(parts, 1) + layer.bias[:, None])


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("kernel_size", "taps"), [(1, 1), (3, 4)])
def test_weights_lie_as_published(kernel_size, taps, groups):
    for layer in (Conv(4, 6, kernel_size, groups=groups, surface=Icosphere(1)),
                  ConvTranspose(4, 6, kernel_size, groups=groups, surface=Icosphere(1))):  # fmt: skip
        assert layer.weight.shape == (6, 4 // groups, taps)
        assert sum(p.numel() for p in layer.parameters()) == parameters(4, 6, taps, groups)
        assert set(layer.state_dict()) == {"weight", "bias"}


def test_transposed_is_zeros_at_new_vertices_and_then_a_convolution():
    up, fine = ConvTranspose(3, 2, surface=Icosphere(1)).double(), Conv(3, 2, surface=Icosphere(2)).double()
    fine.load_state_dict(up.state_dict())
    x = torch.randn(2, 3, 42, dtype=torch.float64)
    padded = torch.cat([x, x.new_zeros(2, 3, 120)], 2)
    torch.testing.assert_close(up(x), fine(padded))


def test_kernel_of_one_sees_each_sample_alone():
    assert isinstance(convolution_on(Icosphere(1).conv_neighbours(1), 1), PointwiseConvolution)
    assert isinstance(convolution_on(Icosphere(1).conv_neighbours(1, stride=2), 1), StencilConvolution)
    assert isinstance(convolution_on(EXACT, 1), StencilConvolution)
    layer = Conv(3, 2, 1, surface=Icosphere(1))
    x = torch.randn(1, 3, 42)
    torch.testing.assert_close(layer(x), torch.einsum("oc,bcn->bon", layer.weight[..., 0], x) + layer.bias[:, None])


def test_double_brings_the_exact_tables():
    tables = StencilTables(EXACT).double().tables
    assert tables.values.dtype == torch.float64
    assert (tables.values == torch.from_numpy(EXACT.fused.data)).all()
    assert (tables.transposed_values == torch.from_numpy(EXACT.transposed.data)).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_float32_tables(dtype):
    module = Conv(2, 2, surface=Icosphere(2)).to(dtype)
    tables = module.product.tables
    assert module.weight.dtype == dtype
    assert tables.values.dtype == tables.transposed_values.dtype == torch.float32
    assert (tables.values == torch.from_numpy(EXACT.fused.data).float()).all()
    back = module.double().product.tables
    assert (back.values == torch.from_numpy(EXACT.fused.data)).all()


def test_default_dtype_is_respected():
    torch.set_default_dtype(torch.float64)
    try:
        tables = StencilTables(EXACT).tables
    finally:
        torch.set_default_dtype(torch.float32)
    assert (tables.values == torch.from_numpy(EXACT.fused.data)).all()


def test_tables_are_copied_with_their_layer():
    layer = Conv(2, 2, surface=Icosphere(1))
    x = torch.randn(1, 2, 42)
    torch.testing.assert_close(copy.deepcopy(layer)(x), layer(x))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_autocast_stays_near_float32(kernel_size, groups):
    layer = Conv(4, 4, kernel_size, groups=groups, surface=Icosphere(2))
    x = torch.randn(2, 4, 162, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x)
        found.float().square().mean().backward()
    wanted = layer(x)
    torch.testing.assert_close(found.float(), wanted, rtol=0, atol=0.03 * wanted.abs().max().item())
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    "layer", [Conv(2, 2, bias=False, surface=Icosphere(2)), AvgPool(surface=Icosphere(2)),
              MaxPool(surface=Icosphere(2)), Upsample(surface=Icosphere(2))], ids=lambda layer: type(layer).__name__,
)  # fmt: skip
def test_constants_stay_constant(layer, dtype):
    layer = copy.deepcopy(layer).to(dtype)
    found = layer(torch.full((1, 2, 162), 0.75, dtype=dtype))
    wanted = found[..., :1].expand_as(found) if isinstance(layer, Conv) else torch.full_like(found, 0.75)
    atol = {torch.float32: 1e-3, torch.float64: 1e-11, torch.bfloat16: 1e-2}[dtype]
    torch.testing.assert_close(found, wanted, rtol=0, atol=atol)


@pytest.mark.parametrize("layer", [AvgPool, MaxPool])
def test_pooling_on_a_mesh_is_over_each_vertex_and_its_ring(layer):
    stencil = Icosphere(2).pool_neighbours().operators[0]
    x = torch.randn(2, 3, 162, dtype=torch.float64)
    found = layer(surface=Icosphere(2)).double()(x)
    for vertex in range(42):
        samples, weights = stencil[[vertex]].indices, torch.from_numpy(stencil[[vertex]].data)
        seen = x[:, :, samples]
        wanted = seen.amax(2) if layer is MaxPool else (seen * weights).sum(2)
        torch.testing.assert_close(found[:, :, vertex], wanted)
