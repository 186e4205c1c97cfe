"""Atrous spatial pyramid pooling (Chen et al., DeepLab v3, 2017) on any surface that knows dilation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from omniconv.checks import check_flag, check_number, to_builtin
from omniconv.errors import InputError
from omniconv.nn.blocks import BATCH_NORMS, activation_layer
from omniconv.nn.conv import Conv
from omniconv.nn.jit_tracing import Traceable
from omniconv.nn.pool import GlobalAvgPool
from omniconv.nn.separable_conv import SeparableConv
from omniconv.surfaces import Plane, Surface


class ASPP(Traceable, nn.Module):
    """One 1×1 convolution, a 3×3 one for each rate, and the mean of the image; joined by a 1×1 convolution.

    Every convolution is followed by batch normalisation and ReLU and has no bias.

    Args:
        in_channels: channels of the input.
        out_channels: channels of each branch and of the output; 256 as published.
        rates: dilations; 6, 12, 18 at output stride 16, doubled at 8.
        image_pooling: add the branch of the image's mean.
        separable: depthwise-separable convolutions in the branches, as in DeepLab v3+.
        dropout: share of values dropped behind the last layer in training.
        surface: where the input lies.

    Raises:
        InputError: no rate, a dilation without a meaning on the surface, another argument out of range; in training
            a batch of one image with ``image_pooling``.

    Example:
        >>> sum(p.numel() for p in ASPP(2048, 256).parameters())
        15535104
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        rates: Sequence[int] = (6, 12, 18),
        image_pooling: bool = True,
        separable: bool = False,
        dropout: float = 0.0,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    ) -> None:
        super().__init__()
        rates = to_builtin(rates)
        if not isinstance(rates, tuple) or not rates:
            raise InputError("rates", rates, "must hold at least one dilation", "use (6, 12, 18)")
        share = check_number("dropout", dropout, lambda part: 0 <= part <= 1, "must be a share from 0 to 1", "use 0.5")
        image_pooling = check_flag("image_pooling", image_pooling)
        branch = SeparableConv if check_flag("separable", separable) else Conv
        convolutions: list[nn.Module] = [Conv(in_channels, out_channels, 1, bias=False, surface=surface)]
        convolutions += [
            branch(in_channels, out_channels, 3, dilation=rate, bias=False, surface=surface) for rate in rates
        ]
        self.branches = nn.ModuleList(_finished(conv, out_channels, surface.ndim) for conv in convolutions)
        self.pooling = _ImagePooling(in_channels, out_channels, surface) if image_pooling else None
        width = out_channels * (len(convolutions) + image_pooling)
        self.project = _finished(Conv(width, out_channels, 1, bias=False, surface=surface), out_channels, surface.ndim)
        self.dropout = nn.Dropout(share)
        self.output_surface = surface

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, in_channels, *grid)`` to ``(batch, out_channels, *grid)``."""
        seen = [branch(x) for branch in self.branches]
        if self.pooling is not None:
            seen.append(self.pooling(x))
        return self.dropout(self.project(torch.cat(seen, 1)))


class _ImagePooling(nn.Module):
    """The mean of the image by area, the same at every sample."""

    def __init__(self, in_channels: int, out_channels: int, surface: Surface) -> None:
        super().__init__()
        self.pool = GlobalAvgPool(surface)
        self.layers = _finished(nn.Conv1d(in_channels, out_channels, 1, bias=False), out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.shape[0] == 1:
            rule = "must have a batch from 2 in training: the mean of one image cannot be normalised"
            raise InputError("input", tuple(x.shape), rule, "use a larger batch, or image_pooling=False")
        mean = self.layers(self.pool(x)[..., None])  # (B, out, 1)
        return mean.view(*mean.shape[:2], *[1] * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])


def _finished(conv: nn.Module, channels: int, ndim: int) -> nn.Sequential:
    return nn.Sequential(conv, BATCH_NORMS[ndim](channels), activation_layer("relu"))
