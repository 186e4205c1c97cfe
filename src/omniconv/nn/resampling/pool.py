"""Pooling on any surface: maximum, mean or p-norm of windows, and the global mean."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any

import torch
from torch import Tensor, nn

from omniconv.checks import check_flag, check_number
from omniconv.nn.arguments import Padding, Size, check_on_surface, check_surface, is_unit_stride, parse_window
from omniconv.nn.dispatch import PoolWindow, make_avg_pool_op, make_lp_pool_op, make_max_pool_op
from omniconv.nn.jit_tracing import Traceable
from omniconv.nn.surface_tables.area_weights import make_mean_weights
from omniconv.surfaces import Border, Plane, Stencil, Surface


class _Pool(Traceable, nn.Module):
    """Base of the pooling layers; ``make_op`` takes neighbours and a ``PoolWindow``."""

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None,
        padding: Padding,
        dilation: Size,
        ceil_mode: bool,
        surface: Surface,
        make_op: Callable[[Border | Stencil, PoolWindow], nn.Module],
        averages: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.padding, self.dilation, self.surface = kernel_size, padding, dilation, surface
        self.stride = kernel_size if stride is None else stride
        self.ceil_mode = check_flag("ceil_mode", ceil_mode)
        parsed = parse_window(surface, kernel_size, self.stride)
        self.output_surface = surface if is_unit_stride(self.stride) else surface.coarser()
        neighbours = (surface.pool_neighbours if averages else surface.window_neighbours)(*parsed)
        self.op = make_op(neighbours, PoolWindow(kernel_size, self.stride, padding, dilation, self.ceil_mode))

    def forward(self, x: Tensor) -> Any:
        """Pool ``(batch, channels, *grid)``."""
        check_on_surface(x, self.surface)
        return self.op(x)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding!r}, surface={self.surface}"


class MaxPool(_Pool):
    """Maximum of each window.

    Args:
        kernel_size: samples of a window on each axis; on a mesh 2, the samples that become one of the coarser level.
        stride: step from one window to the next; by default ``kernel_size``.
        padding: as in ``Conv``; ``"same_upper"`` keeps the last row and column of odd sizes. The surface's border
            defines the values of padded samples; padded zeros are never the maximum.
        dilation: step between the samples of a window.
        ceil_mode: round output sizes up; the last window may exceed the padded axis.
        return_switches: also return the flat index of each maximum in the unpadded grid.
        surface: surface of the input.

    Shape:
        ``(batch, channels, *grid)`` to ``(batch, channels, *smaller grid)``, and int64 switches of the same shape.

    Raises:
        InputError: an argument out of range or without a meaning on the surface; an input smaller than a window.

    Example:
        >>> import torch
        >>> MaxPool(2)(torch.arange(16.).view(1, 1, 4, 4)).tolist()
        [[[[5.0, 7.0], [13.0, 15.0]]]]
    """

    def __init__(
        self,
        kernel_size: Size = 2,
        stride: Size | None = None,
        padding: Padding = 0,
        dilation: Size = 1,
        ceil_mode: bool = False,
        return_switches: bool = False,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode, surface, make_max_pool_op)
        self.return_switches = check_flag("return_switches", return_switches)
        self.pool: Any = self.op.with_switches if self.return_switches else self.op.forward

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Pool ``(batch, channels, *grid)``; with ``return_switches`` a pair."""
        check_on_surface(x, self.surface)
        return self.pool(x)


class AvgPool(_Pool):
    """Mean of each window, on a sphere weighted by area: windows that tile the sphere preserve its mean.

    Args:
        kernel_size: samples of a window on each axis; on a mesh 2, the samples that become one of the coarser level.
        stride: step from one window to the next; by default ``kernel_size``.
        padding: as in ``MaxPool``.
        ceil_mode: round output sizes up; positions of a last window beyond the padded axis are not counted.
        count_include_pad: count padded zeros as samples.
        dilation: step between the samples of a window.
        surface: surface of the input.

    Raises:
        InputError: an argument out of range or without a meaning on the surface; an input smaller than a window.

    Example:
        >>> import torch
        >>> AvgPool(2)(torch.arange(16.).view(1, 1, 4, 4)).tolist()
        [[[[2.5, 4.5], [10.5, 12.5]]]]
    """

    def __init__(
        self,
        kernel_size: Size = 2,
        stride: Size | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = False,
        dilation: Size = 1,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    ) -> None:
        counted = check_flag("count_include_pad", count_include_pad)
        make_op = partial(make_avg_pool_op, surface=surface, count_include_pad=counted)
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode, surface, make_op, averages=True)


class LpPool(_Pool):
    """p-norm of each window, (Σ |x|^p)^(1/p); on a mesh samples count by their share of the window.

    Args:
        kernel_size: samples of a window on each axis; on a mesh 2, the samples that become one of the coarser level.
        stride: step from one window to the next; by default ``kernel_size``.
        padding: as in ``MaxPool``; padded zeros add nothing.
        ceil_mode: round output sizes up; the last window may exceed the padded axis.
        dilation: step between the samples of a window.
        p: exponent, above 0 and finite.
        surface: surface of the input.

    Raises:
        InputError: an argument out of range or without a meaning on the surface; an input smaller than a window.

    Example:
        >>> import torch
        >>> LpPool(2, p=2.0)(torch.tensor([[[[3.0, 0.0], [0.0, 4.0]]]])).item()
        5.0
    """

    def __init__(
        self,
        kernel_size: Size = 2,
        stride: Size | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        dilation: Size = 1,
        p: float = 2.0,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    ) -> None:
        cure = "use p=2 for the Euclidean norm, MaxPool for p=inf"
        p = check_number("p", p, lambda exponent: 0 < exponent < inf, "must be a number above 0 and finite", cure)
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode, surface, partial(make_lp_pool_op, p=p))
        self.p = p


class GlobalAvgPool(Traceable, nn.Module):
    """Mean of each channel over the surface, weighted by area: ``(batch, channels)``.

    Args:
        surface: surface of the input.

    Raises:
        InputError: an input of the wrong shape or dtype, or without samples.

    Example:
        >>> GlobalAvgPool()(torch.ones(1, 3, 4, 4)).tolist()
        [[1.0, 1.0, 1.0]]
    """

    def __init__(self, surface: Surface = Plane()) -> None:  # noqa: B008  # surfaces are immutable
        super().__init__()
        check_surface(surface)
        self.surface = surface
        self.weights = make_mean_weights(surface)

    def forward(self, x: Tensor) -> Tensor:
        """Average ``(batch, channels, *grid)``."""
        check_on_surface(x, self.surface)
        precise = x.to(torch.promote_types(x.dtype, torch.float32))  # a weight of 1/(H·W) is too small for float16
        return (precise * self.weights(precise)).flatten(2).sum(2).to(x.dtype)
