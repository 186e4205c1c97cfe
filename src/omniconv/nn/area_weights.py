"""Weights of means over a surface: the areas of its samples."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Self

import torch
from torch import Tensor, nn

from omniconv.surfaces import Surface


class MeanWeights(nn.Module):
    """Weights of a mean over a grid of any size, ``(*grid)`` or what broadcasts to it; they sum to 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Weights for a signal ``(batch, channels, *grid)``, in its precision."""
        return x.new_ones(()) / prod(x.shape[2:])

    @staticmethod
    def of(surface: Surface) -> nn.Module:
        """By area where areas differ."""
        if surface.latitude_axis is not None:
            return _LatitudeWeights(surface.ndim, surface.latitude_axis)
        return MeanWeights() if surface.any_size else _AreaWeights(surface)


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
    """Areas of the samples of a surface of one size; never rounded to half precision."""

    areas: Tensor

    def __init__(self, surface: Surface) -> None:
        super().__init__()
        self.surface = surface
        self.register_buffer("areas", self._exact(torch.get_default_dtype()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        areas = self.areas.to(x.dtype)
        return areas / areas.sum()

    def _exact(self, dtype: torch.dtype) -> Tensor:
        return torch.from_numpy(self.surface.areas()).to(torch.promote_types(dtype, torch.float32))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        self.areas = self._exact(self.areas.dtype).to(self.areas.device)
        return self
