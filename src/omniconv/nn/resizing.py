"""Signals at another size: interpolated where they grow, averaged where they shrink, without a seam."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.checks import check_choice, check_whole
from omniconv.nn.arguments import Size, check_signal, check_surface, per_axis
from omniconv.nn.conv import check_fixed_size
from omniconv.nn.grid.padding import pad
from omniconv.nn.grid.symbolic_resize import LINEAR, lerp, resize_open
from omniconv.nn.jit_tracing import Traceable
from omniconv.nn.stencil.modules import StencilProduct
from omniconv.nn.symbolic import is_open
from omniconv.surfaces import Border, Plane, Stencil, Surface
from omniconv.surfaces.base import Resampling


def resize(x: Tensor, size: Size, border: Border, mode: Resampling = "linear", grows: bool = False) -> Tensor:
    """A grid signal at another size; sample centres keep their places (``align_corners=False``).

    An axis that goes on past its edges (a ring, a pole) is extended by as many samples as map to a whole number of
    outputs, resized, and cut: so the result does not depend on where the ring was cut open. Other axes end at their
    edge samples, as everywhere in torch. ``linear`` averages where an axis shrinks: over whole windows where the ratio
    is a whole number, else with a triangle as wide as two steps.

    Args:
        x: ``(batch, channels, *grid)``.
        size: the new grid.
        border: the continuation of the grid.
        mode: ``linear`` or ``nearest``.
        grows: what an export with open sizes may take for sure: that no axis shrinks.

    Raises:
        InputError: a ``size`` that is not one whole number from 1 for each axis.
    """
    size = per_axis("output_size", size, border.ndim)
    if is_open(*x.shape[2:], *size):
        return resize_open(x, size, border, mode, grows)
    if tuple(x.shape[2:]) == size:
        return x
    reaches = [0.0 if mode == "nearest" else max(1.0, old / new) for old, new in zip(x.shape[2:], size, strict=True)]
    if mode == "linear" and _grows(x, size) and any(before > 2 for before, _ in _margins(x, size, border, reaches)):
        return lerp(x, size, border)
    return resize_with(x, size, border, reaches, partial(_interpolate, mode=mode))


def resize_with(
    x: Tensor, size: tuple[int, ...], border: Border, reaches: Sequence[float], interpolate: Callable[..., Tensor]
) -> Tensor:
    """A grid signal at another size by an interpolation that knows no border.

    Args:
        x: ``(batch, channels, *grid)``.
        size: the new grid.
        border: the continuation of the grid.
        reaches: how many samples away the interpolation looks on each axis.
        interpolate: from a signal and a size to that signal at that size, sample centres in their places.
    """
    margins = _margins(x, size, border, reaches)
    x = pad(x, [(before, before) for before, _ in margins], border)
    extended = tuple(new + 2 * after for new, (_, after) in zip(size, margins, strict=True))
    if border.kernel_ndim < border.ndim:  # faces do not mix
        x = interpolate(x.flatten(1, 2), extended[1:]).unflatten(1, (-1, size[0]))
    else:
        x = interpolate(x, extended)
    for axis, (new, (_, after)) in enumerate(zip(size, margins, strict=True), start=2):
        x = x.narrow(axis, after, new) if after else x
    return x


def _margins(x: Tensor, size: Sequence[int], border: Border, reaches: Sequence[float]) -> list[tuple[int, int]]:
    """For each axis samples to extend it by, enough for the reach, and the outputs they become."""
    axes = zip(x.shape[2:], size, border.wraps, reaches, strict=True)
    return [_margin(old, new, reach) if wraps else (0, 0) for old, new, wraps, reach in axes]


def _margin(old: int, new: int, reach: float) -> tuple[int, int]:
    common = math.gcd(old, new)
    step, outputs = old // common, new // common
    steps = math.ceil(reach / step)
    return steps * step, steps * outputs


def _grows(x: Tensor, size: tuple[int, ...]) -> bool:
    return all(new >= old for new, old in zip(size, x.shape[2:], strict=True))


def _interpolate(x: Tensor, size: tuple[int, ...], mode: Resampling) -> Tensor:
    if mode == "nearest":
        return F.interpolate(x, size, mode="nearest-exact")
    if _grows(x, size):
        return F.interpolate(x, size, mode=LINEAR[len(size)], align_corners=False)
    if all(old % new == 0 for new, old in zip(size, x.shape[2:], strict=True)):
        return F.interpolate(x, size, mode="area")  # means of whole windows: halving is average pooling by 2
    return _shrink(x, size)


def _shrink(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Averaging is there in torch for two axes only: the others are folded into channels or beside them."""
    if len(size) == 1:
        return _antialiased(x[:, :, None], (1, size[0]))[:, :, 0]
    if len(size) == 2:
        return _antialiased(x, size)
    channels = x.shape[1]
    x = _antialiased(x.flatten(1, 2), size[1:]).unflatten(1, (channels, -1))  # (B, C, D, h, w)
    depth = _antialiased(x.flatten(3), (size[0], size[1] * size[2]))
    return depth.unflatten(3, size[1:])


