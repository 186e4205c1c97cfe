"""How a stencil's table lies in memory, and what it says of a part of its rows.

A row of a table is one tap of one output: a weighted sum of samples. Tables are small where rows repeat: each layout
writes out the rows that are asked for, chunk by chunk, into what the backend's sums over bags of rows take.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class EmbeddingBagArgs(NamedTuple):
    """Some rows of a table: the samples of all of them in turn, where each row begins, the weight of each sample.

    Without ``starts`` every row has one sample, without ``weights`` all of them count 1.
    """

    samples: Tensor
    starts: Tensor | None
    weights: Tensor | None

    def of(self, picture: Tensor) -> Tensor:
        """The rows' sums, ``(N, C)`` to ``(rows, C)``."""
        if self.starts is None:
            return torch.index_select(picture, 0, self.samples)
        return torch.embedding_bag(picture, self.samples, self.starts, per_sample_weights=self.weights)[0]


class Layout(Protocol):
    """A table in memory. Chunks hold about ``size`` rows, a multiple of the taps where ``size`` is one."""

    @property
    def rows(self) -> int:
        """Taps of all outputs."""

    def chunks(self, size: int) -> Iterator[tuple[int, int, EmbeddingBagArgs]]:
        """First row, last row, and what lies between them."""


@dataclass(frozen=True)
class IndexLayout:
    """Every row is one sample: indices ``(rows,)``; of the values, which are all 1, there is only their precision."""

    samples: Tensor
    values: Tensor

    @property
    def rows(self) -> int:
        """Taps of all outputs."""
        return self.samples.shape[0]

    def chunks(self, size: int) -> Iterator[tuple[int, int, EmbeddingBagArgs]]:
        """Parts of the table as they lie."""
        for first, last in _spans(self.rows, size):
            yield first, last, EmbeddingBagArgs(self.samples[first:last], None, None)


@dataclass(frozen=True)
class CsrLayout:
    """Compressed sparse rows: pointers ``(rows + 1,)``, samples and values ``(entries,)``, int32 and floating.

    With a codebook, values are places in it (uint8).
    """

    pointers: Tensor
    samples: Tensor
    values: Tensor
    codebook: Tensor | None = None

    @property
    def rows(self) -> int:
        """Taps of all outputs."""
        return self.pointers.shape[0] - 1

    def chunks(self, size: int) -> Iterator[tuple[int, int, EmbeddingBagArgs]]:
        """Parts of the table, counted from their own beginning."""
        if size >= self.rows:
            yield 0, self.rows, EmbeddingBagArgs(self.samples, self.pointers[:-1], self._weights(self.values))
            return
        spans = list(_spans(self.rows, size))
        bounds = self.pointers[[*(first for first, _ in spans), self.rows]].tolist()
        for (first, last), start, stop in zip(spans, bounds, bounds[1:], strict=False):
            starts = self.pointers[first:last] - start
            yield (
                first,
                last,
                EmbeddingBagArgs(self.samples[start:stop], starts, self._weights(self.values[start:stop])),
            )

    def _weights(self, values: Tensor) -> Tensor:
        return values if self.codebook is None else self.codebook.index_select(0, values.int())


