"""Detection of how a tensor of any layout follows a rolled panorama."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations

import torch
from torch import Tensor

Grid = tuple[int, int]
"""Height and width of an image."""
RollSpec = tuple[tuple[int, Grid | None], ...]
"""Rolled axes, as negative indices; an axis that holds a flattened image (tokens) is given with the image's grid."""
NO_ROLL: RollSpec = ()
MAX_EXTRA_TOKENS = 8
"""Limit of the tokens before those of an image: a class token, and a few register or distillation tokens."""


TOLERANCES = {torch.float64: 1e-7, torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""Differences relative to the largest value that count as rounding.

In float64, 17 converted networks of `make test-zoo` were equivariant to 2e-14, and the flat ones off by up to 1. Those
of 16-bit dtypes are about 20 machine epsilons: sums of many terms.
"""


def rounding_tolerance(dtype: torch.dtype) -> float:
    """Return the tolerance of a dtype."""
    return TOLERANCES.get(dtype, TOLERANCES[torch.float32])


@dataclass
class RollTest:
    """Comparison of the two halves of a batch: images, then the same images rolled by ``shift`` columns."""

    shift: int
    width: int  # columns of the panorama
    batch: int  # images in each half
    grids: set[Grid] = field(default_factory=set)  # of the images so far

    def has_both_halves(self, x: Tensor) -> bool:
        """Return whether the first axis can be that batch."""
        return x.is_floating_point() and x.ndim > 0 and x.shape[0] == 2 * self.batch

    def find_roll(self, x: Tensor, guesses: Iterable[RollSpec], tolerance: float = 0.0) -> RollSpec | None:
        """Return the roll that makes the second half from the first, ``None`` if there is none; try guesses first.

        ``tolerance`` is that of the narrowest dtype that ``x`` was computed in, if it is not its own.
        """
        tolerance = max(tolerance, rounding_tolerance(x.dtype))
        for spec in dict.fromkeys([*guesses, *self._candidates(x)]):
            if self._matches(x, spec, tolerance):
                if x.ndim == 4 and len(spec) == 1 and spec[0][1] is None and spec[0][0] in (-1, -2):
                    columns = spec[0][0]
                    self.grids.add((x.shape[columns - 1], x.shape[columns]))
                return spec
        return None

    def corrected(self, x: Tensor, spec: RollSpec) -> Tensor:
        """Return the tensor with its second half replaced by the rolled first half."""
        first = x[: self.batch]
        return torch.cat([first, self._rolled(first, spec)])

    def expected_roll(self, x: Tensor, guesses: Iterable[RollSpec]) -> RollSpec | None:
        """Return the roll that an equivariant operation would have given; ``None`` if no roll fits the shape."""
        specs = (spec for spec in [*guesses, ((-1, None),)] if spec and self._fits(x, spec))
        return next(specs, None) if x.ndim > 2 else NO_ROLL

    def _candidates(self, x: Tensor) -> Iterator[RollSpec]:
        """Yield every roll that the shape allows."""
        yield NO_ROLL
        axes = range(-1, -x.ndim, -1)
        single: list[tuple[int, Grid | None]] = [(axis, None) for axis in axes if self._steps(x.shape[axis])]
        for axis in axes:
            single += [(axis, grid) for grid in self.grids if self._has_tokens_of(x.shape[axis], grid)]
        yield from ((step,) for step in single)
        yield from combinations(single, 2)  # attention scores have an axis for the queries and one for the keys

    def _fits(self, x: Tensor, spec: RollSpec) -> bool:
        return all(
            -axis < x.ndim
            and bool(self._steps(grid[1] if grid else x.shape[axis]))
            and (grid is None or self._has_tokens_of(x.shape[axis], grid))
            for axis, grid in spec
        )

    def _has_tokens_of(self, samples: int, grid: Grid) -> bool:
        return 0 <= _extra_tokens(samples, grid) <= MAX_EXTRA_TOKENS

    def _steps(self, size: int) -> int:
        """Return the samples that an axis of this size is rolled by; 0 if it cannot be."""
        return 0 if size * self.shift % self.width else size * self.shift // self.width

    def _matches(self, x: Tensor, spec: RollSpec, tolerance: float) -> bool:
        if not self._fits(x, spec):
            return False
        first, second = x[: self.batch], x[self.batch :]
        difference = (self._rolled(first, spec) - second).abs().nan_to_num(0)  # inf - inf is nan (attention masks)
        largest = first.abs().nan_to_num(0, posinf=0)
        return bool(difference.numel() == 0 or difference.max() <= tolerance * largest.max())

    def _rolled(self, x: Tensor, spec: RollSpec) -> Tensor:
        for axis, grid in spec:
            if grid is None:
                x = x.roll(self._steps(x.shape[axis]), axis)
            else:
                extra, tokens = x.split([_extra_tokens(x.shape[axis], grid), grid[0] * grid[1]], axis)
                tokens = tokens.unflatten(axis, grid).roll(self._steps(grid[1]), axis).flatten(axis - 1, axis)
                x = torch.cat([extra, tokens], axis)
        return x


def _extra_tokens(samples: int, grid: Grid) -> int:
    """Return the number of tokens before those of a grid; negative if the axis is shorter than the grid."""
    return samples - grid[0] * grid[1]
