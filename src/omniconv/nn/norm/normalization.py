"""Normalization layers on every surface: batch norm, and group norm with statistics weighted by area."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from omniconv.checks import check_choice, check_integer
from omniconv.errors import InputError
from omniconv.nn.arguments import check_on_surface, check_surface, is_grid
from omniconv.nn.jit_tracing import Traceable
from omniconv.nn.norm.group_norm_ops import group_norm, precise_dtype
from omniconv.nn.surface_tables.area_weights import make_mean_weights
from omniconv.surfaces import Plane, Surface

BATCH_NORMS: dict[int, type[nn.Module]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_GROUPS, MIN_GROUP_CHANNELS = 32, 4
"""Default number of groups of ``GroupNorm``: at most 32 (Wu and He, ECCV 2018), with at least 4 channels each."""


class MeshBatchNorm(nn.BatchNorm1d):
    """Batch normalization that keeps mesh signals channels last in memory.

    ``BatchNorm1d`` maps a channels-last ``(B, C, N)`` to a contiguous tensor (torch 2.13), which the next mesh layer
    would have to transpose.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``(B, C, N)``."""
        rows = x.transpose(1, 2)
        return super().forward(rows.flatten(0, 1)).unflatten(0, rows.shape[:2]).transpose(1, 2)


class GroupNorm(Traceable, nn.Module):
    """Group normalization (Wu and He, ECCV 2018) with an optional scale and shift for each image.

    Each image is normalized by the mean and variance of each group of channels over all samples; there are no
    statistics of the batch. On the sphere samples count by their areas, so that the statistics of a panorama do not
    depend on its many pixels near the poles.

    Args:
        channels: channels of the signal.
        groups: number of groups; by default the largest divisor of ``channels`` up to 32 with at least 4 channels a
            group.
        surface: surface of the signal.
        eps: number added to the variance.

    Shape:
        ``(batch, channels, *grid)`` to the same shape, with the memory layout of the input.

    Attributes:
        weight: factor of each channel, ``(channels,)``.
        bias: summand of each channel, ``(channels,)``.

    Raises:
        InputError: ``groups`` that do not divide ``channels``; an input of the wrong shape or dtype.

    Example:
        >>> norm = GroupNorm(64)
        >>> norm.groups, norm(torch.randn(2, 64, 8, 8)).shape
        (16, torch.Size([2, 64, 8, 8]))
    """

    def __init__(
        self,
        channels: int,
        groups: int | None = None,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        check_surface(surface)
        self.channels = check_integer("channels", channels, 1, "give integers of at least 1")
        self.groups = default_groups(channels) if groups is None else check_groups(groups, channels)
        self.surface, self.eps = surface, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.area_weights = None if surface.equal_areas else make_mean_weights(surface)

    def forward(
        self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None, silu: bool = False
    ) -> Tensor:
        """Return ``norm(x) · (1 + scale) + shift``.

        Args:
            x: signal ``(batch, channels, *grid)``.
            scale: ``(batch, channels)``, or ``None`` for 0.
            shift: ``(batch, channels)``, or ``None`` for 0.
            silu: whether SiLU follows, in the same passes over memory.
        """
        check_on_surface(x, self.surface, self.channels, self.weight.dtype)
        factor: Tensor = self.weight
        summand: Tensor = self.bias
        if scale is not None:
            factor, summand = factor * (1 + scale), summand * (1 + scale)
        if shift is not None:
            summand = summand + shift
        areas = None
        if self.area_weights is not None:
            areas = self.area_weights(x.new_empty((), dtype=precise_dtype(x)).expand(x.shape))
        return group_norm(x, self.groups, factor, summand, areas, self.eps, silu)

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.channels}, groups={self.groups}, surface={self.surface}, eps={self.eps}"


def default_groups(channels: int) -> int:
    """Return the largest divisor of ``channels`` up to 32 with at least 4 channels a group; 1 for few channels.

    Example:
        >>> [default_groups(channels) for channels in (2, 8, 48, 128, 512)]
        [1, 2, 12, 32, 32]
    """
    most = min(MAX_GROUPS, max(1, channels // MIN_GROUP_CHANNELS))
    return max(count for count in range(1, most + 1) if channels % count == 0)


def check_groups(groups: int, channels: int) -> int:
    """Return a number of groups after checking it.

    Raises:
        InputError: it does not divide ``channels``.
    """
    groups = check_integer("groups", groups, 1, "use groups=1")
    if channels % groups:
        rule = f"must divide channels={channels}"
        raise InputError("groups", groups, rule, f"use groups={default_groups(channels)}")
    return groups


def _batch_norm(channels: int, surface: Surface) -> nn.Module:
    is_mesh = surface.ndim == 1 and not is_grid(surface)
    return MeshBatchNorm(channels) if is_mesh else BATCH_NORMS[surface.ndim](channels)


_NORMS: dict[str, Callable[[int, Surface], nn.Module]] = {
    "batch": _batch_norm,
    "group": lambda channels, surface: GroupNorm(channels, surface=surface),
    "weight": lambda channels, surface: nn.Identity(),  # the convolution normalizes its weight (MPConv)
    "none": lambda channels, surface: nn.Identity(),
}
NORMALIZATIONS = tuple(_NORMS)


def norm_layer(name: str, channels: int, surface: Surface) -> nn.Module:
    """Return the normalization layer of a name for signals on a surface; the identity for ``weight`` and ``none``."""
    return _NORMS[check_choice("normalization", name, NORMALIZATIONS, "use 'batch'")](channels, surface)
