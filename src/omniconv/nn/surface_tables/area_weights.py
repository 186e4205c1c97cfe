"""Weights of a mean over a surface: the areas of its samples, normalized to sum to 1."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn

from omniconv.nn.surface_tables.table_module import TableModule
from omniconv.surfaces import Surface


def make_mean_weights(surface: Surface) -> nn.Module:
    """Return a module that maps a signal ``(batch, channels, *grid)`` to the weights of its mean, in its dtype.

    The weights are ``(*grid)`` or broadcast to it.
    """
    if surface.latitude_axis is not None:
        return _LatitudeWeights(surface.ndim, surface.latitude_axis)
    return _UniformWeights() if surface.any_size else _AreaWeights(surface)


class _UniformWeights(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.new_ones(()) / prod(x.shape[2:])


class _LatitudeWeights(nn.Module):
    """Weights by row of a panorama: row i of n has an area proportional to sin(π (i + ½) / n)."""

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


class _AreaWeights(TableModule):
    """Weights by sample of a surface of fixed size."""

    def __init__(self, surface: Surface) -> None:
        super().__init__()
        self.set_table("areas", _areas, surface)

    def forward(self, x: Tensor) -> Tensor:
        areas = self.table("areas", x).tensors[0].to(x.dtype)
        return areas / areas.sum()


def _areas(surface: Surface) -> tuple[list[int], list[Tensor]]:
    return [], [torch.from_numpy(surface.areas())]
