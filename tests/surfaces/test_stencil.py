from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from omniconv.errors import InputError
from omniconv.surfaces import Stencil


def random_stencil(taps=3, outputs=7, inputs=5, seed=0):
    generator = np.random.default_rng(seed)
    return Stencil.of([sparse.random_array((outputs, inputs), density=0.4, rng=generator) for _ in range(taps)])


def test_sizes():
    stencil = random_stencil()
    assert (stencil.taps, stencil.outputs, stencil.inputs) == (3, 7, 5)


def test_fused_interleaves_the_taps_of_each_output():
    stencil = random_stencil()
    stacked = np.stack([operator.toarray() for operator in stencil.operators], axis=1)
    np.testing.assert_array_equal(stencil.fused.toarray(), stacked.reshape(7 * 3, 5))


def test_transposed_is_the_transpose_of_fused():
    stencil = random_stencil()
    np.testing.assert_array_equal(stencil.transposed.toarray(), stencil.fused.toarray().T)
    assert stencil.transposed.format == "csr"


def test_table_selects_samples():
    table = np.array([[0, 1], [1, 2], [2, 0], [3, 3]])
    stencil = Stencil.from_table(table, inputs=5)
    signal = np.array([10.0, 20, 30, 40, 50])
    np.testing.assert_array_equal((stencil.fused @ signal).reshape(4, 2), signal[table])


def test_operators_are_float64():
    stencil = Stencil.of([sparse.eye_array(3, dtype=np.float32), sparse.coo_array(np.eye(3, dtype=int))])
    assert all(operator.dtype == np.float64 and operator.format == "csr" for operator in stencil.operators)


@pytest.mark.parametrize("operators", [[], [sparse.eye_array(3), sparse.eye_array(4)]])
def test_stacks_without_a_common_shape_are_rejected(operators):
    with pytest.raises(InputError, match=r"operators=.*must be one matrix or more, all of the same shape; check"):
        Stencil.of(operators)
