from __future__ import annotations

import pytest
import torch
from layer_cases import on_meshes

import omniconv as oc
from omniconv.exporting.program import with_standard_ops
from omniconv.nn.stencil.backends import CustomOps, StandardOps
from omniconv.nn.stencil.modules import StencilProduct

TOLERANCES = {"rtol": 1e-5, "atol": 1e-6}


@pytest.mark.parametrize(("name", "build"), list(on_meshes()), ids=lambda value: str(value).partition("(")[0])
def test_layer_with_standard_ops_computes_the_same(name, build):
    torch.manual_seed(0)
    layer, x = build().eval(), torch.randn(2, 4, 162)
    with torch.no_grad():
        torch.testing.assert_close(with_standard_ops(layer)(x), layer(x), **TOLERANCES)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtype_is_kept(dtype):
    layer = oc.nn.Conv(2, 3, surface=oc.Icosphere(1)).to(dtype)
    x = torch.randn(1, 2, 42).to(dtype)
    with torch.no_grad():
        other, right = with_standard_ops(layer)(x), layer(x)
    assert other.dtype == dtype
    torch.testing.assert_close(other, right, rtol=2e-2, atol=2e-2)


def test_original_network_is_unchanged():
    layer = oc.nn.Conv(2, 3, surface=oc.Icosphere(1)).train()
    before = dict(layer.named_buffers())
    converted = with_standard_ops(layer)
    assert layer.training
    assert not converted.training
    assert dict(layer.named_buffers()) == before
    assert isinstance(layer.op.backend, CustomOps)
    assert isinstance(converted.op.backend, StandardOps)


def test_standard_ops_follow_a_change_of_dtype():
    layer = with_standard_ops(oc.nn.Conv(2, 3, surface=oc.Healpix(2))).double()
    x = torch.randn(1, 2, 48, dtype=torch.float64)
    assert {table.dtype for table in layer.op.own_table("operators").tensors} == {torch.int64, torch.float64}
    layer(x)


def test_standard_ops_equal_the_custom_ops():
    stencil = oc.Icosphere(2).conv_neighbours(3, 2)
    rows = torch.randn(2, stencil.inputs, 5)
    operator = StencilProduct(stencil)
    expected = operator.matmul(rows)
    operator.use_standard_ops()
    torch.testing.assert_close(operator.matmul(rows), expected, **TOLERANCES)
