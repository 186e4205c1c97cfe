"""Atrous spatial pyramid pooling on any surface whose convolutions have dilation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from omniconv.checks import check_flag, check_number, to_builtin
from omniconv.errors import InputError
from omniconv.nn.blocks import activation_layer
from omniconv.nn.conv.conv import Conv
from omniconv.nn.conv.separable_conv import SeparableConv
from omniconv.nn.distributed import total_rows
from omniconv.nn.jit_tracing import Traceable
from omniconv.nn.norm.normalization import norm_layer
from omniconv.nn.resampling.pool import GlobalAvgPool
from omniconv.surfaces import Plane, Surface


class ASPP(Traceable, nn.Module):
    """Atrous spatial pyramid pooling (Chen et al., DeepLab v3, 2017).

    A 1×1 convolution, a dilated 3×3 convolution for each rate, and the mean of the image are concatenated and projected
    by a 1×1 convolution. Every convolution has batch normalization, ReLU and no bias.

    Args:
        in_channels: channels of the input.
        out_channels: channels of each branch and of the output; 256 as published.
        rates: dilations; 6, 12, 18 at output stride 16, twice that at 8.
        image_pooling: include the mean of the image.
        separable: depthwise-separable convolutions in the branches, as in DeepLab v3+.
        dropout: dropout probability after the projection.
        surface: surface of the input.

    Raises:
        InputError: no rate, a dilation that the surface does not have, another argument out of range; in training a
            batch of one image with ``image_pooling``.

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
        rule = "must be a probability from 0 to 1"
        probability = check_number("dropout", dropout, lambda p: 0 <= p <= 1, rule, "use 0.5")
        image_pooling = check_flag("image_pooling", image_pooling)
        dilated = SeparableConv if check_flag("separable", separable) else Conv
        convolutions: list[nn.Module] = [Conv(in_channels, out_channels, 1, bias=False, surface=surface)]
        for rate in rates:
            convolutions.append(dilated(in_channels, out_channels, 3, dilation=rate, bias=False, surface=surface))
        self.branches = nn.ModuleList(_with_norm(conv, out_channels, surface) for conv in convolutions)
        self.pooling = _ImagePooling(in_channels, out_channels, surface) if image_pooling else None
        width = out_channels * (len(convolutions) + image_pooling)
        self.project = _with_norm(Conv(width, out_channels, 1, bias=False, surface=surface), out_channels, surface)
        self.dropout = nn.Dropout(probability)
        self.output_surface = surface

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *grid)``."""
        branches = [branch(x) for branch in self.branches]
        if self.pooling is not None:
            branches.append(self.pooling(x))
        return self.dropout(self.project(torch.cat(branches, 1)))


class _ImagePooling(nn.Module):
    """Area-weighted mean of the image, convolved and repeated at every sample."""

    def __init__(self, in_channels: int, out_channels: int, surface: Surface) -> None:
        super().__init__()
        self.pool = GlobalAvgPool(surface)
        conv = nn.Conv1d(in_channels, out_channels, 1, bias=False)
        self.layers = nn.Sequential(conv, nn.BatchNorm1d(out_channels), activation_layer("relu"))

    def forward(self, x: Tensor) -> Tensor:
        if self.training and total_rows(x.shape[0]) == 1:
            rule = "must have a batch from 2 in training: the mean of one image cannot be normalized"
            raise InputError("input", tuple(x.shape), rule, "use a larger batch, or image_pooling=False")
        mean = self.layers(self.pool(x)[..., None])  # (B, out, 1)
        return mean.view(*mean.shape[:2], *[1] * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])


def _with_norm(conv: nn.Module, channels: int, surface: Surface) -> nn.Sequential:
    return nn.Sequential(conv, norm_layer("batch", channels, surface), activation_layer("relu"))
