"""Max unpooling on any surface: values return to the positions of their maxima."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from omniconv.arithmetic import size_after
from omniconv.errors import InputError
from omniconv.nn.arguments import (
    Size,
    check_fixed_size,
    check_mesh_padding,
    check_on_surface,
    check_tensor,
    is_unit_stride,
    last_axes,
    parse_window,
    per_axis,
)
from omniconv.nn.jit_tracing import Traceable
from omniconv.nn.surface_tables.table_module import TableModule
from omniconv.surfaces import Border, Plane, Stencil, Surface


class MaxUnpool(Traceable, TableModule):
    """Inverse of max pooling: each value at the position of its maximum, zeros elsewhere.

    A sample that is the maximum of several overlapping windows gets the mean of their values; those are equal where the
    pooled signal was not changed. With tangent kernels a maximum is between samples; it goes to the nearest one.

    Args:
        kernel_size: as in the pooling; if that was dilated, the span of its windows.
        stride: as in the pooling.
        padding: as in the pooling, in numbers.
        surface: surface of the *pooled* signal.

    Shape:
        ``(batch, channels, *grid)`` and switches of the same shape to ``(batch, channels, *output_size)``; by default
        ``(size − 1) · stride − 2 · padding + kernel_size``; pass the pooling's input size if that was another.

    Raises:
        InputError: switches of another shape or dtype, or (checked on the CPU only) outside ``output_size``.

    Example:
        >>> from omniconv.nn import MaxPool
        >>> values, switches = MaxPool(2, return_switches=True)(torch.arange(4.).view(1, 1, 2, 2))
        >>> MaxUnpool(2)(values, switches).tolist()
        [[[[0.0, 0.0], [0.0, 3.0]]]]
    """

    def __init__(
        self,
        kernel_size: Size = 2,
        stride: Size | None = None,
        padding: Size = 0,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    ) -> None:
        super().__init__()
        self.kernel_size, self.padding, self.surface = kernel_size, padding, surface
        self.stride = kernel_size if stride is None else stride
        parse_window(surface, kernel_size, self.stride)  # raises for invalid arguments
        self.output_surface = surface if is_unit_stride(self.stride) else surface.finer()
        self.has_fixed_size = not self.output_surface.any_size
        neighbours = self.output_surface.window_neighbours(*parse_window(self.output_surface, kernel_size, self.stride))
        if isinstance(neighbours, Border):
            self.set_table("overlap", _overlap_on_grid, *self._window(neighbours.kernel_ndim)[:2], neighbours)
        else:
            check_mesh_padding(padding)
            self.set_table("overlap", _overlap_on_mesh, neighbours)

    def forward(self, x: Tensor, switches: Tensor, output_size: Size | None = None) -> Tensor:
        """Unpool ``(batch, channels, *grid)`` to ``output_size``."""
        check_on_surface(x, self.surface)
        size = self._output_size(x.shape[2:], output_size)
        _check_switches(x, switches)
        (overlap,) = self.table("overlap", x).plan
        scatter = _scatter_means if overlap else _scatter
        try:
            y = scatter(x.flatten(2), switches.flatten(2).long(), prod(size))
        except RuntimeError as error:
            _raise_if_outside(error, switches, size)
            raise
        return y.unflatten(2, size)

    def extra_repr(self) -> str:  # noqa: D102
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, surface={self.surface}"

    def _window(self, ndim: int) -> tuple[tuple[int, ...], ...]:
        padding = per_axis("padding", self.padding, ndim, least=0)
        return per_axis("kernel_size", self.kernel_size, ndim), per_axis("stride", self.stride, ndim), padding

    def _output_size(self, sizes: Sequence[int], output_size: Size | None) -> tuple[int, ...]:
        if self.has_fixed_size:
            return check_fixed_size(output_size, self.output_surface.shape)
        if output_size is not None:
            return last_axes(output_size, len(sizes))
        axes = zip(sizes, *self._window(len(sizes)), strict=True)
        return tuple(size_after(size, k, s, p, transposed=True) for size, k, s, p in axes)


def _overlap_on_mesh(neighbours: Stencil) -> tuple[list[int], list[Tensor]]:
    """Return whether two windows may have the same maximum."""
    return [int(neighbours.nnz > neighbours.inputs)], []


def _overlap_on_grid(
    kernel: tuple[int, ...], stride: tuple[int, ...], border: Border
) -> tuple[list[int], list[Tensor]]:
    repeats = any(sides != ("zeros", "zeros") for sides in border.modes)
    return [int(repeats or any(taps > step for taps, step in zip(kernel, stride, strict=True)))], []


def _check_switches(x: Tensor, switches: Tensor) -> None:
    check_tensor(switches, "switches")
    cure = "pass those that the pooling returned"
    if switches.shape != x.shape:
        raise InputError("switches", tuple(switches.shape), f"must have the input's shape {tuple(x.shape)}", cure)
    if switches.is_floating_point() or switches.is_complex() or switches.dtype == torch.bool:
        raise InputError("switches", switches.dtype, "must have an integer dtype", cure)


def _scatter(values: Tensor, indices: Tensor, samples: int) -> Tensor:
    """Scatter by ``max_unpool2d``, which is faster than ``scatter``; exporters know the latter only."""
    if torch.compiler.is_compiling():
        return values.new_zeros(*values.shape[:2], samples).scatter(2, indices, values)
    return torch.ops.aten.max_unpool2d(values[:, :, None], indices[:, :, None], (1, samples)).squeeze(2)


def _scatter_means(values: Tensor, indices: Tensor, samples: int) -> Tensor:
    """Scatter the mean of the values of each index, in float32 at least: equal halves then have an exact mean."""
    precise = values.to(torch.promote_types(values.dtype, torch.float32))
    empty = precise.new_zeros(*values.shape[:2], samples)
    return empty.scatter_reduce(2, indices, precise, "mean", include_self=False).to(values.dtype)


def _raise_if_outside(error: RuntimeError, switches: Tensor, size: Sequence[int]) -> None:
    if "out of bounds" in str(error) or "invalid max index" in str(error):
        received, rule = f"{switches.min()} to {switches.max()}", f"must be inside output_size={tuple(size)}"
        raise InputError("switches", received, rule, "pass the size of the pooling's input") from error