@dataclass(frozen=True)
class EllLayout:
    """All taps of an output see the same samples: samples ``(outputs, seen)``, values ``(outputs, taps, seen)``."""

    samples: Tensor
    values: Tensor

    @property
    def rows(self) -> int:
        """Taps of all outputs."""
        return self.values.shape[0] * self.values.shape[1]

    def chunks(self, size: int) -> Iterator[tuple[int, int, EmbeddingBagArgs]]:
        """Samples repeated for each tap."""
        _, taps, seen = self.values.shape
        for first, last in _spans(self.rows, _multiple(size, taps)):
            outputs = slice(first // taps, last // taps)
            samples = self.samples[outputs, None].expand(-1, taps, -1).reshape(-1)
            yield (
                first,
                last,
                EmbeddingBagArgs(samples, _even(last - first, seen, samples), self.values[outputs].reshape(-1)),
            )


@dataclass(frozen=True)
class EllTransposeLayout:
    """The transpose of patches whose outputs see each other: ``places`` says where among its samples one has me.

    Args:
        samples: ``(outputs, seen)``.
        places: ``(outputs, seen)``, uint8.
        values: those of the patches, ``(outputs, taps, seen)``.
        by_tap: the transpose of each tap, row ``n · taps + m`` for tap m of input n; else one row for each input, over
            columns ``n · taps + m``.
    """

    samples: Tensor
    places: Tensor
    values: Tensor
    by_tap: int

    @property
    def rows(self) -> int:
        """Taps of all outputs of the transpose."""
        return self.values.shape[0] * (self.values.shape[1] if self.by_tap else 1)

    def chunks(self, size: int) -> Iterator[tuple[int, int, EmbeddingBagArgs]]:
        """Values looked up where the others keep them."""
        _, taps, seen = self.values.shape
        bags = taps if self.by_tap else 1
        tap = torch.arange(taps, device=self.samples.device, dtype=torch.int32)[:, None]
        for first, last in _spans(self.rows, _multiple(size, bags)):
            inputs = slice(first // bags, last // bags)
            rows = self.samples[inputs, None] * taps + tap  # (inputs, taps, seen)
            weights = self.values.reshape(-1).index_select(0, (rows * seen + self.places[inputs, None]).reshape(-1))
            samples = (self.samples[inputs, None].expand_as(rows) if self.by_tap else rows).reshape(-1)
            yield first, last, EmbeddingBagArgs(samples, _even(last - first, seen * taps // bags, samples), weights)


@dataclass(frozen=True)
class PeriodicLayout:
    """Rows of a grid that repeat, turned: the taps of the first outputs of each row of the grid, say those of all.

    Args:
        starts: ``(grid rows, first rows)``, counted from the beginning of each grid row.
        lines: row of the input's grid that each entry lies in, times its width, ``(grid rows, entries)``; a grid row
            with fewer entries repeats its last with weight 0.
        columns: its column, ``(grid rows, entries)``.
        values: its weight, ``(grid rows, entries)``.
        turns: how often the row repeats.
        step: columns of the input from one turn to the next.
    """

    starts: Tensor
    lines: Tensor
    columns: Tensor
    values: Tensor
    turns: int
    step: int

    @property
    def rows(self) -> int:
        """Taps of all outputs."""
        return self.starts.numel() * self.turns

    def chunks(self, size: int) -> Iterator[tuple[int, int, EmbeddingBagArgs]]:
        """Whole rows of the grid, their entries turned."""
        lines, own = self.starts.shape
        turn = torch.arange(self.turns, device=self.starts.device, dtype=torch.int32)[:, None]
        for first, last in _spans(lines, max(size // (own * self.turns), 1)):
            entries = self.columns[first:last, None] + turn * self.step  # (lines, turns, entries)
            entries = entries.remainder_(self.turns * self.step).add_(self.lines[first:last, None]).reshape(-1)
            count = (last - first) * self.turns
            begin = _even(count, self.columns.shape[1], entries).view(-1, self.turns, 1)
            starts = (self.starts[first:last, None] + begin).reshape(-1)
            weights = self.values[first:last, None].expand(-1, self.turns, -1).reshape(-1)
            yield first * own * self.turns, last * own * self.turns, EmbeddingBagArgs(entries, starts, weights)


class Table(NamedTuple):
    """A layout as operators of torch take it: its name, its numbers, its tensors."""

    kind: str
    sizes: Sequence[int]
    tensors: Sequence[Tensor]

    @property
    def layout(self) -> Layout:
        """The layout itself."""
        return KINDS[self.kind](*self.tensors, *self.sizes)

    @property
    def no_gradients(self) -> list:
        """What a backward pass says of name, numbers and tensors; no numbers count as a list of tensors."""
        return [None, None if self.sizes else [], [None] * len(self.tensors)]


KINDS = {
    "picks": IndexLayout,
    "rows": CsrLayout,
    "patches": EllLayout,
    "reversed": EllTransposeLayout,
    "turns": PeriodicLayout,
}


def _spans(count: int, size: int) -> Iterator[tuple[int, int]]:
    for first in range(0, count, size):
        yield first, min(first + size, count)


def _multiple(size: int, taps: int) -> int:
    return max(size // taps, 1) * taps


def _even(count: int, length: int, like: Tensor) -> Tensor:
    """Where rows of one length begin."""
    return torch.arange(0, count * length, length, device=like.device, dtype=torch.int32)
