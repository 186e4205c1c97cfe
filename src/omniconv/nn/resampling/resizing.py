"""Layers that resize a signal on its surface, or resample it from one sphere to another."""

from __future__ import annotations

from torch import Tensor, nn

from omniconv.checks import check_choice, check_integer
from omniconv.errors import InputError
from omniconv.nn.arguments import Size, check_on_surface, check_surface
from omniconv.nn.dispatch import make_resize
from omniconv.nn.jit_tracing import Traceable
from omniconv.nn.stencil.modules import StencilProduct
from omniconv.surfaces import Plane, Stencil, Surface, map_between
from omniconv.surfaces.base import Resampling


class _Resize(Traceable, nn.Module):
    op: nn.Module

    def __init__(self, scale_factor: int, mode: Resampling, surface: Surface) -> None:
        super().__init__()
        check_surface(surface)
        check_choice("mode", mode, ("linear", "nearest"), "use 'nearest' for labels")
        self.scale_factor = check_integer("scale_factor", scale_factor, 1, "use 2 for one level")
        self.mode, self.surface = mode, surface

    def forward(self, x: Tensor, output_size: Size | None = None) -> Tensor:
        """Resize ``(batch, channels, *grid)``."""
        check_on_surface(x, self.surface)
        return self.op(x, output_size)

    def extra_repr(self) -> str:
        return f"scale_factor={self.scale_factor}, mode={self.mode!r}, surface={self.surface}"


class Upsample(_Resize):
    """Interpolation of a signal to the finer surface.

    Args:
        scale_factor: factor by which the grid grows; 2 on a mesh.
        mode: ``linear`` or ``nearest``.
        surface: surface of the input.

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
        super().__init__(scale_factor, mode, surface)
        self.output_surface = surface.finer()
        self.op = make_resize(surface.resize_neighbours(self.scale_factor, mode), self.scale_factor, 1, mode)


class Downsample(_Resize):
    """Averaging of a signal onto the coarser surface, or selection of its nearest samples.

    Args:
        scale_factor: factor by which the grid shrinks; 2 on a mesh.
        mode: ``linear`` averages, ``nearest`` selects.
        surface: surface of the input.

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
        super().__init__(scale_factor, mode, surface)
        self.output_surface = surface.coarser()
        neighbours = surface.pool_neighbours(2, self.scale_factor)
        if mode == "nearest" and isinstance(neighbours, Stencil):
            neighbours = surface.conv_neighbours(1, self.scale_factor)  # type: ignore[assignment]  # the sample itself
        self.op = make_resize(neighbours, 1, self.scale_factor, mode)


class Resample(Traceable, StencilProduct):
    """Differentiable map between two spherical surfaces.

    Args:
        source: surface of the input.
        target: surface of the output.
        mode: ``linear`` interpolates, and averages over areas where the target is coarser; ``nearest`` selects.
        source_shape: (height, width) of a source of any size.
        target_shape: (height, width) of a target of any size; by default fine enough to keep the source's resolution.

    Shape:
        ``(batch, channels, *shape of the source)`` to ``(batch, channels, *shape of the target)``.

    Raises:
        InputError: a plane, an unknown mode, a shape that is missing or not applicable.

    Example:
        >>> import torch
        >>> from omniconv.surfaces import Cubemap, Icosphere
        >>> Resample(Cubemap(8), Icosphere(2))(torch.ones(1, 3, 6, 8, 8)).shape
        torch.Size([1, 3, 162])
    """

    def __init__(
        self,
        source: Surface,
        target: Surface,
        mode: Resampling = "linear",
        source_shape: tuple[int, ...] | None = None,
        target_shape: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(map_between(source, target, mode, source_shape, target_shape))
        self.surface, self.output_surface, self.mode = source, target, mode

    def forward(self, x: Tensor) -> Tensor:
        """Resample ``(batch, channels, *shape of the source)``."""
        check_on_surface(x, self.surface)
        if self.surface.any_size and x.shape[2:] != self.stencil.input_shape:
            rule = f"must have the grid {self.stencil.input_shape} of source_shape"
            raise InputError("input", tuple(x.shape), rule, "build the layer with the source_shape of the signal")
        return super().forward(x)

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.surface} to {self.output_surface}, mode={self.mode!r}"
