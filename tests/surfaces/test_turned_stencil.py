from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from omniconv.surfaces import Equirectangular
from omniconv.surfaces.neighbours.periodic_stencil import TurnedStencil


def turned(seed=0, rows=2, turns=4, step=2, phases=3, taps=2):
    """A stencil between grids of ``step · turns`` and ``phases · turns`` columns, of random entries."""
    inputs, outputs = (rows + 1, step * turns), (rows, phases * turns)
    size = rows * phases * taps, inputs[0] * inputs[1]
    first = sparse.random_array(size, density=0.3, rng=np.random.default_rng(seed))
    return TurnedStencil(sparse.csr_array(first), turns, inputs, outputs, (taps,))


SHAPES = {
    "seed": st.integers(0, 9), "rows": st.integers(1, 3), "turns": st.integers(1, 5), "step": st.integers(1, 3),
    "phases": st.integers(1, 3), "taps": st.integers(1, 3),
}  # fmt: skip


def rolled(matrix, stencil, turns):
    """The matrix with outputs and inputs turned."""
    outputs, inputs = stencil.output_shape, stencil.input_shape
    by_column = matrix.reshape(*outputs, stencil.taps, *inputs)
    by_column = np.roll(by_column, turns * outputs[1] // stencil.turns, axis=1)
    return np.roll(by_column, turns * inputs[1] // stencil.turns, axis=4).reshape(matrix.shape)


@given(**SHAPES)
def test_turning_inputs_turns_outputs(seed, rows, turns, step, phases, taps):
    stencil = turned(seed, rows, turns, step, phases, taps)
    dense = stencil.fused.toarray()
    np.testing.assert_array_equal(rolled(dense, stencil, 1), dense)


@given(**SHAPES)
def test_the_first_outputs_are_as_given(seed, rows, turns, step, phases, taps):
    stencil = turned(seed, rows, turns, step, phases, taps)
    found = stencil.fused.toarray().reshape(rows, turns, phases * taps, -1)[:, 0]
    np.testing.assert_array_equal(found.reshape(stencil.first.shape), stencil.first.toarray())


@given(**SHAPES)
def test_the_transpose_is_that_of_the_whole(seed, rows, turns, step, phases, taps):
    stencil = turned(seed, rows, turns, step, phases, taps)
    np.testing.assert_array_equal(stencil.transpose.fused.toarray(), stencil.fused.toarray().T)
    np.testing.assert_array_equal(stencil.transposed.toarray(), stencil.fused.toarray().T)


@given(**SHAPES)
def test_the_adjoint_is_that_of_every_tap(seed, rows, turns, step, phases, taps):
    stencil = turned(seed, rows, turns, step, phases, taps)
    assert (stencil.adjoint.input_shape, stencil.adjoint.output_shape) == (stencil.output_shape, stencil.input_shape)
    for there, back in zip(stencil.operators, stencil.adjoint.operators, strict=True):
        np.testing.assert_array_equal(back.toarray(), there.toarray().T)
    np.testing.assert_array_equal(stencil.adjoint.adjoint.first.toarray(), stencil.first.toarray())


def test_it_is_as_long_as_a_column_is_high():
    stencil = Equirectangular(height=64, kernels="tangent").conv_neighbours()
    assert stencil.first.nnz * 128 == stencil.nnz == stencil.fused.nnz
    assert (stencil.inputs, stencil.outputs, stencil.taps) == (64 * 128, 64 * 128, 9)


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_entries_are_counted_without_working_them_out(kernel_size, stride):
    place = Equirectangular(height=16, kernels="tangent")
    for stencil in (place.conv_neighbours(kernel_size, stride), place.transposed_neighbours(kernel_size, stride)):
        assert stencil.nnz == stencil.fused.nnz
