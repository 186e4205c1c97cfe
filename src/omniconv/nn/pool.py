"""Pooling on any surface: the largest sample, the mean or the norm of a window."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf, prod
from typing import Any

import torch
from torch import Tensor, nn

from omniconv.checks import check_flag, check_number
from omniconv.errors import InputError
from omniconv.nn.area_weights import MeanWeights
from omniconv.nn.arguments import (
    Padding,
    Size,
    check_mesh_padding,
    check_signal,
    check_surface,
    is_unit_stride,
    parse_grid_window,
    parse_window,
    per_axis,
)
from omniconv.nn.grid.pool import GridAvgPool, GridLpPool, GridMaxPool
from omniconv.nn.jit_tracing import Traceable
from omniconv.nn.stencil.modules import StencilProduct
from omniconv.nn.stencil.window_pool import make_lp_pool, make_max_pool
from omniconv.surfaces import Plane, Stencil, Surface


class _Pool(Traceable, nn.Module):
    """Arguments that all poolings share."""

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None,
        padding: Padding,
        dilation: Size,
        ceil_mode: bool,
        surface: Surface,
        on_grid: Any,
        on_stencil: Any,
        averages: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.padding, self.dilation, self.surface = kernel_size, padding, dilation, surface
        self.stride = kernel_size if stride is None else stride
        self.ceil_mode = check_flag("ceil_mode", ceil_mode)
        window = parse_window(surface, kernel_size, self.stride)
        self.output_surface = surface if is_unit_stride(self.stride) else surface.coarser()
        neighbours = (surface.pool_neighbours if averages else surface.window_neighbours)(*window)
        if isinstance(neighbours, Stencil):
            self._check_mesh()
            self.op = on_stencil(neighbours)
        else:
            parsed = parse_grid_window(neighbours, kernel_size, self.stride, padding, dilation)
            self.op = on_grid(neighbours, *parsed, self.ceil_mode)

    def _check_mesh(self) -> None:
        check_mesh_padding(self.padding)
        if per_axis("dilation", self.dilation, 1) != (1,):
            raise InputError("dilation", self.dilation, "must be 1 on a mesh", "leave it out")

    def forward(self, x: Tensor) -> Any:
        """Pool ``(batch, channels, *grid)``."""
        check_signal(x, None, self.surface.ndim)
        return self.op(x)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding!r}, surface={self.surface}"


class MaxPool(_Pool):
    """The largest sample of each window.

    Args:
        kernel_size: samples of a window on each axis; on a mesh 2: what becomes one sample of the coarser level.
        stride: step from one window to the next; ``kernel_size`` where left out.
        padding: as in ``Conv``; ``"same_upper"`` keeps the last row and column of odd sizes. The surface's border goes
            on past the edges; where that is zeros, they never win.
        dilation: step between the samples of a window.
        ceil_mode: round sizes up: a last window may hang over the end.
        return_switches: also give the flat index, in the un-padded grid, of the sample that each window took.
        surface: where the input lies.

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
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode, surface, GridMaxPool, make_max_pool)
        self.return_switches = check_flag("return_switches", return_switches)
        self.pool = self.op.with_switches if self.return_switches else self.op.forward

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Pool ``(batch, channels, *grid)``; with ``return_switches`` a pair."""
        check_signal(x, None, self.surface.ndim)
        return self.pool(x)


class AvgPool(_Pool):
    """The mean of each window, by area: on a sphere the mean of all goes on where windows part it.

    Args:
        kernel_size: samples of a window on each axis; on a mesh 2: what becomes one sample of the coarser level.
        stride: step from one window to the next; ``kernel_size`` where left out.
        padding: as in ``MaxPool``.
        ceil_mode: round sizes up: a last window may hang over the end, and what is not there is not counted.
        count_include_pad: count zeros past an edge as samples.
        dilation: step between the samples of a window.
        surface: where the input lies.

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
        on_grid: Any = partial(GridAvgPool, count_include_pad=check_flag("count_include_pad", count_include_pad))
        if isinstance(surface, Surface) and surface.spherical:
            on_grid = partial(_MeanByArea, on_grid, surface)
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode, surface, on_grid, StencilProduct, True)


class _MeanByArea(nn.Module):
    """The mean of each window of a grid whose samples differ in area."""

    def __init__(self, mean: Callable[..., nn.Module], surface: Surface, *window: object) -> None:
        super().__init__()
        self.mean, self.weights = mean(*window), MeanWeights.of(surface)

    def forward(self, x: Tensor) -> Tensor:
        precise = x.to(torch.promote_types(x.dtype, torch.float32))
        areas = (self.weights(precise) * prod(x.shape[2:])).expand(1, 1, *x.shape[2:])  # 1 on average
        return (self.mean(precise * areas) / self.mean(areas)).to(x.dtype)


class LpPool(_Pool):
    """The p-norm of each window, (Σ |x|^p)^(1/p); on a mesh samples count by their share of the window.

    Args:
        kernel_size: samples of a window on each axis; on a mesh 2: what becomes one sample of the coarser level.
        stride: step from one window to the next; ``kernel_size`` where left out.
        padding: as in ``MaxPool``; zeros past an edge add nothing.
        ceil_mode: round sizes up: a last window may hang over the end.
        dilation: step between the samples of a window.
        p: exponent, above 0 and finite.
        surface: where the input lies.

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
        on_grid, on_stencil = partial(GridLpPool, p=p), partial(make_lp_pool, p=p)
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode, surface, on_grid, on_stencil)
        self.p = p


class GlobalAvgPool(Traceable, nn.Module):
    """The mean of each channel over the whole surface, by the area of its samples: ``(batch, channels)``.

    Args:
        surface: where the input lies.

    Raises:
        InputError: an input of the wrong shape or kind, or without samples.

    Example:
        >>> GlobalAvgPool()(torch.ones(1, 3, 4, 4)).tolist()
        [[1.0, 1.0, 1.0]]
    """

    def __init__(self, surface: Surface = Plane()) -> None:  # noqa: B008  # surfaces are immutable
        super().__init__()
        check_surface(surface)
        self.surface = surface
        self.weights = MeanWeights.of(surface)

    def forward(self, x: Tensor) -> Tensor:
        """Average ``(batch, channels, *grid)``."""
        check_signal(x, None, self.surface.ndim, self.surface.shape)
        precise = x.to(torch.promote_types(x.dtype, torch.float32))  # a weight of 1/(H·W) is too small for float16
        return (precise * self.weights(precise)).flatten(2).sum(2).to(x.dtype)
