"""The arguments of layers, parsed once when a layer is built; and the one check of what comes in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import SymInt, Tensor

from omniconv.arithmetic import PADDING_NAMES, padding_amounts, span
from omniconv.errors import InputError
from omniconv.nn.open_sizes import is_open
from omniconv.surfaces.border import Border

Size = int | Sequence[int]
Padding = int | str | Sequence[int | tuple[int, int]]


def plain(value: Any) -> Any:
    """NumPy's whole numbers as Python's, also within lists and tuples; everything else as it is."""
    if isinstance(value, np.integer):
        return int(value)
    return tuple(map(plain, value)) if isinstance(value, list | tuple) else value


def per_axis(name: str, value: Size, ndim: int, least: int = 1) -> tuple[int, ...]:
    """One whole number for each axis, from one for all or one each."""
    value = plain(value)
    values = (value,) * ndim if isinstance(value, int) else tuple(value) if isinstance(value, Sequence) else ()
    if len(values) != ndim or any(not isinstance(number, (int, SymInt)) or number < least for number in values):
        raise InputError(
            name, value, f"must be a whole number from {least}, or {ndim} of them", "give one for each axis"
        )
    return values


def check_channels(in_channels: int, out_channels: int, groups: int) -> None:
    """Both numbers of channels are positive and ``groups`` divides them."""
    for name, value in (("in_channels", in_channels), ("out_channels", out_channels), ("groups", groups)):
        if not isinstance(value, int) or value < 1:
            raise InputError(name, value, "must be a whole number from 1", "count the channels")
    if in_channels % groups or out_channels % groups:
        raise InputError(
            "groups",
            groups,
            f"must divide in_channels={in_channels} and out_channels={out_channels}",
            "use groups=1 or another number of channels",
        )


def check_signal(x: Tensor, channels: int | None, ndim: int, shape: Sequence[int | None] = ()) -> None:
    """``x`` is ``(batch, channels, *grid)`` with ``ndim`` grid axes, of the sizes in ``shape`` that are no ``None``."""
    if x.ndim != ndim + 2:
        axes = {1: "length or samples", 2: "height, width", 3: "depth, height, width"}[ndim]
        raise InputError(
            "input",
            tuple(x.shape),
            f"must have {ndim + 2} axes: (batch, channels, {axes})",
            "add or remove axes, for example with unsqueeze(0)",
        )
    if not x.is_floating_point():
        raise InputError("input", x.dtype, "must be of a floating-point kind", "use x.float()")
    if channels is not None and x.shape[1] != channels:
        raise InputError(
            "input", tuple(x.shape), f"must have {channels} channels on axis 1", "check the layer before it"
        )
    for axis, samples in enumerate(shape, start=2):
        if samples is not None and x.shape[axis] != samples:
            raise InputError(
                "input",
                tuple(x.shape),
                f"must have {samples} samples on axis {axis}, as its surface has",
                "map the image with surface.from_equirectangular, or build the layer on another level",
            )


def window_on(
    border: Border, kernel_size: Size, stride: Size, padding: Padding, dilation: Size
) -> tuple[tuple[int, ...], tuple[int, ...], GridPadding, tuple[int, ...]]:
    """Kernel size, stride, padding and dilation of every grid axis, from arguments as they were given.

    Axes that a kernel does not extend along, such as the faces of a cube, come first: one tap, no padding.
    """
    ndim = border.kernel_ndim
    named = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation}
    kernel, step, spread = (per_axis(name, value, ndim) for name, value in named.items())
    rules = GridPadding(padding, kernel, step, spread)
    alone = (1,) * (border.ndim - ndim)
    rules.rules = ((0, 1, 1, 1),) * len(alone) + rules.rules
    return alone + kernel, alone + step, rules, alone + spread


class GridPadding:
    """Padding of every axis of a grid, parsed: fixed amounts where they do not depend on the size of the input.

    Args:
        padding: a number, one an axis, one ``(before, after)`` pair an axis, or a name (``omniconv.arithmetic``).
        kernel_size: taps of each axis.
        stride: step of each axis.
        dilation: step between taps of each axis.

    Raises:
        InputError: an unknown name, a negative amount or a wrong number of axes.
    """

    def __init__(
        self, padding: Padding, kernel_size: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
    ) -> None:
        self.rules = tuple(zip(_by_axis(padding, len(kernel_size)), kernel_size, stride, dilation, strict=True))

    def amounts(self, sizes: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """``(before, after)`` of each axis for an input of these sizes."""
        return tuple(_amounts(size, *rule) for size, rule in zip(sizes, self.rules, strict=True))

    @property
    def described(self) -> str | tuple[int | str | tuple[int, int], ...]:
        """What the user said: the name, or what each axis gets."""
        axes = tuple(rule for rule, *_ in self.rules)
        return axes[0] if isinstance(axes[0], str) else axes

    def symmetric(self, axis: int) -> int | None:
        """The amount on both sides of an axis where it is the same for every size, else ``None``."""
        rule, kernel, stride, dilation = self.rules[axis]
        if rule in ("same_upper", "same_lower") and stride > 1:
            return None
        before, after = padding_amounts(rule, span(kernel, dilation), kernel, stride, dilation)
        return before if before == after else None


def _amounts(size: int, rule: int | str | tuple[int, int], kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    if rule == "same_upper" and stride > 1 and is_open(size) and span(kernel, dilation) == 2:
        return 0, 1  # what sizes that need none get too many is in no window
    return padding_amounts(rule, size, kernel, stride, dilation)


def _by_axis(padding: Padding, ndim: int) -> tuple[int | str | tuple[int, int], ...]:
    padding = plain(padding)
    if isinstance(padding, str):
        if padding not in PADDING_NAMES:
            padding_amounts(padding, 1, 1)  # raises the one error that names them all
        return (padding,) * ndim
    if isinstance(padding, int):
        return per_axis("padding", padding, ndim, least=0)
    axes = tuple(padding) if isinstance(padding, Sequence) else ()
    sides = [(axis, axis) if isinstance(axis, int) else axis for axis in axes]
    if len(axes) != ndim or not all(map(_is_pair, sides)):
        raise InputError(
            "padding",
            padding,
            f"must have {ndim} numbers or (before, after) pairs from 0, one for each axis",
            "count the axes",
        )
    return tuple(axis if isinstance(axis, int) else tuple(axis) for axis in axes)  # type: ignore[misc]  # pairs


def _is_pair(sides: object) -> bool:
    """Whether it is ``(before, after)``, two whole numbers from 0."""
    is_two = isinstance(sides, Sequence) and len(sides) == 2
    return is_two and all(isinstance(amount, int) and amount >= 0 for amount in sides)  # type: ignore[attr-defined]
