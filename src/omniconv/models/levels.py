"""Widths, surfaces and grids of the sizes that a network computes at, the full size first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omniconv.checks import to_builtin
from omniconv.errors import InputError
from omniconv.models.encoders.plain import check_depth, check_width
from omniconv.nn.arguments import per_axis
from omniconv.surfaces import Surface


def level_widths(width: int | Sequence[int], count: int) -> list[int]:
    """Return the channels of each size: one number is doubled at every step, a sequence has one for each.

    Raises:
        InputError: a number out of range, or a sequence of another length.

    Example:
        >>> level_widths(32, 3), level_widths((32, 32, 64), 3)
        ([32, 64, 128], [32, 32, 64])
    """
    widths = to_builtin(width)
    if not isinstance(widths, tuple):
        return [check_width(widths) * 2**step for step in range(count)]
    if len(widths) != count:
        rule = f"must be one number or {count}, one for each size"
        raise InputError("width", widths, rule, "use width=32, which is doubled at every step")
    return [check_width(one) for one in widths]


def level_surfaces(surface: Surface, depth: int) -> list[Surface]:
    """Return the surface before and after each of ``depth`` steps of stride 2.

    Raises:
        InputError: the surface has fewer coarser levels.
    """
    surfaces = [surface]
    for _ in range(check_depth(depth, surface)):
        surfaces.append(surfaces[-1].coarser())
    return surfaces


def level_grids(surfaces: Sequence[Surface], grid: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the grid of each surface of a pyramid whose first one has signals of this grid.

    Example:
        >>> from omniconv.surfaces import Plane
        >>> level_grids([Plane()] * 3, (13, 28))
        [(13, 28), (7, 14), (4, 7)]
    """
    grids = [tuple(grid)]
    for surface in surfaces[1:]:
        # Convolutions of stride 2 with "same" padding round up; on a cube map only the last axes are halved.
        halved = tuple((size + 1) // 2 for size in grids[-1])
        grids.append(halved if surface.any_size else fixed_grid(surface))
    return grids


def decoder_grids(
    surfaces: Sequence[Surface], latent: Sequence[int], size: Sequence[int] | None
) -> list[tuple[int, ...]]:
    """Return the grids that a decoder upsamples to, the full one first.

    Args:
        surfaces: surface of each size, the full one first.
        latent: grid of the latent signal.
        size: grid of the image on a surface of any size; by default that of the latent signal, doubled at every step.
    """
    if not surfaces[0].any_size:
        size = fixed_grid(surfaces[0])
    elif size is None:
        size = [axis * 2 ** (len(surfaces) - 1) for axis in latent]
    return level_grids(surfaces, size)[:-1]


def fixed_grid(surface: Surface) -> tuple[int, ...]:
    """Return the shape of a surface of one size."""
    return tuple(size for size in surface.shape if size is not None)


def parse_size(surface: Surface, size: int | Sequence[int] | None, reason: str) -> tuple[int, ...]:
    """Return the grid of the images of a network that has weights for each sample.

    Args:
        surface: surface of the image.
        size: its grid; required on surfaces of any size, left out on others.
        reason: the argument that makes it necessary, for the error.

    Raises:
        InputError: it is missing, or not that of a surface of one size.
    """
    if surface.any_size:
        if size is None:
            rule = f"is required with {reason} on {surface}, which has any size"
            raise InputError("size", size, rule, "give the grid of the images, such as size=(64, 64)")
        return per_axis("size", size, surface.ndim)
    if size is not None and to_builtin(size) != surface.shape:
        raise InputError("size", size, f"must be {surface.shape} on {surface}", "leave it out")
    return fixed_grid(surface)


def sample_grid(network: Any, grid: int | Sequence[int] | None, size: tuple[int, ...] | None = None) -> tuple[int, ...]:
    """Return the grid of generated images: the given one, or the size of the images of the network's training.

    Args:
        network: a ``Model``.
        grid: the grid that the caller asks for.
        size: the only grid of a network that has weights for each sample.

    Raises:
        InputError: none is known on a surface of any size, or the grid is not that of the surface or the network.
    """
    surface = network.surface
    if not surface.any_size:
        size = fixed_grid(surface)
    if size is not None:
        if grid is not None and per_axis("grid", grid, surface.ndim) != size:
            raise InputError("grid", grid, f"must be {size}, the only size of this network", "leave it out")
        return size
    if grid is None:
        grid = network.preprocessing.get("preparation", {}).get("size")
    if grid is None:
        rule = f"is required for a network on {surface} that has no record of the size of its training images"
        raise InputError("grid", None, rule, "give the grid of the images, such as grid=(64, 64)")
    return per_axis("grid", grid, surface.ndim)
