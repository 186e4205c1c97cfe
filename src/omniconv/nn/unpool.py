"""Max pooling undone on any surface: values back to where its switches say they were."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor, nn

from omniconv.arithmetic import size_after
from omniconv.errors import InputError
from omniconv.nn.arguments import (
    Size,
    check_fixed_size,
    check_mesh_padding,
    check_signal,
    check_tensor,
    is_unit_stride,
    last_axes,
    parse_window,
    per_axis,
)
from omniconv.nn.jit_tracing import Traceable
from omniconv.surfaces import Border, Plane, Surface


class MaxUnpool(Traceable, nn.Module):
    """Values put back to where max pooling took them, zeros elsewhere.

    Where overlapping windows took the same sample, it gets the mean of their values: unpooling what was pooled gives
    every maximum back as it was. With tangent kernels maxima lie between samples, and go to the nearest one.

    Args:
        kernel_size: as in the pooling; where that was dilated, what its windows span.
        stride: as in the pooling.
        padding: as in the pooling, in numbers.
        surface: where the *pooled* signal lies.

    Shape:
        ``(batch, channels, *grid)`` and switches of the same shape to ``(batch, channels, *output_size)``; by default
        ``(size − 1) · stride − 2 · padding + kernel_size``, give the pooling's input size where that was another.

    Raises:
        InputError: switches of another shape or kind, or (on the CPU, elsewhere it is torch that stops) that point
            outside ``output_size``.

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
        parse_window(surface, kernel_size, self.stride)  # says what is wrong with them
        self.output_surface = surface if is_unit_stride(self.stride) else surface.finer()
        self.has_fixed_size = not self.output_surface.any_size
        self.put: Callable[[Tensor, Tensor, int], Tensor] = _put_means if self._overlaps() else _put

    def forward(self, x: Tensor, switches: Tensor, output_size: Size | None = None) -> Tensor:
        """Put ``(batch, channels, *grid)`` back to ``output_size``."""
        check_signal(x, None, self.surface.ndim)
        size = self._size(x.shape[2:], output_size)
        _check_switches(x, switches)
        try:
            y = self.put(x.flatten(2), switches.flatten(2).long(), prod(size))
        except RuntimeError as error:
            _explain(error, switches, size)
            raise
        return y.unflatten(2, size)

    def extra_repr(self) -> str:  # noqa: D102
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, surface={self.surface}"

    def _overlaps(self) -> bool:
        """Whether two windows may have taken one sample."""
        finer = self.output_surface
        neighbours = finer.window_neighbours(*parse_window(finer, self.kernel_size, self.stride))
        if not isinstance(neighbours, Border):
            check_mesh_padding(self.padding)
            return neighbours.nnz > neighbours.inputs
        kernel, stride, _ = self._window(neighbours.kernel_ndim)
        if any(sides != ("zeros", "zeros") for sides in neighbours.modes):
            return True
        return any(taps > step for taps, step in zip(kernel, stride, strict=True))

    def _window(self, ndim: int) -> tuple[tuple[int, ...], ...]:
        padding = per_axis("padding", self.padding, ndim, least=0)
        return per_axis("kernel_size", self.kernel_size, ndim), per_axis("stride", self.stride, ndim), padding

    def _size(self, sizes: Sequence[int], wanted: Size | None) -> tuple[int, ...]:
        if self.has_fixed_size:
            return check_fixed_size(wanted, self.output_surface.shape)
        if wanted is not None:
            return last_axes(wanted, len(sizes))
        axes = zip(sizes, *self._window(len(sizes)), strict=True)
        return tuple(size_after(size, k, s, p, transposed=True) for size, k, s, p in axes)


def _check_switches(x: Tensor, switches: Tensor) -> None:
    check_tensor(switches, "switches")
    if switches.shape != x.shape:
        raise InputError("switches", tuple(switches.shape), f"must have the input's shape {tuple(x.shape)}",
                         "give the ones that its pooling returned")  # fmt: skip
    if switches.is_floating_point() or switches.is_complex() or switches.dtype == torch.bool:
        raise InputError("switches", switches.dtype, "must be whole numbers", "give the ones that the pooling returned")


def _put(values: Tensor, places: Tensor, samples: int) -> Tensor:
    """Each value to its place; torch has a faster way than a scatter, which exporters do not know."""
    if torch.compiler.is_compiling():
        return values.new_zeros(*values.shape[:2], samples).scatter(2, places, values)
    return torch.ops.aten.max_unpool2d(values[:, :, None], places[:, :, None], (1, samples)).squeeze(2)


def _put_means(values: Tensor, places: Tensor, samples: int) -> Tensor:
    """To each place the mean of its values, in single precision at least: the mean of equal halves is that half."""
    precise = values.to(torch.promote_types(values.dtype, torch.float32))
    empty = precise.new_zeros(*values.shape[:2], samples)
    return empty.scatter_reduce(2, places, precise, "mean", include_self=False).to(values.dtype)


def _explain(error: RuntimeError, switches: Tensor, size: Sequence[int]) -> None:
    if "out of bounds" in str(error) or "invalid max index" in str(error):
        found = f"{switches.min()} to {switches.max()}"
        raise InputError("switches", found, f"point outside output_size={tuple(size)}",
                         "give the size of what was pooled") from error  # fmt: skip
