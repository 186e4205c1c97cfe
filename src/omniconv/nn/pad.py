"""Padding as a layer of its own."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from omniconv.errors import InputError
from omniconv.nn.padding import pad
from omniconv.surfaces.border import Border
from omniconv.surfaces.modes import PaddingMode


class Pad(nn.Module):
    """More samples around a grid.

    Args:
        padding: samples on every side of every axis (a number), or one number or ``(before, after)`` pair for each
            axis, the first axis first.
        mode: ``zeros``, ``reflect``, ``replicate`` or ``circular``; one for all, one an axis, or a pair an axis.
        value: what ``zeros`` pads with.

    Shape:
        ``(batch, channels, *grid)`` to the padded grid.

    Raises:
        InputError: a negative or fractional amount, modes for other axes, a reflection longer than its axis.

    Example:
        >>> import torch
        >>> Pad([(2, 1)], "circular")(torch.tensor([[[1.0, 2.0, 3.0]]])).flatten().tolist()
        [2.0, 3.0, 1.0, 2.0, 3.0, 1.0]
    """

    def __init__(
        self, padding: int | Sequence[int | tuple[int, int]], mode: PaddingMode = "zeros", value: float = 0.0
    ) -> None:
        super().__init__()
        self.amounts = None if isinstance(padding, int) else tuple(map(_sides, padding))
        self.everywhere = _sides(padding if isinstance(padding, int) else 0)
        self.mode, self.value = mode, value
        known = [len(self.amounts)] if self.amounts is not None else [1, 2, 3] if isinstance(mode, str) else [len(mode)]
        self.borders = {ndim: Border.of(mode, ndim, value) for ndim in known}

    def forward(self, x: Tensor) -> Tensor:
        """Pad ``(batch, channels, *grid)``."""
        ndim = x.ndim - 2
        if ndim not in self.borders:
            axes = " or ".join(map(str, self.borders))
            raise InputError("input", tuple(x.shape), f"must have {axes} grid axes", "give the padding of every axis")
        return pad(x, self.amounts or (self.everywhere,) * ndim, self.borders[ndim])

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.amounts or self.everywhere}, mode={self.mode!r}"


def _sides(amount: object) -> tuple[int, int]:
    sides = (amount, amount) if isinstance(amount, int) else amount
    whole = isinstance(sides, Sequence) and len(sides) == 2 and all(isinstance(side, int) for side in sides)
    if not whole or min(sides) < 0:  # type: ignore[call-overload]
        raise InputError("padding", amount, "must be a whole number from 0 or a (before, after) pair", "correct it")
    return sides[0], sides[1]  # type: ignore[index]
