"""Convolution with spectral normalization (Miyato et al., ICLR 2018), for discriminators."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from omniconv.nn.arguments import check_on_surface
from omniconv.nn.conv.conv import Conv
from omniconv.nn.stencil.ops import autocast_disabled

INITIAL_ITERATIONS = 15
"""Power iterations on the initial weight, as in torch.nn.utils.parametrizations.spectral_norm (torch 2.13)."""
EPS = 1e-12
"""Least norm that is divided by, torch's default."""


class SpectralNormConv(Conv):
    """Convolution whose weight is divided by its largest singular value (Miyato et al., ICLR 2018).

    The weight counts as a matrix ``(out, rest)``, whatever the surface. Its left singular vector is estimated by one
    power iteration at each call in training mode, and kept among the statistics of the network, as those of batch
    normalization. It is a layer of its own, and not a parametrization of torch, so that networks that contain it can be
    saved, copied and rebuilt.

    Args:
        *args: as in ``Conv``.
        **kwargs: as in ``Conv``.

    Attributes:
        weight: the weight before the division, shaped as in ``Conv``.
        running_singular: unit vector ``(out,)``.

    Raises:
        InputError: as ``Conv``.

    Example:
        >>> conv = SpectralNormConv(3, 8)
        >>> round(torch.linalg.matrix_norm(conv.eval().normalized_weight().flatten(1), 2).item(), 1)
        1.0
    """

    running_singular: Tensor

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("running_singular", F.normalize(torch.randn(self.out_channels), dim=0, eps=EPS))
        with torch.no_grad():
            for _ in range(INITIAL_ITERATIONS):
                self._iterate(self.weight.flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(batch, in_channels, *grid)``."""
        check_on_surface(x, self.surface, self.in_channels, self.weight.dtype)
        return self.op(x, self.normalized_weight(), self.bias)

    def normalized_weight(self) -> Tensor:
        """Return the weight divided by the estimate of its largest singular value."""
        with autocast_disabled(self.weight):
            matrix = self.weight.flatten(1)
            with torch.no_grad():
                if self.training:
                    self._iterate(matrix)
                # Copied: a further call before the backward pass changes the statistics in place.
                left = self.running_singular.to(matrix.dtype, copy=True)
                right = F.normalize(matrix.mT @ left, dim=0, eps=EPS)
            return self.weight / torch.dot(left, matrix @ right).clamp_min(EPS)

    def _iterate(self, matrix: Tensor) -> None:
        """Improve the left singular vector by one power iteration, in place."""
        left = self.running_singular.to(matrix.dtype)
        right = F.normalize(matrix.mT @ left, dim=0, eps=EPS)
        self.running_singular.copy_(F.normalize(matrix @ right, dim=0, eps=EPS))
