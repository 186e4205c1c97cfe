"""The arguments of layers, parsed once when a layer is built; and the one check of what comes in."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from numbers import Integral
from typing import Any

import torch
from torch import SymInt, Tensor

from omniconv.arithmetic import PADDING_NAMES, padding_amounts, span
from omniconv.checks import MAX_ELEMENTS, integer_rule, is_integer, to_builtin
from omniconv.errors import InputError
from omniconv.nn.symbolic import is_symbolic, statically_true
from omniconv.surfaces import Surface
from omniconv.surfaces.neighbours.border import Border

Size = int | Sequence[int]
Padding = int | str | Sequence[int | tuple[int, int]]


def per_axis(name: str, value: Size, ndim: int, least: int = 1) -> tuple[int, ...]:
    """One whole number for each axis, from one for all or one each."""
    value = to_builtin(value)
    values: tuple[Any, ...] = value if isinstance(value, tuple) else (value,) * ndim
    if len(values) != ndim or not all(_is_size(number, least) for number in values):
        raise InputError(name, value, f"{integer_rule(values, least)}, or {ndim} of them", "give one for each axis")
    return values


def last_axes(output_size: Size, ndim: int) -> tuple[int, ...]:
    """The grid of an ``output_size``: all of it, or the end of a whole shape, as in torch."""
    numbers = to_builtin(output_size)
    is_shape = isinstance(numbers, tuple) and ndim < len(numbers) <= ndim + 2
    return per_axis("output_size", numbers[-ndim:] if is_shape else numbers, ndim)


def check_surface(surface: Surface) -> None:
    """It is a surface, not the name of one."""
    if not isinstance(surface, Surface):
        raise InputError("surface", surface, "must be a surface", "use oc.Plane() or oc.surface('icosphere:5')")


def check_weight(shape: Sequence[int]) -> None:
    """A weight of this shape is not larger than any memory."""
    if prod(shape) > MAX_ELEMENTS:
        raise InputError(
            "weight",
            tuple(shape),
            f"must have at most {MAX_ELEMENTS} numbers",
            "use fewer channels or a smaller kernel",
        )


def check_factory(device: Any, dtype: Any) -> None:
    """Where and of which kind parameters are to be made: what torch knows; ``None`` is its default."""
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise InputError("dtype", dtype, "must be a floating-point dtype", "use torch.float32")
    try:
        torch.device("cpu" if device is None else device)
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise InputError("device", device, "must be a device of this machine", "use 'cpu'") from error


def check_tensor(x: Tensor, name: str = "input") -> None:
    """It is a tensor."""
    if not isinstance(x, Tensor):
        raise InputError(name, type(x), "must be a tensor", "use torch.as_tensor")


def check_signal(
    x: Tensor, channels: int | None, ndim: int, shape: Sequence[int | None] = (), dtype: torch.dtype | None = None
) -> None:
    """``x`` is ``(batch, channels, *grid)`` with ``ndim`` grid axes, and none but the batch is empty.

    Args:
        x: what came in.
        channels: how many it must have; ``None`` where any number goes.
        ndim: number of grid axes.
        shape: sizes of the grid; ``None`` in it where any goes.
        dtype: of the weights that it meets; not checked under autocast, which casts both.
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
        raise InputError("input", x.dtype, "must have a floating-point dtype", "use x.float()")
    if dtype is not None and x.dtype != dtype and not torch.is_autocast_enabled(x.device.type):
        rule = f"must have the dtype of the weights ({_name(dtype)}), got {_name(x.dtype)}"
        raise InputError("input", x.dtype, rule, f"use x.to({dtype}) or layer.to({x.dtype})")
    if channels is not None and x.shape[1] != channels:
        raise InputError(
            "input", tuple(x.shape), f"must have {channels} channels on axis 1", "check the layer before it"
        )
    if statically_true(prod(x.shape[1:]) == 0):
        raise InputError("input", tuple(x.shape), "must have at least one sample", "check the size of the image")
    for axis, samples in enumerate(shape, start=2):
        if samples is not None and x.shape[axis] != samples:
            raise InputError(
                "input",
                tuple(x.shape),
                f"must have {samples} samples on axis {axis}, as its surface has",
                "map the image with surface.from_equirectangular, or build the layer on another level",
            )


def parse_grid_window(
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
    if rule == "same_upper" and stride > 1 and is_symbolic(size) and span(kernel, dilation) == 2:
        return 0, 1  # what sizes that need none get too many is in no window
    return padding_amounts(rule, size, kernel, stride, dilation)


def _by_axis(padding: Padding, ndim: int) -> tuple[int | str | tuple[int, int], ...]:
    padding = to_builtin(padding)
    if isinstance(padding, str):
        if padding not in PADDING_NAMES:
            padding_amounts(padding, 1, 1)  # raises the one error that names them all
        return (padding,) * ndim
    if isinstance(padding, int):
        return per_axis("padding", padding, ndim, least=0)
    axes = padding if isinstance(padding, tuple) else ()
    sides = [(axis, axis) if isinstance(axis, int) else axis for axis in axes]
    if len(axes) != ndim or not all(map(is_side_pair, sides)):
        raise InputError(
            "padding",
            padding,
            f"must have {ndim} numbers or (before, after) pairs from 0, one for each axis",
            "count the axes",
        )
    return axes


def is_side_pair(sides: object) -> bool:
    """Whether it is ``(before, after)``, two whole numbers from 0."""
    return isinstance(sides, tuple) and len(sides) == 2 and all(is_integer(amount, 0) for amount in sides)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _is_size(number: object, least: int) -> bool:
    """Whether it is a whole number, or one that an export leaves open."""
    return is_integer(number, least) or (isinstance(number, SymInt) and number >= least)


def check_fixed_size(output_size: Size | None, shape: Sequence[int | None]) -> tuple[int, ...]:
    """The one size that a surface of fixed size has."""
    if output_size is not None and last_axes(output_size, len(shape)) != tuple(shape):
        raise InputError("output_size", output_size, f"must be {tuple(shape)} on this surface", "leave it out")
    return tuple(shape)  # type: ignore[arg-type]  # no size is open


def parse_window(surface: Surface, *values: Size) -> tuple[Any, ...]:
    """Kernel size, stride and dilation, each as one number where all axes have the same, else one for each axis.

    Grids do not look at them: their neighbours are index shifts whatever the kernel.
    """
    check_surface(surface)
    firsts = []
    for name, value in zip(("kernel_size", "stride", "dilation"), values, strict=False):
        numbers = per_axis(name, value, surface.kernel_ndim)
        firsts.append(numbers[0] if len(set(numbers)) == 1 else numbers)
    return tuple(firsts)


def is_grid(surface: Surface) -> bool:
    """Whether neighbours are index shifts on a grid, so that kernels have any size."""
    return isinstance(surface.conv_neighbours(), Border)


def is_unit_stride(stride: Size) -> bool:
    """Whether every step is 1."""
    return stride == 1 or (not isinstance(stride, int) and set(stride) == {1})


def check_mesh_padding(padding: Padding) -> None:
    """A closed mesh has no edge to pad."""
    if isinstance(padding, bool) or not isinstance(padding, str | Integral) or padding not in ("same", 0):
        raise InputError("padding", padding, "must be 'same' on a mesh: it has no edge", "leave it out")
