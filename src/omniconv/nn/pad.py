"""Padding layer."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from omniconv.checks import to_builtin
from omniconv.errors import InputError
from omniconv.nn.arguments import check_tensor, is_side_pair
from omniconv.nn.grid.padding import pad
from omniconv.nn.jit_tracing import Traceable
from omniconv.surfaces.neighbours.border import Border, PaddingMode


class Pad(Traceable, nn.Module):
    """Padding of a grid signal with every border mode.

    Args:
        padding: samples on every side of every axis (a number), or a number or ``(before, after)`` pair for each axis,
            first axis first.
        mode: ``zeros``, ``reflect``, ``replicate`` or ``circular``; one for all, one per axis, or a pair per axis.
        value: constant that ``zeros`` pads with; must be representable in the input's dtype.

    Shape:
        ``(batch, channels, *grid)`` to the padded grid, of any dtype.

    Raises:
        InputError: a negative or fractional amount, modes for another number of axes, a reflection longer than its
            axis, a value that the input's dtype cannot represent.

    Example:
        >>> import torch
        >>> Pad([(2, 1)], "circular")(torch.tensor([[[1.0, 2.0, 3.0]]])).flatten().tolist()
        [2.0, 3.0, 1.0, 2.0, 3.0, 1.0]
    """

    def __init__(
        self, padding: int | Sequence[int | tuple[int, int]], mode: PaddingMode = "zeros", value: float = 0.0
    ) -> None:
        super().__init__()
        amounts = to_builtin(padding)
        self.amounts = tuple(map(_parse_sides, amounts)) if isinstance(amounts, tuple) else None
        self.all_sides = (0, 0) if self.amounts is not None else _parse_sides(amounts)
        self.mode, self.value = mode, value
        self.borders = {ndim: Border.of(mode, ndim, value) for ndim in self._possible_ndims(mode)}
        self.is_constant = any("zeros" in sides for border in self.borders.values() for sides in border.modes)

    def forward(self, x: Tensor) -> Tensor:
        """Pad ``(batch, channels, *grid)``."""
        check_tensor(x)
        ndim = x.ndim - 2
        if ndim not in self.borders:
            axes = " or ".join(map(str, self.borders))
            raise InputError("input", tuple(x.shape), f"must have {axes} grid axes", "pass the padding of every axis")
        if self.is_constant and self.value and not _holds(x.dtype, self.value):
            raise InputError("value", self.value, f"must be a number that {x.dtype} can represent", "use x.float()")
        return pad(x, self.amounts or (self.all_sides,) * ndim, self.borders[ndim])

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.amounts or self.all_sides}, mode={self.mode!r}"

    def _possible_ndims(self, mode: PaddingMode) -> Sequence[int]:
        if self.amounts is not None:
            return [len(self.amounts)]
        return [1, 2, 3] if isinstance(mode, str) or not isinstance(mode, Sequence) else [len(mode)]


def _parse_sides(amount: Any) -> tuple[int, int]:
    sides = (amount, amount) if isinstance(amount, int) else amount
    if not is_side_pair(sides):
        raise InputError("padding", amount, "must be a whole number from 0 or a (before, after) pair", "use padding=1")
    return sides


def _holds(dtype: torch.dtype, value: float) -> bool:
    """Return True if the dtype can represent the value, up to rounding."""
    if dtype == torch.bool:
        return value in (0, 1)
    if not (dtype.is_floating_point or dtype.is_complex):
        limits = torch.iinfo(dtype)
        return limits.min <= value <= limits.max and value == int(value)
    return not isfinite(value) or abs(value) <= torch.finfo(dtype).max
