"""Differentiable augmentation of the input of a discriminator (DiffAugment; Zhao et al., NeurIPS 2020).

Real and generated images are transformed alike, with gradients through the transform, so that a discriminator of few
images cannot memorize them and the generator does not learn the transform. Each image has its own random parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import pi

import numpy as np
import torch
from torch import Generator, Tensor

from omniconv.checks import check_choice, check_number, to_builtin
from omniconv.nn.distributed import own_rows
from omniconv.nn.surface_tables.area_weights import make_mean_weights
from omniconv.surfaces import Plane, Surface
from omniconv.surfaces.neighbours.border import Border

CAP = pi / 3
"""Angle from the centre to the edge of the cap that is cut out: it has a quarter of the sphere's area, as the published
window of half the side has of an image."""


class DiffAugment:
    """Random transforms of images, differentiable in the images.

    Args:
        surface: surface of the images.
        policy: any of ``colour``, ``translation`` and ``cutout``, applied in this order.
        std: standard deviation of the images' values; the brightness changes by up to ± ``std``, as published for
            values in −1 … 1 with one of 0.5.

    Raises:
        InputError: an unknown transform, a ``std`` that is not above 0.

    ``colour``: brightness ± ``std``, saturation × 0 … 2, contrast × 0.5 … 1.5 around the mean by area.
    ``translation``: by up to ⅛ of each axis of a plane, filled with zeros; where an axis is circular by any number of
    samples. On a sphere a rotation about its axis that permutes the samples: by any number of columns of a panorama, by
    multiples of 90° on cube maps and HEALPix, of 72° on icosahedra, of 180° on icospheres.
    ``cutout``: zeros in a window of half the side of a plane, in a cap of radius 60° on a sphere.

    Example:
        >>> augment = DiffAugment(policy=("translation", "cutout"))
        >>> augment(torch.ones(2, 3, 8, 8), torch.Generator().manual_seed(0)).mean().item() < 1
        True
    """

    def __init__(
        self,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
        policy: Sequence[str] = ("colour", "translation", "cutout"),
        std: float = 1.0,
    ) -> None:
        self.std = check_number("std", std, lambda number: number > 0, "must be above 0", "use std=1")
        available: dict[str, Callable[[Tensor, Generator | None], Tensor]] = {
            "colour": self._colour, "translation": _translation(surface), "cutout": _cutout(surface),
        }  # fmt: skip
        for name in (names := to_builtin(policy)):
            check_choice("policy", name, available)
        self.transforms = [transform for name, transform in available.items() if name in names]
        self.mean_weights = make_mean_weights(surface)

    def __call__(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """Transform images ``(batch, channels, *grid)``; random numbers are drawn from ``generator``, or torch's."""
        for transform in self.transforms:
            x = transform(x, generator)
        return x

    def _colour(self, x: Tensor, generator: Generator | None) -> Tensor:
        brightness, saturation, contrast = (_uniform(x, generator) for _ in range(3))
        x = x + (2 * brightness - 1) * self.std
        grey = x.mean(1, keepdim=True)
        x = grey + (x - grey) * (2 * saturation)
        grid = tuple(range(2, x.ndim))
        mean = (x.mean(1, keepdim=True) * self.mean_weights(x)).sum(grid, keepdim=True)
        return mean + (x - mean) * (contrast + 0.5)


def _uniform(x: Tensor, generator: Generator | None, *shape: int) -> Tensor:
    """Return one number in 0 … 1 an image, or ``shape`` numbers, in the dtype of the images."""
    device = x.device if generator is None else generator.device
    size = shape or (1,) * (x.ndim - 1)
    return own_rows(lambda rows: torch.rand((rows, *size), generator=generator, device=device), len(x)).to(x)


def _translation(surface: Surface) -> Callable[[Tensor, Generator | None], Tensor]:
    if surface.latitude_axis is not None:
        return _shifts([surface.latitude_axis == 1, surface.latitude_axis == 0], [0.0, 0.0])
    if surface.spherical:
        return lambda x, generator: _permuted(x, _symmetries(surface), generator)
    border = surface.conv_neighbours()
    modes = border.modes if isinstance(border, Border) else (("zeros", "zeros"),) * surface.ndim
    return _shifts([mode == ("circular", "circular") for mode in modes], [1 / 8] * surface.ndim)