def _antialiased(x: Tensor, size: tuple[int, ...]) -> Tensor:
    precise = x.to(torch.promote_types(x.dtype, torch.float32))  # torch averages in no other precision on the CPU
    return F.interpolate(precise, size, mode="bilinear", align_corners=False, antialias=True).to(x.dtype)


class Upsample(Traceable, nn.Module):
    """A signal on the finer surface.

    Args:
        scale_factor: how many times finer; 2 on a mesh.
        mode: ``linear`` or ``nearest``.
        surface: where the input lies.

    Shape:
        ``(batch, channels, *grid)`` to ``(batch, channels, *output_size)``, by default ``grid · scale_factor``.

    Raises:
        InputError: a scale below 1, an unknown mode, an ``output_size`` that the surface cannot have.

    Example:
        >>> import torch
        >>> Upsample(surface=Plane())(torch.ones(1, 1, 3, 5), output_size=(5, 9)).shape
        torch.Size([1, 1, 5, 9])
    """

    def __init__(
        self,
        scale_factor: int = 2,
        mode: Resampling = "linear",
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    ) -> None:
        super().__init__()
        scale_factor = _check_resizing(scale_factor, mode, surface)
        self.scale_factor, self.mode, self.surface = scale_factor, mode, surface
        self.output_surface = surface.finer()
        neighbours = surface.resize_neighbours(scale_factor, mode)
        self.product = (
            _MeshResize(neighbours)
            if isinstance(neighbours, Stencil)
            else _GridResize(neighbours, scale_factor, 1, mode)
        )

    def forward(self, x: Tensor, output_size: Size | None = None) -> Tensor:
        """Resize ``(batch, channels, *grid)``."""
        check_signal(x, None, self.surface.ndim)
        return self.product(x, output_size)

    def extra_repr(self) -> str:  # noqa: D102
        return f"scale_factor={self.scale_factor}, mode={self.mode!r}, surface={self.surface}"


class Downsample(Traceable, nn.Module):
    """A signal on the coarser surface: averaged, or the nearest sample alone.

    Args:
        scale_factor: how many times coarser; 2 on a mesh.
        mode: ``linear`` averages, ``nearest`` picks.
        surface: where the input lies.

    Shape:
        ``(batch, channels, *grid)`` to ``(batch, channels, *output_size)``, by default ⌈grid / scale_factor⌉.

    Raises:
        InputError: a scale below 1, an unknown mode, an ``output_size`` that the surface cannot have.

    Example:
        >>> import torch
        >>> Downsample()(torch.arange(4.0).view(1, 1, 2, 2)).item()
        1.5
    """

    def __init__(
        self,
        scale_factor: int = 2,
        mode: Resampling = "linear",
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    ) -> None:
        super().__init__()
        scale_factor = _check_resizing(scale_factor, mode, surface)
        self.scale_factor, self.mode, self.surface = scale_factor, mode, surface
        self.output_surface = surface.coarser()
        neighbours = surface.pool_neighbours(2, scale_factor)
        if mode == "nearest" and isinstance(neighbours, Stencil):
            neighbours = surface.conv_neighbours(1, scale_factor)  # type: ignore[assignment]  # picks, on a mesh
        self.product: nn.Module = (
            _MeshResize(neighbours)
            if isinstance(neighbours, Stencil)
            else _GridResize(neighbours, 1, scale_factor, mode)
        )

    def forward(self, x: Tensor, output_size: Size | None = None) -> Tensor:
        """Resize ``(batch, channels, *grid)``."""
        check_signal(x, None, self.surface.ndim)
        return self.product(x, output_size)

    def extra_repr(self) -> str:  # noqa: D102
        return f"scale_factor={self.scale_factor}, mode={self.mode!r}, surface={self.surface}"


class _GridResize(nn.Module):
    """A grid ``up`` times finer and ``down`` times coarser, sizes rounded up."""

    def __init__(self, border: Border, up: int, down: int, mode: Resampling) -> None:
        super().__init__()
        self.border, self.up, self.down, self.mode = border, up, down, mode
        self.faces = border.ndim - border.kernel_ndim

    def forward(self, x: Tensor, output_size: Size | None) -> Tensor:
        size = output_size
        if size is None:
            grown = [(length * self.up + self.down - 1) // self.down for length in x.shape[2 + self.faces :]]
            size = [*x.shape[2 : 2 + self.faces], *grown]
        return resize(x, size, self.border, self.mode, grows=self.down == 1)


class _MeshResize(StencilProduct):
    def forward(self, x: Tensor, output_size: Size | None) -> Tensor:  # type: ignore[override]
        check_fixed_size(output_size, self.stencil.output_shape)
        return super().forward(x)


def _check_resizing(scale_factor: int, mode: str, surface: Surface) -> int:
    check_surface(surface)
    check_choice("mode", mode, ("linear", "nearest"), "use 'nearest' for labels")
    return check_whole("scale_factor", scale_factor, 1, "use 2 for one level")
