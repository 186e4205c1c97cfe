"""Neighbourhoods of samples anywhere on a surface: a stack of sparse operators with fixed weights."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from typing import Any

import numpy as np
from scipy import sparse

from omniconv.errors import InputError


@dataclass(frozen=True, eq=False)
class Stencil:
    """A stack of sparse operators ``S_m``, one for each tap or basis function of a convolution ``y = Σ_m W_m (S_m x)``.

    Args:
        operators: sparse matrices of one shape (outputs, inputs), float64.
        input_shape: shape of the input samples in a signal; by default one axis.
        output_shape: shape of the output samples; by default one axis.
        kernel_shape: shape of the taps in a weight, row by row; by default one axis.

    Raises:
        InputError: no operator, operators of different shapes, or a shape of another number of samples or taps.

    Example:
        >>> ring = Stencil.from_table(np.array([[0, 1], [1, 2], [2, 0]]), inputs=3)   # each sample and the next one
        >>> ring.taps, ring.outputs, ring.inputs
        (2, 3, 3)
    """

    operators: tuple[sparse.csr_array, ...]
    input_shape: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()
    kernel_shape: tuple[int, ...] = ()
    is_halo = False
    """True if ``computed`` is a ``HaloStencil``."""

    def __post_init__(self) -> None:
        shapes = {operator.shape for operator in self.operators}
        if len(shapes) != 1:
            rule = "must be one matrix or more, all of the same shape"
            raise InputError("operators", sorted(shapes), rule, "check the stack")
        outputs, inputs = self.operators[0].shape
        counts = {"input_shape": inputs, "output_shape": outputs, "kernel_shape": len(self.operators)}
        for name, count in counts.items():
            shape = getattr(self, name) or (count,)
            if prod(shape) != count:
                unit = "taps" if name == "kernel_shape" else "samples"
                raise InputError(name, shape, f"must hold {count} {unit}", "check the operators or the shape")
            object.__setattr__(self, name, shape)

    @classmethod
    def of(
        cls,
        operators: Sequence[sparse.sparray],
        input_shape: tuple[int, ...] = (),
        output_shape: tuple[int, ...] = (),
    ) -> Stencil:
        """Return a stencil of sparse matrices in any format."""
        matrices = tuple(sparse.csr_array(operator, dtype=np.float64) for operator in operators)
        return cls(matrices, input_shape, output_shape)

    @classmethod
    def from_table(cls, table: np.ndarray, inputs: int) -> Stencil:
        """Return a stencil that selects: output ``n`` sees at tap ``m`` the sample ``table[n, m]``."""
        return cls.of([csr_from_rows(column[:, None], 1.0, inputs) for column in table.T])

    @property
    def computed(self) -> Stencil:
        """The stencil with its operators: this one, or the one that a ``LazyStencil`` computes."""
        return self

    @property
    def is_identity(self) -> bool:
        """True if every output is the input sample of the same index."""
        if self.taps != 1 or self.inputs != self.outputs or self.nnz != self.outputs:
            return False
        return bool((self.fused.diagonal() == 1).all())

    @property
    def taps(self) -> int:
        """Number of operators."""
        return prod(self.kernel_shape)

    @property
    def outputs(self) -> int:
        """Number of output samples."""
        return prod(self.output_shape)

    @property
    def inputs(self) -> int:
        """Number of input samples."""
        return prod(self.input_shape)

    @property
    def nnz(self) -> int:
        """Number of entries of all operators."""
        return sum(operator.nnz for operator in self.operators)

    @cached_property
    def adjoint(self) -> Stencil:
        """The stencil of the transposed taps: the neighbourhoods of the exactly adjoint convolution."""
        operators = tuple(sparse.csr_array(operator.T) for operator in self.operators)
        return Stencil(operators, self.output_shape, self.input_shape, self.kernel_shape)

    @cached_property
    def fused(self) -> sparse.csr_array:
        """All taps as one matrix (outputs · taps, inputs); row ``n · taps + m`` is tap ``m`` of output ``n``."""
        rows, columns, values = [], [], []
        index_type = np.int32 if self.outputs * self.taps < 2**31 else np.int64
        for tap, operator in enumerate(self.operators):
            entries = operator.tocoo()
            rows.append(entries.row.astype(index_type) * index_type(self.taps) + index_type(tap))
            columns.append(entries.col)
            values.append(entries.data)
        stacked = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
        return sparse.csr_array(stacked, shape=(self.outputs * self.taps, self.inputs))

    @cached_property
    def transposed_by_tap(self) -> sparse.csr_array:
        """The transposed operators as one matrix (inputs · taps, outputs); row ``n · taps + m`` is tap m of input n."""
        entries = self.fused.tocoo()
        output, tap = np.divmod(entries.row, self.taps)
        coordinates = entries.col.astype(np.int64) * self.taps + tap, output
        return sparse.csr_array((entries.data, coordinates), shape=(self.inputs * self.taps, self.outputs))

    @cached_property
    def transposed(self) -> sparse.csr_array:
        """The transpose of ``fused`` in CSR: the operator of gradients with respect to the input."""
        return sparse.csr_array(self.fused.T)

    def __deepcopy__(self, memo: object) -> Stencil:
        return self  # immutable, and the key under which layers share tables

    def __getstate__(self) -> dict[str, Any]:
        derived = ("adjoint", "fused", "transposed_by_tap", "transposed")  # several times as large as the operators
        return {name: value for name, value in self.__dict__.items() if name not in derived}


class LazyStencil(Stencil):
    """A stencil whose operators are computed when they are read, not when it is made.

    Its shapes are enough to make a layer, so that a network on the meta device costs no tables. Two are equal if the
    same function computes them from equal arguments: layers on equal stencils share their tables, and a pickle stores
    function and arguments instead of operators.

    Args:
        compute: function at the top level of a module that returns the stencil. It is called whenever operators are
            read, so that it should be cached (``functools.lru_cache``).
        arguments: its arguments, hashable.
        input_shape: shape of the input samples.
        output_shape: shape of the output samples.
        kernel_shape: shape of the taps in a weight.
        is_halo: ``compute`` returns a ``HaloStencil``.

    Example:
        >>> pair = LazyStencil(identity_of, ((3,), (1,)), (3,), (3,), (1,))
        >>> pair.operators[0].nnz, pair == identity_stencil((3,))
        (3, True)
    """

    compute: Callable[..., Stencil]
    arguments: tuple[Hashable, ...]

    def __init__(
        self, compute: Callable[..., Stencil], arguments: tuple[Hashable, ...], input_shape: tuple[int, ...],
        output_shape: tuple[int, ...], kernel_shape: tuple[int, ...] = (1,), is_halo: bool = False,
    ) -> None:  # fmt: skip
        values = compute, arguments, input_shape, output_shape, kernel_shape, is_halo
        names = ("compute", "arguments", "input_shape", "output_shape", "kernel_shape", "is_halo")
        for name, value in zip(names, values, strict=True):
            object.__setattr__(self, name, value)

    @property
    def computed(self) -> Stencil:
        """The stencil with its operators."""
        return self.compute(*self.arguments)

    @property
    def is_identity(self) -> bool:
        return self.compute is identity_of

    @property
    def operators(self) -> tuple[sparse.csr_array, ...]:
        return self.computed.operators

    @property
    def nnz(self) -> int:
        return self.computed.nnz

    @property
    def adjoint(self) -> Stencil:
        return LazyStencil(_adjoint_of, (self,), self.output_shape, self.input_shape, self.kernel_shape)

    @property
    def fused(self) -> sparse.csr_array:
        return self.computed.fused

    @property
    def transposed_by_tap(self) -> sparse.csr_array:
        return self.computed.transposed_by_tap

    @property
    def transposed(self) -> sparse.csr_array:
        return self.computed.transposed

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LazyStencil):
            return False
        return (self.compute, self.arguments) == (other.compute, other.arguments)

    def __hash__(self) -> int:
        return hash((self.compute, self.arguments))

    def __repr__(self) -> str:
        return f"LazyStencil({self.input_shape} to {self.output_shape}, kernel_shape={self.kernel_shape})"


def identity_stencil(shape: tuple[int, ...], kernel_shape: tuple[int, ...] = (1,)) -> LazyStencil:
    """Return the stencil of a pointwise convolution on signals of a shape."""
    return LazyStencil(identity_of, (shape, kernel_shape), shape, shape, kernel_shape)


@lru_cache(maxsize=8)
def identity_of(shape: tuple[int, ...], kernel_shape: tuple[int, ...]) -> Stencil:
    """Compute ``identity_stencil``."""
    return Stencil((sparse.csr_array(sparse.eye_array(prod(shape))),), shape, shape, kernel_shape)


def _adjoint_of(stencil: LazyStencil) -> Stencil:
    return stencil.computed.adjoint


def csr_from_rows(columns: np.ndarray, weights: np.ndarray | float, size: int) -> sparse.csr_array:
    """Return the matrix (rows, size) with ``weights`` at ``columns``, both ``(rows, entries)``; equal columns add."""
    index_type = np.int32 if max(columns.size, size) < 2**31 else np.int64  # SciPy keeps int64, twice as large
    ends = np.arange(0, columns.size + 1, columns.shape[1], dtype=index_type)
    values = np.broadcast_to(weights, columns.shape).astype(np.float64).ravel()
    # A copy of the columns: sum_duplicates sorts them in place, and some are cached tables.
    matrix = sparse.csr_array((values, columns.astype(index_type).ravel(), ends), shape=(len(columns), size))
    matrix.sum_duplicates()
    return matrix
