"""Self-attention over all samples of a surface."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.checks import check_integer
from omniconv.errors import InputError
from omniconv.nn.arguments import check_on_surface
from omniconv.nn.jit_tracing import Traceable
from omniconv.nn.norm.group_norm_ops import precise_dtype
from omniconv.nn.norm.normalization import norm_layer
from omniconv.nn.surface_tables.area_weights import make_mean_weights
from omniconv.nn.symbolic import is_symbolic
from omniconv.surfaces import Plane, Surface

MAX_DENSE_SAMPLES = 1024
"""Most samples of which the matrix of attention is stored in training: 4 MiB for each image and head."""


class SelfAttention(Traceable, nn.Module):
    """Multi-head self-attention over all samples, added to its input, as in DDPM (Ho et al., NeurIPS 2020).

    A normalization and a 1×1 convolution give queries, keys and values; a second 1×1 convolution, zero at the start,
    maps the result. On the sphere a sample attends to others by their areas: log areas are added to the logits, which
    is as if every sample were repeated in proportion to its area. The layer knows no positions: it commutes with every
    permutation of samples of equal area, such as the rolls of a panorama. Memory and time grow with the square of the
    number of samples: use it at the coarsest levels.

    Args:
        channels: channels of the signal.
        heads: number of heads, a divisor of ``channels``.
        surface: surface of the signal.
        normalization: as in ``ConvBlock``.

    Shape:
        ``(batch, channels, *grid)`` to the same shape.

    Raises:
        InputError: ``heads`` that do not divide ``channels``; an input of the wrong shape or dtype.

    Example:
        >>> layer = SelfAttention(256)
        >>> sum(p.numel() for p in layer.parameters())  # a norm, three maps, and one
        263680
    """

    def __init__(
        self,
        channels: int,
        heads: int = 1,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
        normalization: Literal["batch", "group", "none"] = "group",
    ) -> None:
        super().__init__()
        self.channels = check_integer("channels", channels, 1, "give integers of at least 1")
        self.heads = check_integer("heads", heads, 1, "use heads=1")
        if channels % heads:
            raise InputError("heads", heads, f"must divide channels={channels}", "use heads=1")
        self.surface = surface
        self.norm = norm_layer(normalization, channels, surface)
        self.to_qkv = nn.Linear(channels, 3 * channels)
        self.projection = nn.Linear(channels, channels)
        nn.init.zeros_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)
        self.area_weights = None if surface.equal_areas else make_mean_weights(surface)

    def forward(self, x: Tensor) -> Tensor:
        """Attend over ``(batch, channels, *grid)``."""
        check_on_surface(x, self.surface, self.channels, self.projection.weight.dtype)
        samples = self.norm(x).flatten(2).transpose(1, 2)  # (B, N, C)
        q, k, v = (
            self.to_qkv(samples).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )  # (B, heads, N, C / heads)
        attended = _attend(q, k, v, self._log_areas(x, q.dtype))
        y = self.projection(attended.transpose(1, 2).flatten(2)).transpose(1, 2)
        return x + y.unflatten(2, x.shape[2:])

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.channels}, heads={self.heads}, surface={self.surface}"

    def _log_areas(self, x: Tensor, dtype: torch.dtype) -> Tensor | None:
        """Return ``(1, N)``, the same for every query."""
        if self.area_weights is None:
            return None
        precise = x.new_empty((), dtype=precise_dtype(x)).expand(x.shape)
        areas = self.area_weights(precise).expand(x.shape[2:]).flatten()
        return (areas * areas.shape[0]).log().to(dtype)[None]


def _attend(q: Tensor, k: Tensor, v: Tensor, log_areas: Tensor | None) -> Tensor:
    # torch's fused attention has no second derivatives, which gradient penalties need (torch 2.13, CPU and CUDA).
    if torch.is_grad_enabled() and not is_symbolic(q.shape[2]) and q.shape[2] <= MAX_DENSE_SAMPLES:
        logits = q * q.shape[3] ** -0.5 @ k.mT
        return (logits if log_areas is None else logits + log_areas).softmax(3) @ v
    return F.scaled_dot_product_attention(q, k, v, log_areas)
