"""Parsing of layer arguments, once when a layer is built, and the checks of its input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from numbers import Integral
from typing import Any, NamedTuple

import torch
from torch import SymInt, Tensor

from omniconv.arithmetic import PADDING_NAMES, PaddingRule, padding_amounts, span
from omniconv.checks import MAX_ELEMENTS, integer_rule, is_integer, to_builtin
from omniconv.errors import InputError
from omniconv.nn.symbolic import is_symbolic, statically_true
from omniconv.surfaces import Surface
from omniconv.surfaces.neighbours.border import Border

Size = int | Sequence[int]
Padding = int | str | Sequence[int | tuple[int, int]]


def per_axis(name: str, value: Size, ndim: int, least: int = 1) -> tuple[int, ...]:
    """Return one integer from ``least`` for each axis, given one for all axes or one for each."""
    value = to_builtin(value)
    values: tuple[Any, ...] = value if isinstance(value, tuple) else (value,) * ndim
    if len(values) != ndim or not all(_is_size(number, least) for number in values):
        raise InputError(name, value, f"{integer_rule(values, least)}, or {ndim} of them", "give one for each axis")
    return values


def last_axes(output_size: Size, ndim: int) -> tuple[int, ...]:
    """Return the grid of an ``output_size``, which may be a full shape with batch and channels, as in torch."""
    numbers = to_builtin(output_size)
    is_shape = isinstance(numbers, tuple) and ndim < len(numbers) <= ndim + 2
    return per_axis("output_size", numbers[-ndim:] if is_shape else numbers, ndim)


def parse_window(surface: Surface, *values: Size) -> tuple[Any, ...]:
    """Return kernel size, stride and dilation as surfaces take them: one number if it is the same for all axes."""
    check_surface(surface)
    parsed = []
    for name, value in zip(("kernel_size", "stride", "dilation"), values, strict=False):
        numbers = per_axis(name, value, surface.kernel_ndim)
        parsed.append(numbers[0] if len(set(numbers)) == 1 else numbers)
    return tuple(parsed)


class AxisWindow(NamedTuple):
    """Window of a convolution or pooling along one axis."""

    padding: PaddingRule
    kernel_size: int
    stride: int
    dilation: int

    @property
    def span(self) -> int:
        """Number of samples from the first tap to the last."""
        return span(self.kernel_size, self.dilation)

    @property
    def symmetric_padding(self) -> int | None:
        """Amount at both ends if it is the same for every input size, else ``None``."""
        if self.padding in ("same_upper", "same_lower") and self.stride > 1:
            return None
        before, after = padding_amounts(self.padding, self.span, *self[1:])
        return before if before == after else None

    def amounts(self, size: int) -> tuple[int, int]:
        """Return the padding before and after an axis of ``size`` samples."""
        if self.padding == "same_upper" and self.stride > 1 and self.span == 2 and is_symbolic(size):
            return 0, 1  # right for every size: where it is one too many, no window reaches it
        return padding_amounts(self.padding, size, *self[1:])


class GridWindow:
    """Window of a convolution or pooling on every axis of a grid.

    Args:
        padding: a number, one per axis, one ``(before, after)`` pair per axis, or a name (``omniconv.arithmetic``).
        kernel_size: taps of each axis.
        stride: step of each axis.
        dilation: step between taps of each axis.
        leading_axes: number of axes before these that the kernel does not extend along, such as the faces of a cube;
            they get one tap and no padding.

    Raises:
        InputError: an unknown name, a negative amount or a wrong number of axes.
    """

    def __init__(
        self,
        padding: Padding,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        dilation: tuple[int, ...],
        leading_axes: int = 0,
    ) -> None:
        rules, ones = _padding_by_axis(padding, len(kernel_size)), (1,) * leading_axes
        self.padding = rules[0] if isinstance(rules[0], str) else rules
        self.kernel_size, self.stride, self.dilation = ones + kernel_size, ones + stride, ones + dilation
        axes = zip((0,) * leading_axes + rules, self.kernel_size, self.stride, self.dilation, strict=True)
        self.axes = [AxisWindow(*axis) for axis in axes]

    @classmethod
    def parse(cls, border: Border, kernel_size: Size, stride: Size, padding: Padding, dilation: Size) -> GridWindow:
        """Return the window on a grid with this border for arguments as the user gave them."""
        named = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation}
        kernel, steps, dilations = (per_axis(name, value, border.kernel_ndim) for name, value in named.items())
        return cls(padding, kernel, steps, dilations, leading_axes=border.ndim - border.kernel_ndim)

    def amounts(self, sizes: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """Return ``(before, after)`` of each axis for an input of these sizes."""
        return tuple(axis.amounts(size) for axis, size in zip(self.axes, sizes, strict=True))


def _padding_by_axis(padding: Padding, ndim: int) -> tuple[PaddingRule, ...]:
    padding = to_builtin(padding)
    if isinstance(padding, str):
        if padding not in PADDING_NAMES:
            padding_amounts(padding, 1, 1)  # raises the error that lists the names
        return (padding,) * ndim
    if isinstance(padding, int):
        return per_axis("padding", padding, ndim, least=0)
    axes = padding if isinstance(padding, tuple) else ()
    sides = [(axis, axis) if isinstance(axis, int) else axis for axis in axes]
    if len(axes) != ndim or not all(map(is_side_pair, sides)):
        rule = f"must have {ndim} numbers or (before, after) pairs from 0, one for each axis"
        raise InputError("padding", padding, rule, "give one for each axis")
    return axes


def is_side_pair(sides: object) -> bool:
    """Return True for a pair ``(before, after)`` of integers from 0."""
    return isinstance(sides, tuple) and len(sides) == 2 and all(is_integer(amount, 0) for amount in sides)


def is_grid(surface: Surface) -> bool:
    """Return True if neighbours are index shifts on a grid, so that kernels have any size."""
    return isinstance(surface.conv_neighbours(), Border)


def is_unit_stride(stride: Size) -> bool:
    """Return True if the stride is 1 on every axis."""
    return stride == 1 or (not isinstance(stride, int) and set(stride) == {1})


def fitting_rate(surface: Surface, rate: int) -> int:
    """Return the dilation of a kernel of 3, halved until the surface has a convolution with it."""
    while rate > 1 and not _has_conv(surface, 3, 1, rate):
        rate //= 2
    return rate


def fitting_kernel(surface: Surface, kernel_size: int, stride: int = 1) -> int:
    """Return the size of a kernel, or 3 where the surface has no convolution of that size."""
    return kernel_size if _has_conv(surface, kernel_size, stride, 1) else 3


def has_pool(surface: Surface, kernel_size: int) -> bool:
    """Return True if the surface has a max pooling of this size at stride 2."""
    return _is_supported(surface.window_neighbours, kernel_size, 2)


def _has_conv(surface: Surface, kernel_size: int, stride: int, dilation: int) -> bool:
    return _is_supported(surface.conv_neighbours, kernel_size, stride, dilation)


def _is_supported(neighbours: Callable[..., Any], *window: int) -> bool:
    try:
        neighbours(*window)
    except InputError:
        return False
    return True


def check_surface(surface: Surface) -> None:
    """Check that ``surface`` is a ``Surface`` and not, for example, its name."""
    if not isinstance(surface, Surface):
        raise InputError("surface", surface, "must be a surface", "use oc.Plane() or oc.surface('icosphere:5')")


def check_weight(shape: Sequence[int]) -> None:
    """Check that a weight of this shape has at most ``MAX_ELEMENTS`` elements."""
    if prod(shape) > MAX_ELEMENTS:
        rule = f"must have at most {MAX_ELEMENTS} elements"
        raise InputError("weight", tuple(shape), rule, "use fewer channels or a smaller kernel")


def check_factory(device: Any, dtype: Any) -> None:
    """Check the device and dtype of parameters; ``None`` is torch's default."""
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise InputError("dtype", dtype, "must be a floating-point dtype", "use torch.float32")
    try:
        torch.device("cpu" if device is None else device)
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise InputError("device", device, "must be a device of this machine", "use 'cpu'") from error


