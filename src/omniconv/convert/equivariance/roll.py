"""How tensors of any layout move when the panorama that they were made of is turned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations

import torch
from torch import Tensor

Grid = tuple[int, int]
Move = tuple[tuple[int, Grid | None], ...]
"""Axes that are rolled, from the last; those of whole grids in one row have their height and width beside them."""
STILL: Move = ()
TOKENS = 8
"""As many may stand before those of a grid: of a class, of registers."""


@dataclass
class Turning:
    """A turn of a panorama of ``width`` columns by ``turn`` of them; batches hold pictures, then the turned ones.

    Attributes:
        turn: columns.
        width: columns of the panorama.
        batch: pictures before the turned ones.
        tolerance: largest difference, relative to the largest number, that counts as rounding.
        grids: heights and widths of pictures seen so far.
    """

    turn: int
    width: int
    batch: int
    tolerance: float
    grids: set[Grid] = field(default_factory=set)

    def fits(self, x: Tensor) -> bool:
        """Whether a tensor holds pictures and turned pictures."""
        return x.is_floating_point() and x.ndim > 0 and x.shape[0] == 2 * self.batch

    def move_of(self, x: Tensor, guesses: Iterable[Move]) -> Move | None:
        """How the turned half follows from the other, or ``None``."""
        for move in dict.fromkeys([*guesses, *self._moves(x)]):
            if self._explains(x, move):
                if x.ndim == 4 and len(move) == 1 and move[0][1] is None and move[0][0] in (-1, -2):
                    last = move[0][0]
                    self.grids.add((x.shape[last - 1], x.shape[last]))
                return move
        return None

    def healed(self, x: Tensor, move: Move) -> Tensor:
        """The tensor with the half that should be there."""
        plain = x[: self.batch]
        return torch.cat([plain, self._moved(plain, move)])

    def likely(self, x: Tensor, guesses: Iterable[Move]) -> Move | None:
        """How the turned half should follow from the other; ``None`` where its size leaves no way."""
        moves = (move for move in [*guesses, ((-1, None),)] if move and self._allowed(x, move))
        return next(moves, None) if x.ndim > 2 else STILL

    def _moves(self, x: Tensor) -> Iterator[Move]:
        """Every way that a tensor of its shape may move."""
        yield STILL
        axes = range(-1, -x.ndim, -1)
        single: list[tuple[int, Grid | None]] = [(axis, None) for axis in axes if self._steps(x.shape[axis])]
        for axis in axes:
            single += [(axis, grid) for grid in self.grids if _before(x.shape[axis], grid) in range(TOKENS + 1)]
        yield from ((step,) for step in single)
        yield from combinations(single, 2)  # attention has one axis for each of two pictures

    def _allowed(self, x: Tensor, move: Move) -> bool:
        for axis, grid in move:
            if -axis >= x.ndim or not self._steps(grid[1] if grid else x.shape[axis]):
                return False
            if grid and _before(x.shape[axis], grid) not in range(TOKENS + 1):
                return False
        return True

    def _steps(self, size: int) -> int:
        """Samples that an axis of this size turns by; 0 where it cannot."""
        return 0 if size * self.turn % self.width else size * self.turn // self.width

    def _explains(self, x: Tensor, move: Move) -> bool:
        if not self._allowed(x, move):
            return False
        plain, turned = x[: self.batch], x[self.batch :]
        difference = (self._moved(plain, move) - turned).abs().nan_to_num(0)  # an infinity less itself
        size = plain.abs().nan_to_num(0, posinf=0)
        return bool(difference.numel() == 0 or difference.max() <= self.tolerance * size.max())

    def _moved(self, x: Tensor, move: Move) -> Tensor:
        for axis, grid in move:
            if grid is None:
                x = x.roll(self._steps(x.shape[axis]), axis)
            else:
                first, tokens = x.split([_before(x.shape[axis], grid), grid[0] * grid[1]], axis)
                tokens = tokens.unflatten(axis, grid).roll(self._steps(grid[1]), axis).flatten(axis - 1, axis)
                x = torch.cat([first, tokens], axis)
        return x


def _before(samples: int, grid: Grid) -> int:
    """Tokens before those of a grid; negative where there is no room for it."""
    return samples - grid[0] * grid[1]
