"""Memory layouts of a stencil's sparse matrix, and the integers and tensors by which custom ops receive them.

A matrix has one row for each tap of each output: row ``n · taps + m`` is tap m of output n. Every layout expands a
range of rows into the arguments of ``torch.embedding_bag``, so that a layout may store repeated rows once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor


class EmbeddingBagArgs(NamedTuple):
    """Arguments of ``torch.embedding_bag`` for some rows of a matrix.

    Without ``offsets`` every row has one entry; without ``weights`` all entries are 1.
    """

    indices: Tensor
    offsets: Tensor | None
    weights: Tensor | None

    def matmul(self, x: Tensor) -> Tensor:
        """Multiply the rows by ``x``: ``(N, C)`` to ``(rows, C)``.

        ``embedding_bag`` took 0.39 to 0.55 of the time of MKL's sparse product (one thread, 64 channels: icosphere 6
        11.3 -> 4.7 ms, tangent kernels of 128 rows 7.6 -> 3.4, HEALPix 64 9.1 -> 5.0, icosahedron 6 19.1 -> 8.4).
        """
        if self.offsets is None:
            return torch.index_select(x, 0, self.indices)
        return torch.embedding_bag(x, self.indices, self.offsets, per_sample_weights=self.weights)[0]


class Layout(Protocol):
    """Sparse matrix in memory; indices are int32, values floating."""

    @property
    def rows(self) -> int:
        """Rows of the matrix: taps of all outputs."""

    def chunks(self, size: int) -> Iterator[tuple[int, int, EmbeddingBagArgs]]:
        """Yield first row, end row and arguments of chunks of about ``size`` rows.

        No output is divided between chunks where ``size`` is a multiple of the taps.
        """


@dataclass(frozen=True)
class IndexLayout:
    """One entry of value 1 in each row: indices ``(rows,)``.

    ``values`` is empty: its dtype is the precision that the product runs in.
    """

    indices: Tensor
    values: Tensor

    @property
    def rows(self) -> int:
        return self.indices.shape[0]

    def chunks(self, size: int) -> Iterator[tuple[int, int, EmbeddingBagArgs]]:
        for first, end in _ranges(self.rows, size):
            yield first, end, EmbeddingBagArgs(self.indices[first:end], None, None)


@dataclass(frozen=True)
class CsrLayout:
    """Compressed sparse rows: row pointers ``(rows + 1,)``, column indices and values ``(entries,)``.

    With a ``codebook`` of at most 256 floats, values are uint8 indices into it. HEALPix has few distinct values: its
    layouts took 162 instead of 216 bytes a sample.
    """

    pointers: Tensor
    indices: Tensor
    values: Tensor
    codebook: Tensor | None = None

    @property
    def rows(self) -> int:
        return self.pointers.shape[0] - 1

    def chunks(self, size: int) -> Iterator[tuple[int, int, EmbeddingBagArgs]]:
        if size >= self.rows:  # all at once reads no pointer, which on a GPU would wait for the device
            yield 0, self.rows, EmbeddingBagArgs(self.indices, self.pointers[:-1], self._decode(self.values))
            return
        ranges = list(_ranges(self.rows, size))
        bounds = self.pointers[[*(first for first, _ in ranges), self.rows]].tolist()
        for (first, end), start, stop in zip(ranges, bounds, bounds[1:], strict=False):
            offsets, weights = self.pointers[first:end] - start, self._decode(self.values[start:stop])
            yield first, end, EmbeddingBagArgs(self.indices[start:stop], offsets, weights)

    def _decode(self, values: Tensor) -> Tensor:
        return values if self.codebook is None else self.codebook.index_select(0, values.int())


@dataclass(frozen=True)
class EllLayout:
    """ELL layout whose taps share their columns: indices ``(outputs, width)``, values ``(outputs, taps, width)``.

    Outputs with fewer than ``width`` neighbours are padded with entries of value 0. An icosphere stores its seven
    neighbours once for four operators: 147 instead of 384 bytes a sample, its transpose included.
    """

    indices: Tensor
    values: Tensor

    @property
    def rows(self) -> int:
        return self.values.shape[0] * self.values.shape[1]

    def chunks(self, size: int) -> Iterator[tuple[int, int, EmbeddingBagArgs]]:
        _, taps, width = self.values.shape
        for first, end in _ranges(self.rows, _whole_outputs(size, taps)):
            outputs = slice(first // taps, end // taps)
            indices = self.indices[outputs, None].expand(-1, taps, -1).reshape(-1)
            offsets, weights = _equal_offsets(end - first, width, indices), self.values[outputs].reshape(-1)
            yield first, end, EmbeddingBagArgs(indices, offsets, weights)


@dataclass(frozen=True)
class EllTransposeLayout:
    """Transpose of an ELL layout with symmetric neighbourhoods; shares the indices and values of that layout.

    ``slot[n, k]`` is n's position in the list of its k-th neighbour. With ``by_tap`` (1 or 0) each tap is transposed by
    itself (row ``n · taps + m`` is tap m of input n), else all taps as one matrix (a row for each input, columns
    ``n · taps + m``).
    """

    indices: Tensor
    slot: Tensor  # uint8 (outputs, width)
    values: Tensor
    by_tap: int

    @property
    def rows(self) -> int:
        return self.values.shape[0] * (self.values.shape[1] if self.by_tap else 1)

    def chunks(self, size: int) -> Iterator[tuple[int, int, EmbeddingBagArgs]]:
        _, taps, width = self.values.shape
        rows_per_input = taps if self.by_tap else 1
        tap = torch.arange(taps, device=self.indices.device, dtype=torch.int32)[:, None]
        for first, end in _ranges(self.rows, _whole_outputs(size, rows_per_input)):
            inputs = slice(first // rows_per_input, end // rows_per_input)
            rows = self.indices[inputs, None] * taps + tap  # of the ELL layout, (inputs, taps, width)
            weights = self.values.reshape(-1).index_select(0, (rows * width + self.slot[inputs, None]).reshape(-1))
            indices = (self.indices[inputs, None].expand_as(rows) if self.by_tap else rows).reshape(-1)
            offsets = _equal_offsets(end - first, width * taps // rows_per_input, indices)
            yield first, end, EmbeddingBagArgs(indices, offsets, weights)


@dataclass(frozen=True)
class PeriodicLayout:
    """CSR layout of one period of each grid row, of which the others are copies with rolled columns.

    Tangent kernels store one column of the panorama: 3 instead of 472 bytes a sample. Grid rows with fewer than
    ``width`` entries repeat the last with value 0.
    """

    offsets: Tensor  # row pointers within each grid row, (grid rows, rows of one period)
    row_starts: Tensor  # flat index of the first sample of the input row of each entry, (grid rows, width)
    columns: Tensor  # input column of each entry, (grid rows, width)
    values: Tensor  # (grid rows, width)
    repeats: int  # periods in a grid row
    step: int  # input columns from one period to the next

    @property
    def rows(self) -> int:
        return self.offsets.numel() * self.repeats

    def chunks(self, size: int) -> Iterator[tuple[int, int, EmbeddingBagArgs]]:
        grid_rows, rows_per_period = self.offsets.shape
        rows_per_line = rows_per_period * self.repeats
        roll = torch.arange(self.repeats, device=self.offsets.device, dtype=torch.int32)[:, None] * self.step
        for first, end in _ranges(grid_rows, max(size // rows_per_line, 1)):
            indices = self.columns[first:end, None] + roll  # (grid rows, repeats, width)
            indices = indices.remainder_(self.repeats * self.step).add_(self.row_starts[first:end, None]).reshape(-1)
            begin = _equal_offsets((end - first) * self.repeats, self.columns.shape[1], indices)
            offsets = (self.offsets[first:end, None] + begin.view(-1, self.repeats, 1)).reshape(-1)
            weights = self.values[first:end, None].expand(-1, self.repeats, -1).reshape(-1)
            yield first * rows_per_line, end * rows_per_line, EmbeddingBagArgs(indices, offsets, weights)


_LAYOUTS = (IndexLayout, CsrLayout, EllLayout, EllTransposeLayout, PeriodicLayout)


def pack_layouts(matrix: Layout, transpose: Layout) -> tuple[list[int], list[Tensor]]:
    """Return a matrix and its transpose as arguments of a custom op: integers, and tensors without duplicates.

    The schema of a custom op admits lists of ints and of tensors, but no objects. The integers are, for each layout,
    preceded by their count: index of the class, then the position of each tensor field and the value of each other.
    """
    tensors: dict[int, Tensor] = {}
    plan: list[int] = []
    for layout in (matrix, transpose):
        values = [getattr(layout, field.name) for field in fields(layout)]  # type: ignore[arg-type]
        given = [value for value in values if isinstance(value, Tensor)]
        for tensor in given:
            tensors.setdefault(id(tensor), tensor)
        order = list(tensors)
        numbers = [value for value in values if isinstance(value, int)]
        packed = [_LAYOUTS.index(type(layout)), len(given), *(order.index(id(tensor)) for tensor in given), *numbers]
        plan += [len(packed), *packed]
    return plan, list(tensors.values())


def unpack_layouts(plan: Sequence[int], tensors: Sequence[Tensor]) -> tuple[Layout, Layout]:
    """Return the matrix and the transpose that ``pack_layouts`` was given.

    Example:
        >>> index = IndexLayout(torch.tensor([1, 0]), torch.empty(0))
        >>> plan, tensors = pack_layouts(index, index)
        >>> plan, unpack_layouts(plan, tensors)[1].indices.tolist()
        ([4, 0, 2, 0, 1, 4, 0, 2, 0, 1], [1, 0])
    """
    middle = 1 + plan[0]
    return _unpack(plan[1:middle], tensors), _unpack(plan[middle + 1 :], tensors)


def transpose_plan(plan: list[int]) -> list[int]:
    """Return the integers of the same two layouts in exchanged roles."""
    middle = 1 + plan[0]
    return plan[middle:] + plan[:middle]


def table_dtype(tensors: Sequence[Tensor]) -> torch.dtype:
    """Return the dtype of the values, in which products are computed."""
    return next(tensor.dtype for tensor in tensors if tensor.is_floating_point())


def _unpack(packed: Sequence[int], tensors: Sequence[Tensor]) -> Layout:
    class_index, count, *numbers = packed
    layout: Any = _LAYOUTS[class_index]
    return layout(*(tensors[index] for index in numbers[:count]), *numbers[count:])


def _ranges(count: int, size: int) -> Iterator[tuple[int, int]]:
    for first in range(0, count, size):
        yield first, min(first + size, count)


def _whole_outputs(size: int, taps: int) -> int:
    return max(size // taps, 1) * taps


def _equal_offsets(count: int, length: int, like: Tensor) -> Tensor:
    """Return the offsets of ``count`` bags of ``length`` entries each."""
    return torch.arange(0, count * length, length, device=like.device, dtype=torch.int32)
