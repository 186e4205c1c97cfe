"""Which kernel each row of a panorama needs (Su & Grauman, "Learning Spherical Convolution", NIPS 2017).

A square field on the plane that touches the sphere covers more and more columns of the panorama towards a pole. The
kernel of a row starts with three by three taps and grows, in height while it is not tall enough, else in width, until
more than 95 % of the pixels of the field lie in its reach, or it has more than 49 taps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omniconv.surfaces import panorama
from omniconv.surfaces.neighbours.border import border_index

ENOUGH, MOST_TAPS = 0.95, 7 * 7
LEAST_SHARE = 0.05
"""A pixel belongs to a field from this share of a sample on; samples lie between pixels."""


@dataclass(frozen=True)
class Fields:
    """The pixels that each output row sees of a panorama ``height × 2 · height``, symmetric in longitude.

    Attributes:
        near: ``(outputs, height)``: columns seen to each side of the output's own, in each row; −1 where none.
        far: the same about the column half a turn away: what is seen over a pole.
    """

    near: np.ndarray
    far: np.ndarray

    @classmethod
    def of_pixels(cls, height: int) -> Fields:
        """Every pixel sees itself."""
        alone = np.where(np.eye(height, dtype=bool), 0, -1)
        return cls(alone, np.full_like(alone, -1))

    @classmethod
    def projected(cls, height: int, size: tuple[int, int], pixel: tuple[float, float], step: int = 1) -> Fields:
        """Fields of ``size`` samples, ``pixel`` radians apart along rows and columns, around every ``step``-th row.

        Samples are those of a flat view around the row, interpolated between four pixels.
        """
        rows, columns = _samples(height, size, pixel, step)
        found = cls(*np.full((2, len(rows), height), -1))
        top = np.floor(rows + LEAST_SHARE).astype(np.int64)
        for row in (top, np.ceil(rows - LEAST_SHARE).astype(np.int64)):
            found._see(row, columns)
        return found

    def under(self, shape: tuple[int, int], spacing: tuple[int, int] = (1, 1), step: int = 1) -> Fields:
        """What a kernel of ``shape`` taps sees through these fields, around every ``step``-th row."""
        height = len(self.near)
        down = spacing[0] * (np.arange(shape[0]) - shape[0] // 2)
        place, is_rolled, _ = border_index(np.arange(0, height, step)[:, None] + down, height, "pole")
        turned = is_rolled[..., None]
        reach = spacing[1] * (shape[1] // 2)
        near = np.where(turned, self.far[place], self.near[place]).max(axis=1)
        far = np.where(turned, self.near[place], self.far[place]).max(axis=1)
        return Fields(*(np.where(seen < 0, -1, seen + reach) for seen in (near, far)))

    def through(self, shapes: np.ndarray, spacing: tuple[int, int] = (1, 1), step: int = 1) -> Fields:
        """The same with a shape of its own for each output row, ``(outputs, 2)``."""
        near, far = np.empty((2, len(shapes), len(self.near)), dtype=np.int64)
        for shape in {(int(rows), int(columns)) for rows, columns in shapes}:
            own = (np.asarray(shapes) == shape).all(axis=1)
            fields = self.under(shape, spacing, step)
            near[own], far[own] = fields.near[own], fields.far[own]
        return Fields(near, far)

    def coverage(self, wanted: Fields) -> np.ndarray:
        """The share of ``wanted`` pixels that is seen, by output row."""
        width = 2 * self.near.shape[1]
        both = _pixels(np.minimum(self.near, wanted.near)) + _pixels(np.minimum(self.far, wanted.far))
        asked = np.minimum(_pixels(wanted.near) + _pixels(wanted.far), width)
        whole_turn = _pixels(self.near) + _pixels(self.far) >= width
        return np.where(whole_turn, asked, np.minimum(both, asked)).sum(axis=1) / asked.sum(axis=1)

    def is_as_tall(self, wanted: Fields) -> np.ndarray:
        """Whether every row of ``wanted`` is seen at all, by output row."""
        is_seen = ((self.near >= 0) | (wanted.near < 0)) & ((self.far >= 0) | (wanted.far < 0))
        return np.asarray(is_seen.all(axis=1))

    def _see(self, rows: np.ndarray, columns: np.ndarray) -> None:
        """Add pixels around ``columns`` (from the output's own) of ``rows``, both ``(outputs, samples)``."""
        height = self.near.shape[1]
        place, is_rolled, _ = border_index(rows, height, "pole")
        from_own = (columns + np.where(is_rolled, height, 0) + height) % (2 * height) - height
        output = np.broadcast_to(np.arange(len(rows))[:, None], rows.shape)
        is_far = np.abs(from_own) > height / 2
        for seen, chosen, away in (
            (self.near, ~is_far, np.abs(from_own)),
            (self.far, is_far, height - np.abs(from_own)),
        ):
            half = np.ceil(away - LEAST_SHARE).astype(np.int64).clip(0)
            np.maximum.at(seen, (output[chosen], place[chosen]), half[chosen])


def row_shapes(
    wanted: Fields, below: Fields, spacing: tuple[int, int] = (1, 1), step: int = 1, most_taps: int = MOST_TAPS
) -> list[tuple[int, int]]:
    """Rows and columns of taps of the kernel of every output row.

    Args:
        wanted: what each output row has to see.
        below: what each of its input rows sees: pixels themselves, or the fields of the layers below.
        spacing: rows and columns from one tap to the next.
        step: rows from one output row to the next.
        most_taps: a kernel with more stops growing.

    Example:
        >>> wanted = Fields.projected(16, (3, 3), (np.pi / 16, np.pi / 16))
        >>> row_shapes(wanted, Fields.of_pixels(16))[5:8]
        [(3, 5), (3, 5), (3, 3)]
    """
    least = (wanted.near >= 0).sum(axis=1).max() > 1 or wanted.near.max() > 0
    shapes = np.full((len(wanted.near), 2), 3 if least else 1)
    seen = below.through(shapes, spacing, step)
    while True:
        grows = (seen.coverage(wanted) <= ENOUGH) & (shapes.prod(axis=1) <= most_taps)
        if not grows.any():
            return [(int(rows), int(columns)) for rows, columns in shapes]
        axis = seen.is_as_tall(wanted).astype(int)
        shapes[grows, axis[grows]] += 2
        seen = below.through(shapes, spacing, step)


def _samples(
    height: int, size: tuple[int, int], pixel: tuple[float, float], step: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows, and columns from the centre's own, of the samples of flat views, both ``(outputs, samples)``."""
    down, right = (gap * (np.arange(count) - (count - 1) / 2) for count, gap in zip(size, pixel, strict=True))
    seen = panorama.unit_vectors(-down[:, None], right[None, :]).reshape(-1, 3)  # outward, east, north
    latitude = np.pi / 2 - (np.arange(0, height, step) + 0.5) * np.pi / height
    sine, cosine = np.sin(latitude)[:, None], np.cos(latitude)[:, None]
    outward, east, north = seen.T
    directions = np.stack([cosine * outward - sine * north, np.broadcast_to(east, (len(sine), len(east))),
                           sine * outward + cosine * north], axis=-1)  # fmt: skip
    rows, columns = panorama.pixel_coordinates(directions, height, 2 * height)
    return np.round(rows, 9), np.round(columns - height + 0.5, 9)


def _pixels(half: np.ndarray) -> np.ndarray:
    """Pixels of an interval that goes ``half`` to each side; none where that is −1."""
    return np.where(half < 0, 0, 2 * half + 1)
