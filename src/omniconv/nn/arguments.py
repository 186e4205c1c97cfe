"""The arguments of layers, parsed once when a layer is built; and the one check of what comes in."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import SymInt, Tensor

from omniconv.arithmetic import PADDING_NAMES, padding_amounts, span
from omniconv.checks import LARGEST, is_whole, plain, whole_rule
from omniconv.errors import InputError
from omniconv.nn.symbolic import is_open, surely
from omniconv.surfaces import Surface
from omniconv.surfaces.neighbours.border import Border

Size = int | Sequence[int]
Padding = int | str | Sequence[int | tuple[int, int]]


def per_axis(name: str, value: Size, ndim: int, least: int = 1) -> tuple[int, ...]:
    """One whole number for each axis, from one for all or one each."""
    value = plain(value)
    values: tuple[Any, ...] = value if isinstance(value, tuple) else (value,) * ndim
    if len(values) != ndim or not all(_is_size(number, least) for number in values):
        raise InputError(name, value, f"{whole_rule(values, least)}, or {ndim} of them", "give one for each axis")
    return values


def last_axes(output_size: Size, ndim: int) -> tuple[int, ...]:
    """The grid of an ``output_size``: all of it, or the end of a whole shape, as in torch."""
    numbers = plain(output_size)
    is_shape = isinstance(numbers, tuple) and ndim < len(numbers) <= ndim + 2
    return per_axis("output_size", numbers[-ndim:] if is_shape else numbers, ndim)


def check_surface(surface: Surface) -> None:
    """It is a surface, not the name of one."""
    if not isinstance(surface, Surface):
        raise InputError("surface", surface, "must be a surface", "use oc.Plane() or oc.surface('icosphere:5')")


def check_weight(shape: Sequence[int]) -> None:
    """A weight of this shape is not larger than any memory."""
    if prod(shape) > LARGEST:
        raise InputError(
            "weight", tuple(shape), f"must have at most {LARGEST} numbers", "use fewer channels or a smaller kernel"
        )


def check_factory(device: Any, dtype: Any) -> None:
    """Where and of which kind parameters are to be made: what torch knows; ``None`` is its default."""
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise InputError("dtype", dtype, "must be a floating-point kind of torch", "use torch.float32")
    try:
        torch.device("cpu" if device is None else device)
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise InputError("device", device, "must be a device that is here", "use 'cpu'") from error


def check_tensor(x: Tensor, name: str = "input") -> None:
    """It is a tensor."""
    if not isinstance(x, Tensor):
        raise InputError(name, type(x), "must be a tensor", "use torch.as_tensor")


def check_signal(
    x: Tensor, channels: int | None, ndim: int, shape: Sequence[int | None] = (), kind: torch.dtype | None = None
) -> None:
    """``x`` is ``(batch, channels, *grid)`` with ``ndim`` grid axes, and none but the batch is empty.

    Args:
        x: what came in.
        channels: how many it must have; ``None`` where any number goes.
        ndim: number of grid axes.
        shape: sizes of the grid; ``None`` in it where any goes.
        kind: of the weights that it meets; autocast brings them together.
    """
    check_tensor(x)
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
    if kind is not None and x.dtype != kind and not torch.is_autocast_enabled(x.device.type):
        raise InputError(
            "input", x.dtype, f"must be of the kind of the weights, {kind}", f"use x.to({kind}) or layer.to({x.dtype})"
        )
    if channels is not None and x.shape[1] != channels:
        raise InputError(
            "input", tuple(x.shape), f"must have {channels} channels on axis 1", "check the layer before it"
        )
    if surely(prod(x.shape[1:]) == 0):
        raise InputError("input", tuple(x.shape), "must have at least one sample", "check the size of the image")
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
    axes = padding if isinstance(padding, tuple) else ()
    sides = [(axis, axis) if isinstance(axis, int) else axis for axis in axes]
    if len(axes) != ndim or not all(map(is_pair, sides)):
        raise InputError(
            "padding",
            padding,
            f"must have {ndim} numbers or (before, after) pairs from 0, one for each axis",
            "count the axes",
        )
    return axes


def is_pair(sides: object) -> bool:
    """Whether it is ``(before, after)``, two whole numbers from 0."""
    return isinstance(sides, tuple) and len(sides) == 2 and all(is_whole(amount, 0) for amount in sides)


def _is_size(number: object, least: int) -> bool:
    """Whether it is a whole number, or one that an export leaves open."""
    return is_whole(number, least) or (isinstance(number, SymInt) and number >= least)
