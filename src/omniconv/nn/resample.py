"""A signal on one sphere carried over to another, inside a network."""

from __future__ import annotations

from omniconv.nn.jit_tracing import Traceable
from omniconv.nn.stencil.modules import StencilProduct
from omniconv.surfaces import Surface, map_between
from omniconv.surfaces.base import Resampling


class Resample(Traceable, StencilProduct):
    """The map between two spherical surfaces as a layer; gradients run back through it.

    Args:
        source: where the input lies.
        target: where the output lies.
        mode: ``linear`` interpolates, and averages over areas where the target is coarser; ``nearest`` picks.
        source_shape: (height, width) of a source of any size.
        target_shape: the same of the target; by default it is large enough for all that the source can show.

    Shape:
        ``(batch, channels, *shape of the source)`` to ``(batch, channels, *shape of the target)``.

    Raises:
        InputError: a plane, an unknown mode, a shape that is missing or has no meaning.

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

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.surface} to {self.output_surface}, mode={self.mode!r}"