def check_mesh_padding(padding: Padding) -> None:
    """Check that the padding is ``"same"`` or 0, the only values on a closed mesh."""
    if isinstance(padding, bool) or not isinstance(padding, str | Integral) or padding not in ("same", 0):
        raise InputError("padding", padding, "must be 'same' on a mesh, which has no edge", "leave it out")


def check_fixed_size(output_size: Size | None, shape: Sequence[int | None]) -> tuple[int, ...]:
    """Return the shape of a surface of fixed size, after checking that ``output_size`` is not another one."""
    if output_size is not None and last_axes(output_size, len(shape)) != tuple(shape):
        raise InputError("output_size", output_size, f"must be {tuple(shape)} on this surface", "leave it out")
    return tuple(shape)  # type: ignore[arg-type]  # fixed: no size is None


def check_tensor(x: Tensor, name: str = "input") -> None:
    """Check that ``x`` is a tensor."""
    if not isinstance(x, Tensor):
        if isinstance(x, torch.fx.Proxy):
            rule = "is a proxy of torch.fx.symbolic_trace, which cannot trace omniconv's layers"
            raise InputError(name, type(x), rule, "use torch.export.export, or make them leaf modules of your tracer")
        raise InputError(name, type(x), "must be a tensor", "use torch.as_tensor")


