from __future__ import annotations

import copy
import re
from math import prod

import numpy as np
import pytest
import torch
from dense_reference import dense_convolution
from scipy import sparse

from omniconv.arithmetic import parameters
from omniconv.errors import InputError
from omniconv.nn import AvgPool, Conv, ConvTranspose, MaxPool, Upsample
from omniconv.nn.stencil.layouts import (
    CsrLayout,
    EllLayout,
    EllTransposeLayout,
    IndexLayout,
    PeriodicLayout,
    unpack_layouts,
)
from omniconv.nn.stencil.modules import (
    PointwiseConvolution,
    SparseOperator,
    StencilConvolution,
    make_stencil_convolution,
)
from omniconv.nn.surface_tables.table_module import TableModule
from omniconv.surfaces import Equirectangular, Healpix, Icosahedron, Icosphere, Stencil

EXACT = Icosphere(2).conv_neighbours()


def tangent(height):
    return Equirectangular(height=height, kernels="tangent")


def random_stencil(taps=3, outputs=8, inputs=6):
    generator = np.random.default_rng(0)
    return Stencil.of([sparse.random_array((outputs, inputs), density=0.4, rng=generator) for _ in range(taps)])


def dense(stencil):
    return [torch.from_numpy(operator.toarray()) for operator in stencil.operators]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("level", [1, 2])
