"""Pooling on any surface: the largest or the mean of a window, and the mean of everything by area."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.arithmetic import padding_amounts, span
from omniconv.errors import InputError
from omniconv.nn.arguments import GridPadding, Padding, Size, check_signal, per_axis
from omniconv.nn.convolution import check_mesh_padding, keeps_size, uniform
from omniconv.nn.padding import pad
from omniconv.nn.stencil import StencilMaximum, StencilProduct
from omniconv.surfaces import Border, Plane, Surface

MAXIMUM = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
MEAN = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class _Pool(nn.Module):
    """Arguments that both poolings share."""

    def __init__(
        self, kernel_size: Size, stride: Size | None, padding: Padding, dilation: Size, surface: Surface
    ) -> None:
        super().__init__()
        self.kernel_size, self.padding, self.dilation, self.surface = kernel_size, padding, dilation, surface
        self.stride = kernel_size if stride is None else stride
        self.output_surface = surface if keeps_size(self.stride) else surface.coarser()
        self.product = self._product(surface.pool_neighbours(*uniform(surface, kernel_size, self.stride)))

    def _product(self, neighbours: object) -> nn.Module:
        if isinstance(neighbours, Border):
            kernel, stride, dilation = (
                per_axis(name, getattr(self, name), neighbours.ndim) for name in ("kernel_size", "stride", "dilation")
            )
            return self.grid_layer(
                neighbours, kernel, stride, GridPadding(self.padding, kernel, stride, dilation), dilation
            )
        check_mesh_padding(self.padding)
        if self.dilation != 1:
            raise InputError("dilation", self.dilation, "must be 1 on a mesh", "leave it out")
        return self.stencil_layer(neighbours)

    grid_layer: type[nn.Module]
    stencil_layer: type[nn.Module]

    def forward(self, x: Tensor) -> Tensor:
        """Pool ``(batch, channels, *grid)``."""
        check_signal(x, None, self.surface.ndim)
        return self.product(x)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding!r}, surface={self.surface}"


class _GridPool(nn.Module):
    """A pooling of a padded grid."""

    def __init__(
        self,
        border: Border,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: GridPadding,
        dilation: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.border, self.padding = border, padding
        self.kernel_size, self.stride, self.dilation = kernel_size, stride, dilation
        self._check_windows()

    def padded(self, x: Tensor, border: Border) -> Tensor:
        """The signal with what its border puts around it, large enough for one window."""
        padded = pad(x, self.padding.amounts(x.shape[2:]), border)
        for axis, size in enumerate(padded.shape[2:]):
            if size < span(self.kernel_size[axis], self.dilation[axis]):
                raise InputError(
                    "input",
                    tuple(x.shape[2:]),
                    f"is smaller than the pooling window {self.kernel_size}",
                    "pad with 'same_upper' or use a smaller window",
                )
        return padded

    def _check_windows(self) -> None:
        """Numbers of zeros as large as a window would make windows that hold nothing."""
        for (rule, kernel, _, dilation), modes in zip(self.padding.rules, self.border.modes, strict=True):
            for amount, mode in zip(padding_amounts(rule, 1, kernel), modes, strict=True):
                if mode == "zeros" and amount >= span(kernel, dilation):
                    raise InputError(
                        "padding",
                        amount,
                        f"must be smaller than the window, which spans {span(kernel, dilation)}",
                        "pad less",
                    )


class GridMaximum(_GridPool):
    """The largest sample of each window; zeros past an edge never win."""

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, *grid)`` to a smaller grid."""
        padded = self.padded(x, replace(self.border, value=float("-inf")))
        return MAXIMUM[self.border.ndim](padded, self.kernel_size, self.stride, 0, self.dilation)