def _shifts(circular: list[bool], reach: list[float]) -> Callable[[Tensor, Generator | None], Tensor]:
    """Return a shift along each axis: by any number of samples where circular, else by a fraction of its size."""

    def shift(x: Tensor, generator: Generator | None) -> Tensor:
        for axis, (is_circular, fraction) in enumerate(zip(circular, reach, strict=True), 2):
            size = x.shape[axis]
            random = _uniform(x, generator, 1).double()
            most = int(size * fraction + 0.5)
            if not is_circular and not most:
                continue
            amount = (random * size).long() if is_circular else (random * (2 * most + 1)).long() - most
            index = torch.arange(size, device=x.device) - amount
            inside = (index >= 0) & (index < size)
            x = _take(x, axis, index % size if is_circular else index.clamp(0, size - 1))
            if not is_circular:
                x = x * _along(inside, axis, x.ndim)
        return x

    return shift


def _along(per_image: Tensor, axis: int, ndim: int) -> Tensor:
    """Return ``(batch, size)`` as ``(batch, 1, …, size, …, 1)``."""
    return per_image.view(len(per_image), *[1] * (axis - 1), -1, *[1] * (ndim - axis - 1))


def _take(x: Tensor, axis: int, index: Tensor) -> Tensor:
    """Return the samples at an index ``(batch, size)`` along an axis."""
    return x.gather(axis, _along(index, axis, x.ndim).expand_as(x))


def _permuted(x: Tensor, tables: Tensor, generator: Generator | None) -> Tensor:
    chosen = (_uniform(x, generator, 1).double() * len(tables)).long().squeeze(1)
    return _take(x.flatten(2), 2, tables.to(x.device)[chosen]).view_as(x)


@lru_cache(maxsize=8)
def _symmetries(surface: Surface) -> Tensor:
    """Return the permutations of the samples of a sphere by its rotations about the axis, ``(rotations, samples)``."""
    directions = surface.directions().reshape(-1, 3)
    for fold in (5, 4, 3, 2):
        moved = [directions @ _about_axis(k * 2 * pi / fold).T for k in range(fold)]
        tables = [surface.nearest_sample(one) for one in moved]
        if all(np.allclose(directions[table], want, atol=1e-6) for table, want in zip(tables, moved, strict=True)):
            return torch.from_numpy(np.stack(tables)).long()
    return torch.arange(len(directions))[None]


def _about_axis(angle: float) -> np.ndarray:
    sine, cosine = np.sin(angle), np.cos(angle)
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])


def _cutout(surface: Surface) -> Callable[[Tensor, Generator | None], Tensor]:
    if not surface.spherical:
        return _cut_window

    def cut_cap(x: Tensor, generator: Generator | None) -> Tensor:
        up, longitude = 2 * _uniform(x, generator, 1) - 1, 2 * pi * _uniform(x, generator, 1)
        across = (1 - up.square()).sqrt()
        centre = torch.cat([across * longitude.cos(), across * longitude.sin(), up], 1)
        distance = centre @ _directions(surface, tuple(x.shape[2:])).to(x).T  # its cosine
        return x * (distance < np.cos(CAP)).view(len(x), 1, *x.shape[2:])

    return cut_cap


def _cut_window(x: Tensor, generator: Generator | None) -> Tensor:
    kept = torch.zeros(len(x), *[1] * (x.ndim - 1), dtype=torch.bool, device=x.device)
    for axis in range(2, x.ndim):
        size = x.shape[axis]
        centre = (_uniform(x, generator, 1).double() * size).long()
        offset = torch.arange(size, device=x.device) - centre + size // 4
        kept = kept | _along((offset < 0) | (offset >= size // 2), axis, x.ndim)
    return x * kept


@lru_cache(maxsize=8)
def _directions(surface: Surface, grid: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(np.asarray(surface.directions(grid), np.float32)).reshape(-1, 3)