def test_conv_equals_the_reference(level, stride, groups):
    surface = Icosphere(level)
    layer = Conv(4, 6, stride=stride, groups=groups, surface=surface).double()
    x = torch.randn(2, 4, *surface.shape, dtype=torch.float64)
    operators = dense(surface.conv_neighbours(stride=stride))
    parts = [
        dense_convolution(part.transpose(1, 2), weight, operators).transpose(1, 2)
        for part, weight in zip(x.chunk(groups, 1), layer.weight.chunk(groups, 0), strict=True)
    ]
    torch.testing.assert_close(layer(x), torch.cat(parts, 1) + layer.bias[:, None])


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("kernel_size", "taps"), [(1, 1), (3, 4)])
def test_weights_have_the_published_shape(kernel_size, taps, groups):
    for layer in (Conv(4, 6, kernel_size, groups=groups, surface=Icosphere(1)),
                  ConvTranspose(4, 6, kernel_size, groups=groups, surface=Icosphere(1))):  # fmt: skip
        assert layer.weight.shape == (6, 4 // groups, taps)
        assert sum(p.numel() for p in layer.parameters()) == parameters(4, 6, taps, groups)
        assert set(layer.state_dict()) == {"weight", "bias"}


def test_transposed_conv_is_zero_insertion_and_a_convolution():
    up, fine = ConvTranspose(3, 2, surface=Icosphere(1)).double(), Conv(3, 2, surface=Icosphere(2)).double()
    fine.load_state_dict(up.state_dict())
    x = torch.randn(2, 3, 42, dtype=torch.float64)
    padded = torch.cat([x, x.new_zeros(2, 3, 120)], 2)
    torch.testing.assert_close(up(x), fine(padded))


@pytest.mark.parametrize("groups", [1, 2])
def test_pad_value_fills_the_new_vertices(groups):
    up = ConvTranspose(4, 2, groups=groups, surface=Icosphere(1), pad_value=1.0).double()
    fine = Conv(4, 2, groups=groups, surface=Icosphere(2)).double()
    fine.load_state_dict(up.state_dict())
    x = torch.randn(2, 4, 42, dtype=torch.float64)
    torch.testing.assert_close(up(x), fine(torch.cat([x, x.new_ones(2, 4, 120)], 2)))
    assert set(up.state_dict()) == {"weight", "bias"}


@pytest.mark.parametrize(
    ("surface", "given", "text"),
    [
        (Healpix(2), {"pad_value": 1.0}, "pad_value=1.0: must be 0 except for an icosphere at stride 2"),
        (Icosphere(2), {"pad_value": 1.0, "stride": 1}, "pad_value=1.0: must be 0 except for an icosphere at stride 2"),
        (Equirectangular(), {"pad_value": 1}, "pad_value=1: must be 0 except for an icosphere at stride 2"),
        (Icosphere(2), {"pad_value": "one"}, "pad_value='one': must be a finite number; use 0.0, or 1.0"),
        (Icosphere(2), {"pad_value": float("nan")}, "pad_value=nan: must be a finite number"),
    ],
)
def test_pad_value_without_new_vertices_is_refused(surface, given, text):
    with pytest.raises(InputError, match=re.escape(text)):
        ConvTranspose(2, 2, surface=surface, **given)


def test_kernel_size_one_is_pointwise():
    assert isinstance(make_stencil_convolution(Icosphere(1).conv_neighbours(1), 1), PointwiseConvolution)
    assert isinstance(make_stencil_convolution(Icosphere(1).conv_neighbours(1, stride=2), 1), StencilConvolution)
    assert isinstance(make_stencil_convolution(EXACT, 1), StencilConvolution)
    layer = Conv(3, 2, 1, surface=Icosphere(1))
    x = torch.randn(1, 3, 42)
    torch.testing.assert_close(layer(x), torch.einsum("oc,bcn->bon", layer.weight[..., 0], x) + layer.bias[:, None])


LAYOUTS = {
    "index": (Icosahedron(1).conv_neighbours(), IndexLayout, CsrLayout),
    "csr": (random_stencil(), CsrLayout, CsrLayout),
    "csr with a codebook": (Healpix(2).conv_neighbours(), CsrLayout, CsrLayout),
    "ell with empty rows": (Stencil.of([np.zeros((2, 3)), np.eye(2, 3)]), EllLayout, CsrLayout),
    "ell": (EXACT, EllLayout, EllTransposeLayout),
    "ell between levels": (Icosphere(2).conv_neighbours(stride=2), EllLayout, CsrLayout),
    "periodic": (tangent(8).conv_neighbours(), PeriodicLayout, PeriodicLayout),
    "periodic, period of two": (tangent(4).transposed_neighbours(), PeriodicLayout, PeriodicLayout),
}


def layouts(layer):
    return unpack_layouts(layer.own_table("operators").plan, layer.own_table("operators").tensors)


def to_dense(layout, columns):
    """Return a layout as a dense matrix, multiplied by unit vectors in small chunks."""
    units = torch.eye(columns, dtype=torch.float64)
    return torch.cat([args.matmul(units) for _, _, args in layout.chunks(2 * 3 * 4 * 9 * 10)])


@pytest.mark.parametrize("by_tap", [False, True])
@pytest.mark.parametrize("stencil", [case[0] for case in LAYOUTS.values()], ids=LAYOUTS)
def test_layouts_hold_the_matrices_of_the_stencil(stencil, by_tap):
    matrix, transpose = layouts(SparseOperator(stencil, by_tap).double())
    assert torch.equal(to_dense(matrix, stencil.inputs), torch.from_numpy(stencil.fused.toarray()))
    transposed = stencil.transposed_by_tap if by_tap else stencil.transposed
    assert torch.equal(to_dense(transpose, transposed.shape[1]), torch.from_numpy(transposed.toarray()))


@pytest.mark.parametrize(("stencil", "matrix", "transpose"), LAYOUTS.values(), ids=LAYOUTS)
def test_each_stencil_has_its_smallest_layout(stencil, matrix, transpose):
    assert tuple(map(type, layouts(SparseOperator(stencil)))) == (matrix, transpose)


@pytest.mark.parametrize(
    "surface", [Icosphere(3), Icosphere(3, "raw"), Icosahedron(3), Healpix(8), tangent(16)], ids=str
)
def test_tables_take_less_than_200_bytes_a_sample(surface):
    for layer in (Conv(2, 2, surface=surface), Conv(2, 2, stride=2, surface=surface), MaxPool(surface=surface),
                  AvgPool(surface=surface), ConvTranspose(2, 2, surface=surface.coarser()),
                  Upsample(surface=surface.coarser())):  # fmt: skip
        assert 0 < table_bytes(layer) < 200 * prod(surface.shape)


def table_bytes(layer):
    modules = [module for module in layer.modules() if isinstance(module, TableModule)]
    tables = [module.own_table(name) for module in modules for name in module.recipes]
    return sum(tensor.nbytes for table in tables for tensor in table.tensors)


def test_layers_on_one_stencil_share_their_tables():
    one, other = Conv(2, 2, surface=Icosphere(2)), Conv(4, 3, surface=Icosphere(2))
    assert addresses(one) == addresses(other)
    assert addresses(one.double()) == addresses(other.double())
    assert addresses(one.float()) != addresses(other)


def addresses(layer):
    return [table.data_ptr() for table in layer.op.own_table("operators").tensors]


def test_tables_made_in_inference_mode_serve_training():
    with torch.inference_mode():
        Conv(2, 2, surface=Healpix(1))(torch.zeros(1, 2, 12))
    layer = Conv(2, 2, surface=Healpix(1))
    layer(torch.randn(1, 2, 12, requires_grad=True)).sum().backward()
    assert layer.weight.grad is not None


def test_double_loads_exact_tables():
    layer = SparseOperator(EXACT).double()
    assert layer.own_table("operators").tensors[1].dtype == torch.float64
    assert torch.equal(to_dense(layouts(layer)[0], EXACT.inputs), torch.from_numpy(EXACT.fused.toarray()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_float32_tables(dtype):
    module = Conv(2, 2, surface=Icosphere(2)).to(dtype)
    assert module.weight.dtype == dtype
    assert module.op.own_table("operators").tensors[1].dtype == torch.float32
    rounded = module.op.own_table("operators").tensors[1]
    assert torch.equal(rounded, module.double().op.own_table("operators").tensors[1].float())
    assert module.op.own_table("operators").tensors[1].dtype == torch.float64


def test_default_dtype_is_respected():
    torch.set_default_dtype(torch.float64)
    try:
        assert SparseOperator(EXACT).own_table("operators").tensors[1].dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_deepcopy_computes_the_same():
    layer = Conv(2, 2, surface=Icosphere(1))
    x = torch.randn(1, 2, 42)
    torch.testing.assert_close(copy.deepcopy(layer)(x), layer(x))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_autocast_is_close_to_float32(kernel_size, groups):
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
def test_pooling_window_is_a_vertex_and_its_neighbours(layer):
    stencil = Icosphere(2).pool_neighbours().operators[0]
    x = torch.randn(2, 3, 162, dtype=torch.float64)
    found = layer(surface=Icosphere(2)).double()(x)
    for vertex in range(42):
        samples, weights = stencil[[vertex]].indices, torch.from_numpy(stencil[[vertex]].data)
        seen = x[:, :, samples]
        wanted = seen.amax(2) if layer is MaxPool else (seen * weights).sum(2)
        torch.testing.assert_close(found[:, :, vertex], wanted)
