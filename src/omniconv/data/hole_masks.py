"""Random free-form holes for inpainting, as published, on flat images and on spheres.

The published generators draw rectangles and brush strokes on a flat image of 256 × 256 pixels: DeepFill v2 (Yu et al.,
ICCV 2019, and its code) a rectangle and strokes, LaMa (Suvorov et al., WACV 2022, and its configuration files) strokes
or rectangles for training, and sets of thin, medium and thick holes for evaluation. Here every length is scaled by the
shorter side of the image / 256, and a wider image gets more shapes, one set for each square.

On a sphere a stroke is a chain of great-circle arcs of constant width and a rectangle has great circles as its edges.
A pixel is 90°/256, that of a view of 90° with 256 pixels, so that a hole has one size everywhere, also at a pole; the
sphere has the area of five such views and gets five times as many shapes. Shapes are tested at the directions of the
samples, so that all surfaces show the same holes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator

from omniconv.checks import check_choice
from omniconv.surfaces import Surface

FRAME = 256
"""Side in pixels of the images that the published generators draw on."""
PIXEL_ANGLE = math.radians(90) / FRAME
"""Angle of a pixel of the published generators on a sphere."""
SPHERE_FRAMES = round(4 * math.pi / (FRAME * PIXEL_ANGLE) ** 2)
"""Number of square images of ``FRAME`` pixels that have the area of the sphere: 5."""
ATTEMPTS = 100
"""Number of holes drawn until one is neither empty nor too large."""
LARGEST_SHARE = 0.5
"""Largest share of the area in LaMa's evaluation sets."""


@dataclass(frozen=True)
class Brush:
    """Current point of a stroke: its position, and the direction from which angles are measured.

    Attributes:
        position: ``(x, y)`` in pixels, or a unit vector.
        heading: the x axis, or a tangent vector of unit length, which is carried along the stroke.
    """

    position: np.ndarray
    heading: np.ndarray


class Canvas(ABC):
    """Samples of an image on which shapes are drawn; lengths are in pixels of the published generators.

    Attributes:
        shape: shape of the mask.
        frames: number of square images of ``FRAME`` pixels that have this area.
        areas: share of each sample in the whole area, flat.
    """

    shape: tuple[int, ...]
    frames: int
    areas: np.ndarray

    @abstractmethod
    def place_brush(self, generator: Generator) -> Brush:
        """Return a brush at a random position, uniform by area."""

    @abstractmethod
    def draw_segment(self, mask: np.ndarray, brush: Brush, angle: float, length: float, width: float) -> Brush:
        """Mark the samples at most ``width / 2`` away from a segment, in the flat ``mask``; return its end."""

    @abstractmethod
    def draw_rectangle(self, mask: np.ndarray, generator: Generator, room: tuple[float, float],
                       sides: tuple[float, float], margin: float) -> None:  # fmt: skip
        """Mark a rectangle at a random position, in the flat ``mask``.

        Args:
            mask: the mask.
            generator: random numbers.
            room: height and width of the rectangle in whose centre it lies, which is inside a flat image.
            sides: height and width.
            margin: least distance of ``room`` to the edges of a flat image.
        """

    def draw_point(self, mask: np.ndarray, generator: Generator) -> None:
        """Mark one random sample, for images that are too coarse for any shape."""
        mask[generator.choice(mask.size, p=self.areas)] = True


