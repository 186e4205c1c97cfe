"""The mean of everything on a surface, by area."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn

from omniconv.nn.arguments import check_signal, check_surface
from omniconv.nn.tracing import Traceable
from omniconv.surfaces import Plane, Surface


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
        self.weights = _MeanWeights.of(surface)

    def forward(self, x: Tensor) -> Tensor:
        """Average ``(batch, channels, *grid)``."""
        check_signal(x, None, self.surface.ndim, self.surface.shape)
        precise = x.to(torch.promote_types(x.dtype, torch.float32))  # a weight of 1/(H·W) is too small for float16
        return (precise * self.weights(precise)).flatten(2).sum(2).to(x.dtype)


class _MeanWeights(nn.Module):
    """Weights of a mean over a grid of any size; they sum to 1."""

    def forward(self, x: Tensor) -> Tensor:
        return x.new_ones(()) / prod(x.shape[2:])

    @staticmethod
    def of(surface: Surface) -> nn.Module:
        """By area where areas differ."""
        if surface.latitude_axis is not None:
            return _LatitudeWeights(surface.ndim, surface.latitude_axis)
        return _MeanWeights() if surface.is_open else _AreaWeights(surface)


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
        return (weights / weights.sum() * rows / prod(x.shape[2:])).to(x.dtype).view(self.broadcast)


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
