"""The mean of everything on a surface, by area."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from omniconv.nn.area_weights import MeanWeights
from omniconv.nn.arguments import check_signal, check_surface
from omniconv.nn.jit_tracing import Traceable
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
        self.weights = MeanWeights.of(surface)

    def forward(self, x: Tensor) -> Tensor:
        """Average ``(batch, channels, *grid)``."""
        check_signal(x, None, self.surface.ndim, self.surface.shape)
        precise = x.to(torch.promote_types(x.dtype, torch.float32))  # a weight of 1/(H·W) is too small for float16
        return (precise * self.weights(precise)).flatten(2).sum(2).to(x.dtype)