class PlaneCanvas(Canvas):
    """Pixels of a flat image.

    Args:
        size: height and width.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.shape, shorter = size, min(size)
        self.scale = shorter / FRAME
        self.frames = max(1, round(size[0] * size[1] / shorter**2))
        self.areas = np.full(size[0] * size[1], 1 / (size[0] * size[1]))
        self._extent = np.array([size[1], size[0]], np.float64)

    def place_brush(self, generator: Generator) -> Brush:
        """Return a brush at a point of the image that measures angles from the x axis."""
        return Brush(generator.uniform(0, 1, 2) * self._extent, np.array([1.0, 0.0]))

    def draw_segment(self, mask: np.ndarray, brush: Brush, angle: float, length: float, width: float) -> Brush:
        """Mark a straight segment with round ends; it ends at the edge of the image."""
        start, radius = brush.position, width * self.scale / 2
        step = length * self.scale * np.array([math.cos(angle), math.sin(angle)])
        end = np.clip(start + step, 0, self._extent)  # the published strokes stay inside of the image
        low = np.floor(np.minimum(start, end) - radius).astype(int)
        high = np.ceil(np.maximum(start, end) + radius).astype(int)
        (left, top), (right, bottom) = np.maximum(low, 0), np.minimum(high, self._extent.astype(int))
        x, y = np.arange(left, right) + 0.5 - start[0], (np.arange(top, bottom) + 0.5 - start[1])[:, None]
        along = end - start
        square = float(along @ along)
        part = np.clip((x * along[0] + y * along[1]) / square, 0, 1) if square > 0 else 0.0
        inside = (x - part * along[0]) ** 2 + (y - part * along[1]) ** 2 <= radius**2
        mask.reshape(self.shape)[top:bottom, left:right] |= inside
        return Brush(end, brush.heading)

    def draw_rectangle(self, mask: np.ndarray, generator: Generator, room: tuple[float, float],
                       sides: tuple[float, float], margin: float) -> None:  # fmt: skip
        """Mark a rectangle with sides along the axes."""
        limits = np.array(self.shape)
        space = np.maximum(limits - self.scale * (np.array(room) + 2 * margin), 0)
        centre = (limits - space) / 2 + generator.uniform(0, 1, 2) * space
        half = self.scale * np.array(sides) / 2
        first, last = np.ceil(centre - half - 0.5).astype(int), np.ceil(centre + half - 0.5).astype(int)
        (top, left), (bottom, right) = np.maximum(first, 0), np.minimum(last, limits)
        mask.reshape(self.shape)[top:bottom, left:right] = True


class SphereCanvas(Canvas):
    """Samples on a sphere.

    Args:
        surface: the surface.
        shape: shape of its signals.
    """

    frames = SPHERE_FRAMES

    def __init__(self, surface: Surface, shape: tuple[int, ...]) -> None:
        self.shape = shape
        directions = surface.directions(shape).reshape(-1, 3)
        areas = surface.areas(shape).reshape(-1)
        self.areas = areas / areas.sum()
        # Samples sorted by height: a shape needs to be tested only at a slice of them.
        self._order = np.argsort(directions[:, 2], kind="stable")
        self._sorted = np.ascontiguousarray(directions[self._order], np.float32)
        self._heights = np.ascontiguousarray(self._sorted[:, 2])

    def place_brush(self, generator: Generator) -> Brush:
        """Return a brush at a random direction that measures angles from a random tangent vector."""
        position, heading = generator.normal(size=(2, 3))
        position /= np.linalg.norm(position)
        heading -= (heading @ position) * position
        return Brush(position, heading / np.linalg.norm(heading))

    def draw_segment(self, mask: np.ndarray, brush: Brush, angle: float, length: float, width: float) -> Brush:
        """Mark a great-circle arc with round ends."""
        start, arc, radius = brush.position, length * PIXEL_ANGLE, width * PIXEL_ANGLE / 2
        side = np.cross(start, brush.heading)
        direction = math.cos(angle) * brush.heading + math.sin(angle) * side
        normal = np.cross(start, direction)
        end = math.cos(arc) * start + math.sin(arc) * direction
        onward = math.cos(arc) * direction - math.sin(arc) * start
        samples = self._near(math.cos(arc / 2) * start + math.sin(arc / 2) * direction, arc / 2 + radius)
        axes = np.stack([normal, direction, onward, start, end]).astype(np.float32)
        across, after_start, after_end, near_start, near_end = axes @ self._sorted[samples].T
        inside = (np.abs(across) <= math.sin(radius)) & (after_start >= 0) & (after_end <= 0)
        inside |= np.maximum(near_start, near_end) >= math.cos(radius)
        mask[self._order[samples][inside]] = True
        return Brush(end, math.cos(angle) * onward - math.sin(angle) * normal)

    def draw_rectangle(self, mask: np.ndarray, generator: Generator, room: tuple[float, float],
                       sides: tuple[float, float], margin: float) -> None:  # fmt: skip
        """Mark a rectangle of any orientation with great circles as edges; ``sides`` are its middle lines."""
        brush = self.place_brush(generator)
        up = np.cross(brush.position, brush.heading)
        high, wide = (math.tan(side * PIXEL_ANGLE / 2) for side in sides)
        samples = self._near(brush.position, math.atan(math.hypot(high, wide)))
        ahead, x, y = np.stack([brush.position, brush.heading, up]).astype(np.float32) @ self._sorted[samples].T
        inside = (ahead > 0) & (np.abs(x) <= wide * ahead) & (np.abs(y) <= high * ahead)
        mask[self._order[samples][inside]] = True

    def _near(self, centre: np.ndarray, radius: float) -> slice:
        """Return the slice of the sorted samples with the heights of a cap."""
        latitude = math.asin(max(-1.0, min(1.0, centre[2])))
        low, high = (max(-math.pi / 2, min(math.pi / 2, latitude + sign * radius)) for sign in (-1, 1))
        first, last = np.searchsorted(self._heights, [math.sin(low) - 1e-6, math.sin(high) + 1e-6])
        return slice(first, last)


def _deepfill(generator: Generator, canvas: Canvas, mask: np.ndarray) -> None:
    """Draw a rectangle of 96 to 128 pixels a side and 1 to 3 strokes of 4 to 11 segments."""
    for _ in range(canvas.frames):
        height, width = FRAME / 2 - 2 * generator.integers(0, FRAME // 16 + 1, 2)
        canvas.draw_rectangle(mask, generator, (FRAME / 2, FRAME / 2), (height, width), 0)
    mean_length = math.hypot(FRAME, FRAME) / 8
    for _ in range(int(generator.integers(1, 4)) * canvas.frames):
        segments, width = int(generator.integers(4, 12)), float(generator.integers(12, 40))
        low, high = 2 * math.pi / 5 + generator.uniform(0, 2 * math.pi / 15, 2) * (-1, 1)
        brush = canvas.place_brush(generator)
        for index in range(segments):
            angle = float(generator.uniform(low, high)) * (-1 if index % 2 == 0 else 1)
            length = float(np.clip(generator.normal(mean_length, mean_length // 2), 0, 2 * mean_length))
            brush = canvas.draw_segment(mask, brush, angle, length, width)


@dataclass(frozen=True)
class _Strokes:
    """Brush strokes of LaMa: 1 to 5 segments of random angle, length and width; the sign of the angles alternates.

    Attributes:
        count: least and largest number of strokes.
        width: the width is 5 + 0 … width - 1.
        length: the length is 10 + 0 … length - 1.
    """

    count: tuple[int, int]
    width: int
    length: int

    def draw(self, generator: Generator, canvas: Canvas, mask: np.ndarray) -> None:
        for index in range(int(generator.integers(self.count[0], self.count[1] + 1)) * canvas.frames):
            brush = canvas.place_brush(generator)
            for _ in range(int(generator.integers(1, 6))):
                angle = (0.01 + int(generator.integers(0, 4))) * (-1 if index % 2 == 0 else 1)
                length, width = 10 + int(generator.integers(self.length)), 5 + int(generator.integers(self.width))
                brush = canvas.draw_segment(mask, brush, angle, length, width)


@dataclass(frozen=True)
class _Boxes:
    """Rectangles of LaMa.

    Attributes:
        count: least and largest number of rectangles.
        side: least and largest height and width.
        margin: least distance to the edges of a flat image.
    """

    count: tuple[int, int]
    side: tuple[int, int]
    margin: int

    def draw(self, generator: Generator, canvas: Canvas, mask: np.ndarray) -> None:
        for _ in range(int(generator.integers(self.count[0], self.count[1] + 1)) * canvas.frames):
            height, width = map(float, generator.integers(self.side[0], self.side[1] + 1, 2))
            canvas.draw_rectangle(mask, generator, (height, width), (height, width), self.margin)


@dataclass(frozen=True)
class _StrokesOrBoxes:
    """Strokes, or with probability ``share`` rectangles."""

    strokes: _Strokes
    boxes: _Boxes
    share: float

    def draw(self, generator: Generator, canvas: Canvas, mask: np.ndarray) -> None:
        shapes: _Boxes | _Strokes = self.boxes if generator.random() < self.share else self.strokes
        shapes.draw(generator, canvas, mask)


@dataclass(frozen=True)
class HoleStyle:
    """Published generator of holes.

    Attributes:
        draw: adds its shapes to a flat mask.
        largest: largest share of the area; a larger hole is drawn again.
    """

    draw: Callable[[Generator, Canvas, np.ndarray], None]
    largest: float = 1.0


BOX_SHARE = 0.3 / 1.3
"""Share of rectangles in LaMa's medium and thick evaluation sets: weight 0.3 beside 1 of strokes."""
HOLES: dict[str, HoleStyle] = {
    "deepfill": HoleStyle(_deepfill),
    "lama": HoleStyle(_StrokesOrBoxes(_Strokes((1, 6), 100, 200), _Boxes((1, 4), (30, 150), 10), 0.5).draw),
    "thin": HoleStyle(_Strokes((4, 51), 10, 40).draw, LARGEST_SHARE),
    "medium": HoleStyle(
        _StrokesOrBoxes(_Strokes((4, 6), 50, 100), _Boxes((1, 6), (10, 50), 0), BOX_SHARE).draw, LARGEST_SHARE
    ),
    "thick": HoleStyle(
        _StrokesOrBoxes(_Strokes((1, 6), 100, 200), _Boxes((1, 4), (30, 150), 10), BOX_SHARE).draw, LARGEST_SHARE
    ),
}
"""Styles of holes by name: DeepFill v2's, LaMa's training mixture, and its three evaluation sets."""


