from __future__ import annotations

import numpy as np
import pytest
import torch
from dense_reference import dense_convolution, dense_matmul
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from omniconv.nn import Conv
from omniconv.nn.stencil.layouts import unpack_layouts
from omniconv.nn.stencil.modules import SparseOperator, StencilConvolution
from omniconv.nn.stencil.ops import stencil_convolution, stencil_matmul
from omniconv.nn.stencil.reference import reference_convolution, reference_matmul
from omniconv.surfaces import Equirectangular, Healpix, Icosahedron, Icosphere, Stencil

TOLERANCES = {  # of the fast operators against the reference in float64, relative to the largest value
    torch.float64: 1e-12,
    torch.float32: 1e-5,
    torch.bfloat16: 2e-2,
}


def random_stencil(seed=0, taps=3, outputs=8, inputs=6):
    generator = np.random.default_rng(seed)
    return Stencil.of([sparse.random_array((outputs, inputs), density=0.4, rng=generator) for _ in range(taps)])


STENCILS = {
    "random": random_stencil(),
    **{f"icosphere {level}": Icosphere(level).conv_neighbours() for level in (0, 1, 2)},
    "raw": Icosphere(1, "raw").conv_neighbours(),
    "stride 2": Icosphere(2).conv_neighbours(stride=2),
    "transposed": Icosphere(1).transposed_neighbours(),
    "pool": Icosphere(2).pool_neighbours(),
    "upsample": Icosphere(1).resize_neighbours(),
}


def dense(stencil):
    return [torch.from_numpy(operator.toarray()) for operator in stencil.operators]


def tables_of(stencil, dtype, by_tap=False):
    layer = SparseOperator(stencil, by_tap).to(dtype)
    return layer.own_table("operators").plan, layer.own_table("operators").tensors


def assert_near(found, wanted, dtype):
    assert found.dtype == dtype
    scale = wanted.abs().max().item()
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=TOLERANCES[dtype] * scale)