class GridMean(_GridPool):
    """The mean of the samples of each window; zeros past an edge are not counted."""

    def __init__(self, border: Border, *arguments: object) -> None:
        super().__init__(border, *arguments)  # type: ignore[arg-type]
        self.counts_all = all("zeros" not in sides for sides in border.modes)
        self.mean = MEAN[border.ndim]

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, *grid)`` to a smaller grid."""
        amounts = self.padding.amounts(x.shape[2:])
        result = self.mean(self.padded(x, self.border), self.kernel_size, self.stride)
        if self.counts_all or not any(map(sum, amounts)):
            return result
        ones = x.new_ones(1, 1, *x.shape[2:])
        return result / self.mean(self.padded(ones, self.border), self.kernel_size, self.stride)


class MaxPool(_Pool):
    """The largest sample of each window.

    Args:
        kernel_size: samples of a window on each axis; on an icosphere 2: a vertex and those around it.
        stride: step from one window to the next; ``kernel_size`` where left out.
        padding: as in ``Conv``; ``"same_upper"`` keeps the last row and column of odd sizes. The surface's border goes
            on past the edges; where that is zeros, they never win.
        dilation: step between the samples of a window.
        surface: where the input lies.

    Raises:
        InputError: an argument out of range or without a meaning on the surface; an input smaller than a window.

    Example:
        >>> MaxPool(2)(torch.arange(16.).view(1, 1, 4, 4)).tolist()
        [[[[5.0, 7.0], [13.0, 15.0]]]]
    """

    grid_layer, stencil_layer = GridMaximum, StencilMaximum

    def __init__(
        self,
        kernel_size: Size = 2,
        stride: Size | None = None,
        padding: Padding = 0,
        dilation: Size = 1,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation, surface)


class AvgPool(_Pool):
    """The mean of each window, by area on a mesh; zeros past an edge are not counted.

    Args:
        kernel_size: samples of a window on each axis; on an icosphere 2: a vertex and those around it.
        stride: step from one window to the next; ``kernel_size`` where left out.
        padding: as in ``MaxPool``.
        surface: where the input lies.

    Raises:
        InputError: an argument out of range or without a meaning on the surface; an input smaller than a window.

    Example:
        >>> AvgPool(2)(torch.arange(16.).view(1, 1, 4, 4)).tolist()
        [[[[2.5, 4.5], [10.5, 12.5]]]]
    """

    grid_layer, stencil_layer = GridMean, StencilProduct

    def __init__(
        self,
        kernel_size: Size = 2,
        stride: Size | None = None,
        padding: Padding = 0,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    ) -> None:
        super().__init__(kernel_size, stride, padding, 1, surface)


class GlobalAvgPool(nn.Module):
    """The mean of each channel over the whole surface, by the area of its samples: ``(batch, channels)``.

    Args:
        surface: where the input lies.

    Example:
        >>> GlobalAvgPool()(torch.ones(1, 3, 4, 4)).tolist()
        [[1.0, 1.0, 1.0]]
    """

    def __init__(self, surface: Surface = Plane()) -> None:  # noqa: B008  # surfaces are immutable
        super().__init__()
        self.surface = surface
        self.weights = _MeanWeights.of(surface)

    def forward(self, x: Tensor) -> Tensor:
        """Average ``(batch, channels, *grid)``."""
        check_signal(x, None, self.surface.ndim)
        precise = x.to(torch.promote_types(x.dtype, torch.float32))  # a weight of 1/(H·W) is too small for float16
        return (precise * self.weights(precise)).flatten(2).sum(2).to(x.dtype)


class _MeanWeights(nn.Module):
    """Weights of a mean over a grid of any size; they sum to 1."""

    def forward(self, x: Tensor) -> Tensor:
        return x.new_ones(()) / x.shape[2:].numel()

    @staticmethod
    def of(surface: Surface) -> nn.Module:
        """By area where areas differ."""
        if surface.latitude_axis is not None:
            return _LatitudeWeights(surface.ndim, surface.latitude_axis)
        return _MeanWeights() if None in surface.shape else _AreaWeights(surface)


class _LatitudeWeights(nn.Module):
    """The area of a row of n rows is proportional to sin(π (i + ½) / n)."""

    def __init__(self, ndim: int, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.broadcast = [1] * ndim
        self.broadcast[axis] = -1

    def forward(self, x: Tensor) -> Tensor:
        rows = x.shape[2 + self.axis]
        colatitude = (torch.arange(rows, device=x.device, dtype=torch.float64) + 0.5) * torch.pi / rows
        weights = torch.sin(colatitude)
        return (weights / weights.sum() * rows / x.shape[2:].numel()).to(x.dtype).view(self.broadcast)


class _AreaWeights(nn.Module):
    """Areas of the samples of a surface of one size."""

    areas: Tensor

    def __init__(self, surface: Surface) -> None:
        super().__init__()
        areas = torch.from_numpy(surface.areas())
        self.register_buffer("areas", areas.to(torch.get_default_dtype()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        areas = self.areas.to(x.dtype)
        return areas / areas.sum()