@lru_cache(maxsize=4)
def canvas(surface: Surface, shape: tuple[int, ...]) -> Canvas:
    """Return the samples of a surface to draw holes on.

    Args:
        surface: the surface.
        shape: shape of its signals, required since some surfaces have any size.
    """
    return SphereCanvas(surface, shape) if surface.spherical else PlaneCanvas((shape[0], shape[1]))


def draw_hole(style: str, generator: Generator, surface: Surface, shape: tuple[int, ...]) -> np.ndarray:
    """Draw a random hole, which is neither empty nor the whole image.

    Args:
        style: key of ``HOLES``: ``deepfill``, ``lama``, ``thin``, ``medium`` or ``thick``.
        generator: random numbers; the result depends on nothing else.
        surface: surface of the samples.
        shape: shape of its signals: rows and columns on surfaces of any size, else ``surface.shape``.

    Returns:
        Boolean array of ``shape``, True in the hole.

    Raises:
        InputError: an unknown style.

    Example:
        >>> from omniconv.surfaces import Plane
        >>> hole = draw_hole("thick", np.random.default_rng(0), Plane(), (64, 64))
        >>> hole.shape, bool(hole.any()), bool(hole.mean() <= 0.5)
        ((64, 64), True, True)
    """
    chosen, drawing = HOLES[check_choice("holes", style, HOLES)], canvas(surface, shape)
    for _ in range(ATTEMPTS):
        mask = np.zeros(math.prod(shape), bool)
        chosen.draw(generator, drawing, mask)
        if mask.any() and not mask.all() and drawing.areas[mask].sum() <= chosen.largest:
            return mask.reshape(shape)
    mask = np.zeros(math.prod(shape), bool)
    drawing.draw_point(mask, generator)
    return mask.reshape(shape)
