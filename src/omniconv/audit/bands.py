"""Bands of latitude, each row of a panorama counted with exactly the area that lies in the band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from omniconv.errors import InputError

Bands = int | Sequence[float]
BANDS = 12
"""Of 15°."""
ROUNDING = 1e-9
"""A share of a row below it comes from rounding."""
MAIN = ("iou", "rmse", "changed", "difference")
"""Measures, the most telling first."""


@dataclass(frozen=True)
class LatitudeBands:
    """Measures by latitude.

    Attributes:
        edges: latitudes in degrees, from north to south, one more than there are bands.
        areas: what was measured in each band: with truth the labelled share of it, else 1.
        measures: by name, a number for each band, not-a-number where nothing was measured. With truth ``accuracy`` and
            ``iou`` (mean over the band's classes) of classes, ``rmse`` of values. Without it what rotations change,
            ``changed`` and ``difference``, and what resampling alone does, ``floor_changed`` and ``floor_difference``.
    """

    edges: tuple[float, ...]
    areas: tuple[float, ...]
    measures: dict[str, tuple[float, ...]]

    @property
    def names(self) -> list[str]:
        """Of the bands: ``90° to 75° N``, ``15° N to 15° S``."""
        return [_name(*pair) for pair in zip(self.edges[:-1], self.edges[1:], strict=True)]

    @property
    def main(self) -> str:
        """Name of the measure that tells most."""
        return next(name for name in MAIN if name in self.measures)


def band_edges(bands: Bands) -> tuple[float, ...]:
    """Latitudes in degrees from north to south.

    Args:
        bands: how many of one height from pole to pole, or their edges in either order.

    Raises:
        InputError: no number from 1; fewer than two edges, twice the same, or beyond a pole.

    Example:
        >>> band_edges(3), band_edges([-30, 30])
        ((90.0, 30.0, -30.0, -90.0), (30.0, -30.0))
    """
    if isinstance(bands, int) and not isinstance(bands, bool) and bands >= 1:
        return tuple((90 - 180 * np.arange(bands + 1) / bands).tolist())
    row = isinstance(bands, list | tuple | np.ndarray)
    edges = sorted(map(float, bands), reverse=True) if row else []  # type: ignore[arg-type]
    if len(edges) < 2 or len(set(edges)) < len(edges) or not -90 <= min(edges) <= max(edges) <= 90:
        rule = "must be a number from 1, or two or more different latitudes from -90 to 90"
        raise InputError("bands", bands, rule, "use bands=12")
    return tuple(edges)


def overlaps(height: int, edges: Sequence[float]) -> np.ndarray:
    """Share of the sphere that each row has in each band, ``(height, bands)``: a row that an edge cuts is shared out.

    Example:
        >>> overlaps(2, [90, -90]).ravel().tolist()
        [0.5, 0.5]
    """
    above = np.sin(np.pi / 2 - np.arange(height + 1) * np.pi / height)
    limits = np.sin(np.radians(np.asarray(edges, dtype=np.float64)))
    top = np.minimum(above[:-1, None], limits[None, :-1])
    bottom = np.maximum(above[1:, None], limits[None, 1:])
    shares = np.clip(top - bottom, 0, None) / 2
    shares[shares < ROUNDING * (above[:-1, None] - above[1:, None])] = 0  # an edge that lies between two rows cuts none
    return shares


def _name(north: float, south: float) -> str:
    if north * south < 0:
        return f"{_degrees(north)} N to {_degrees(south)} S"
    side = "N" if north + south > 0 else "S"
    return f"{_degrees(north)} to {_degrees(south)} {side}"


def _degrees(latitude: Any) -> str:
    return f"{abs(latitude):g}°"