def outputs_and_gradients(function, *inputs):
    """Return the output of a function and its input gradients for a fixed random upstream gradient."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    result = function(*leaves)
    upstream = torch.randn(result.shape, generator=torch.Generator().manual_seed(5)).to(result.dtype)
    return result.detach(), *torch.autograd.grad(result, leaves, upstream)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("stencil", STENCILS.values(), ids=STENCILS)
def test_matmul_equals_the_reference_in_output_and_gradient(stencil, dtype):
    x = torch.randn(2, stencil.inputs, 5).to(dtype)
    tables, operators = tables_of(stencil, dtype), dense(stencil)
    found = outputs_and_gradients(lambda x: stencil_matmul(x, *tables), x)
    wanted = outputs_and_gradients(lambda x: dense_matmul(x, operators).flatten(1, 2), x.double())
    for one, other in zip(found, wanted, strict=True):
        assert_near(one, other, dtype)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("stencil", STENCILS.values(), ids=STENCILS)
def test_convolution_equals_the_reference_in_output_and_both_gradients(stencil, dtype):
    x, weight = torch.randn(2, stencil.inputs, 5).to(dtype), torch.randn(4, 5, stencil.taps).to(dtype)
    tables, operators = tables_of(stencil, dtype, by_tap=True), dense(stencil)

    def fast(x, weight):
        return stencil_convolution(x, weight.permute(2, 1, 0).reshape(-1, 4), None, *tables)

    found = outputs_and_gradients(fast, x, weight)
    wanted = outputs_and_gradients(lambda *both: dense_convolution(*both, operators), x.double(), weight.double())
    for one, other in zip(found, wanted, strict=True):
        assert_near(one, other, dtype)


@pytest.mark.parametrize("stencil", STENCILS.values(), ids=STENCILS)
def test_references_on_layouts_equal_the_ops_in_output_and_gradients(stencil):
    x, bias = torch.randn(2, stencil.inputs, 5).double(), torch.randn(4).double()
    weight = torch.randn(5 * stencil.taps, 4).double()
    for by_tap, op, reference, inputs in (
        (False, stencil_matmul, reference_matmul, (x,)),
        (True, stencil_convolution, reference_convolution, (x, weight, bias)),
    ):
        plan, tables = tables_of(stencil, torch.float64, by_tap)
        matrix, _ = unpack_layouts(plan, tables)
        actual = outputs_and_gradients(lambda *x, op=op, plan=plan, tables=tables: op(*x, plan, tables), *inputs)
        expected = outputs_and_gradients(lambda *x, ref=reference, matrix=matrix: ref(*x, matrix), *inputs)
        for one, other in zip(actual, expected, strict=True):
            assert_near(one, other, torch.float64)


@pytest.mark.parametrize("stencil", [random_stencil(), Icosphere(0).conv_neighbours()], ids=["random", "icosphere"])
def test_gradcheck(stencil):
    tables = tables_of(stencil, torch.float64)
    x = torch.randn(2, stencil.inputs, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(stencil.taps * 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: stencil_matmul(x, *tables), (x,))
    tables = tables_of(stencil, torch.float64, by_tap=True)
    bias = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *all: stencil_convolution(*all, *tables), (x, weight, bias))


def test_opcheck():
    tables = tables_of(random_stencil(), torch.float64)
    x = torch.randn(2, 6, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(stencil_matmul, (x, *tables))
    tables = tables_of(random_stencil(), torch.float64, by_tap=True)
    bias = torch.randn(3, dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(stencil_convolution, (x, weight, bias, *tables))
    torch.library.opcheck(stencil_convolution, (x, weight, None, *tables))


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 99), taps=st.integers(1, 4), outputs=st.integers(1, 9), inputs=st.integers(1, 9),
    batch=st.integers(0, 3), groups=st.sampled_from([1, 2]),
)  # fmt: skip
def test_convolution_on_random_stencils_equals_the_reference(seed, taps, outputs, inputs, batch, groups):
    stencil = random_stencil(seed, taps, outputs, inputs)
    layer = StencilConvolution(stencil, groups).double()
    x, weight = torch.randn(batch, 4, inputs).double(), torch.randn(6, 4 // groups, taps).double()
    found = layer(x, weight, torch.ones(6).double())
    parts = [
        dense_convolution(part.transpose(1, 2), share, dense(stencil)).transpose(1, 2)
        for part, share in zip(x.chunk(groups, 1), weight.chunk(groups, 0), strict=True)
    ]
    torch.testing.assert_close(found, torch.cat(parts, 1) + 1)


@pytest.mark.parametrize("needs", [(True, False), (False, True)])
def test_only_the_gradients_asked_for_are_computed(needs):
    tables = tables_of(random_stencil(), torch.float32, by_tap=True)
    x, weight = torch.randn(2, 6, 2, requires_grad=needs[0]), torch.randn(6, 3, requires_grad=needs[1])
    stencil_convolution(x, weight, None, *tables).sum().backward()
    assert [x.grad is not None, weight.grad is not None] == list(needs)


@pytest.mark.parametrize("chunk", [1, 100, 999, 10_000])
@pytest.mark.parametrize("surface", [Icosphere(1), Icosahedron(1), Healpix(2), Equirectangular("over", 4, "tangent")])
def test_result_does_not_depend_on_the_chunk_size(surface, chunk, monkeypatch):
    layer = Conv(3, 4, surface=surface).double()
    x = torch.randn(2, 3, *surface.shape, dtype=torch.float64, requires_grad=True)
    inputs = [x, layer.weight, layer.bias]
    expected = layer(x)
    gradients = torch.autograd.grad(expected.square().sum(), inputs)
    monkeypatch.setattr("omniconv.nn.stencil.ops.CHUNK", chunk)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(torch.autograd.grad(layer(x).square().sum(), inputs), gradients)
