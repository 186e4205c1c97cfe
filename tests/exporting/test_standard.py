from __future__ import annotations

import pytest
import torch
from exported_layers import on_meshes

import omniconv as oc
from omniconv.exporting.with_standard_ops import GatheredStencil, with_standard_ops
from omniconv.nn.stencil.modules import StencilProduct

TOLERANCES = {"rtol": 1e-5, "atol": 1e-6}


@pytest.mark.parametrize(("name", "build"), list(on_meshes()), ids=lambda value: str(value).partition("(")[0])
def test_layer_of_standard_operators_gives_the_same(name, build):
    torch.manual_seed(0)
    layer, x = build().eval(), torch.randn(2, 4, 162)
    with torch.no_grad():
        torch.testing.assert_close(with_standard_ops(layer)(x), layer(x), **TOLERANCES)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_precision_is_kept(dtype):
    layer = oc.nn.Conv(2, 3, surface=oc.Icosphere(1)).to(dtype)
    x = torch.randn(1, 2, 42).to(dtype)
    with torch.no_grad():
        other, right = with_standard_ops(layer)(x), layer(x)
    assert other.dtype == dtype
    torch.testing.assert_close(other, right, rtol=2e-2, atol=2e-2)


def test_network_itself_stays_as_it_is():
    layer = oc.nn.Conv(2, 3, surface=oc.Icosphere(1)).train()
    before = dict(layer.named_buffers())
    twin = with_standard_ops(layer)
    assert layer.training
    assert not twin.training
    assert dict(layer.named_buffers()) == before
    assert not any("pointers" in name for name, _ in twin.named_buffers())


def test_gathered_stencil_is_the_product():
    stencil = oc.Icosphere(2).conv_neighbours(3, 2)
    rows = torch.randn(2, stencil.inputs, 5)
    right = StencilProduct(stencil).times(rows)
    torch.testing.assert_close(GatheredStencil(stencil, torch.float32).times(rows), right, **TOLERANCES)
