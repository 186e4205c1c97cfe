from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from omniconv.surfaces import Equirectangular
from omniconv.surfaces.neighbours.periodic_stencil import PeriodicStencil


def random_stencil(seed, rows, repeats, step, phases, taps):
    """A stencil between grids of ``step · repeats`` and ``phases · repeats`` columns, with random entries."""
    inputs, outputs = (rows + 1, step * repeats), (rows, phases * repeats)
    size = rows * phases * taps, inputs[0] * inputs[1]
    pattern = sparse.random_array(size, density=0.3, rng=np.random.default_rng(seed))
    return PeriodicStencil(sparse.csr_array(pattern), repeats, inputs, outputs, (taps,))


STENCILS = st.builds(
    random_stencil, st.integers(0, 9), rows=st.integers(1, 3), repeats=st.integers(1, 5), step=st.integers(1, 3),
    phases=st.integers(1, 3), taps=st.integers(1, 3),
)  # fmt: skip


@given(STENCILS)
def test_rolling_inputs_and_outputs_by_a_period_leaves_the_matrix_as_it_is(stencil):
    matrix, outputs, inputs = stencil.fused.toarray(), stencil.output_shape, stencil.input_shape
    rolled = matrix.reshape(*outputs, stencil.taps, *inputs)
    for axis, columns in ((1, outputs[1]), (4, inputs[1])):
        rolled = np.roll(rolled, columns // stencil.repeats, axis)
    np.testing.assert_array_equal(rolled.reshape(matrix.shape), matrix)


@given(STENCILS)
def test_the_first_period_of_each_row_is_the_pattern(stencil):
    rows = stencil.fused.toarray().reshape(stencil.output_shape[0], stencil.repeats, -1, stencil.inputs)
    np.testing.assert_array_equal(rows[:, 0].reshape(stencil.pattern.shape), stencil.pattern.toarray())


@given(STENCILS)
def test_transpose_is_that_of_the_fused_matrix(stencil):
    np.testing.assert_array_equal(stencil.transpose.fused.toarray(), stencil.fused.toarray().T)
    np.testing.assert_array_equal(stencil.transposed.toarray(), stencil.fused.toarray().T)


@given(STENCILS)
def test_adjoint_transposes_every_tap(stencil):
    assert (stencil.adjoint.input_shape, stencil.adjoint.output_shape) == (stencil.output_shape, stencil.input_shape)
    for tap, transposed in zip(stencil.operators, stencil.adjoint.operators, strict=True):
        np.testing.assert_array_equal(transposed.toarray(), tap.toarray().T)
    np.testing.assert_array_equal(stencil.adjoint.adjoint.pattern.toarray(), stencil.pattern.toarray())


def test_tangent_kernels_store_one_column_of_outputs():
    stencil = Equirectangular(height=64, kernels="tangent").conv_neighbours().computed
    assert stencil.pattern.nnz * 128 == stencil.nnz == stencil.fused.nnz
    assert (stencil.inputs, stencil.outputs, stencil.taps) == (64 * 128, 64 * 128, 9)


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_nnz_needs_no_expansion(kernel_size, stride):
    surface = Equirectangular(height=16, kernels="tangent")
    for stencil in (surface.conv_neighbours(kernel_size, stride), surface.transposed_neighbours(kernel_size, stride)):
        assert stencil.nnz == stencil.fused.nnz