def check_signal(x: Tensor, channels: int | None, ndim: int, dtype: torch.dtype | None = None) -> None:
    """Check that ``x`` is ``(batch, channels, *grid)`` of floats; only the batch may be empty.

    ``None`` for ``channels`` admits any. ``dtype`` is that of the layer's weights; it is not checked under autocast,
    which casts both.
    """
    check_tensor(x)
    if x.ndim != ndim + 2:
        axes = {1: "length or samples", 2: "height, width", 3: "depth, height, width"}[ndim]
        rule, cure = f"must have {ndim + 2} axes: (batch, channels, {axes})", "add or remove axes, such as unsqueeze(0)"
        raise InputError("input", tuple(x.shape), rule, cure)
    if not x.is_floating_point():
        raise InputError("input", x.dtype, "must have a floating-point dtype", "use x.float()")
    if dtype is not None and x.dtype != dtype and not torch.is_autocast_enabled(x.device.type):
        rule = f"must have the dtype of the weights ({_name(dtype)}), got {_name(x.dtype)}"
        raise InputError("input", x.dtype, rule, f"use x.to({dtype}) or layer.to({x.dtype})")
    if channels is not None and x.shape[1] != channels:
        rule = f"must have {channels} channels on axis 1"
        raise InputError("input", tuple(x.shape), rule, "check the layer before it")
    if statically_true(prod(x.shape[1:]) == 0):
        raise InputError("input", tuple(x.shape), "must have at least one sample", "check the size of the image")


def check_on_surface(
    x: Tensor, surface: Surface, channels: int | None = None, dtype: torch.dtype | None = None
) -> None:
    """Check that ``x`` is a signal on a surface, by the number of axes and samples; otherwise as ``check_signal``."""
    shape = surface.shape
    if isinstance(x, Tensor) and x.ndim != len(shape) + 2 and None not in shape and x.shape[-len(shape) :] != shape:
        raise _not_on(x, surface, "input")  # rather than to ask for other axes
    check_signal(x, channels, len(shape), dtype)
    check_grid(x, surface)
    if None in shape and not torch.compiler.is_compiling():
        surface.warn_about(x.shape[2:])


def check_grid(x: Tensor, surface: Surface, name: str = "input") -> None:
    """Check that the grid of ``x`` is that of a surface; surfaces of any size have every grid."""
    if None not in surface.shape and x.shape[2:] != surface.shape:
        raise _not_on(x, surface, name)


def _not_on(x: Tensor, surface: Surface, name: str) -> InputError:
    """Return the error for a signal of another surface."""
    grid = tuple(x.shape[2:])
    expected = ", ".join("any" if size is None else str(size) for size in surface.shape)
    rule = f"must be (batch, channels, {expected}), a signal on {surface}; its grid is {grid}"
    level = surface.level_of(grid)
    if level is not None:
        cure = f"build the layer on {level}, which has this grid, or resample the signal"
    else:
        cure = "map the image by surface.from_equirectangular, or build the layer on the surface of the signal"
    return InputError(name, tuple(x.shape), rule, cure)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _is_size(number: object, least: int) -> bool:
    return is_integer(number, least) or (isinstance(number, SymInt) and number >= least)
