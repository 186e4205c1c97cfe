"""What a camera at the centre of the sphere sees (gnomonic projection: great circles are straight)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omniconv.errors import InputError
from omniconv.surfaces import panorama


@dataclass(frozen=True)
class View:
    """What a camera at the centre of the sphere sees: square pixels on a plane that touches the sphere.

    Columns run to the east and rows to the south, as on a panorama; ``View((s, s), 90, 0, 0)`` is the front face of
    ``Cubemap(s)``.

    Args:
        size: height and width of the picture, in pixels.
        field_of_view: angle across its width, in degrees, between 0 and 180.
        longitude: of its middle, in degrees to the east.
        latitude: of its middle, in degrees to the north, −90 … 90.
        roll: the camera turned clockwise, in degrees: what was upright leans to the left.

    Raises:
        InputError: a size, field of view or angle of no meaning.

    Example:
        >>> View((240, 320), field_of_view=90, longitude=30, latitude=-10).directions().shape
        (240, 320, 3)
    """

    size: tuple[int, int]
    field_of_view: float = 90.0
    longitude: float = 0.0
    latitude: float = 0.0
    roll: float = 0.0

    def __post_init__(self) -> None:
        size = self.size if isinstance(self.size, tuple | list) else ()
        if len(size) != 2 or not all(isinstance(length, int | np.integer) and length > 0 for length in size):
            raise InputError("size", self.size, "must be (height, width), whole numbers from 1", "use (480, 640)")
        object.__setattr__(self, "size", (int(size[0]), int(size[1])))
        _check_angle("longitude", self.longitude, np.finfo(float).max)
        _check_angle("latitude", self.latitude, 90)
        _check_angle("roll", self.roll, np.finfo(float).max)
        if not 0 < _number(self.field_of_view) < 180:
            raise InputError(
                "field_of_view", self.field_of_view, "must lie between 0 and 180 degrees", "use 90 for a face of a cube"
            )

    @property
    def axes(self) -> np.ndarray:
        """Unit vectors: forward, to the right (column), down (row), ``(3, 3)``."""
        longitude, latitude, roll = np.radians([self.longitude, self.latitude, self.roll])
        forward = panorama.unit_vectors(latitude, longitude)
        east = panorama.unit_vectors(np.zeros(()), longitude + np.pi / 2)
        south = np.cross(east, forward)
        right, down = np.cos(roll) * east + np.sin(roll) * south, np.cos(roll) * south - np.sin(roll) * east
        return np.stack([forward, right, down])

    @property
    def spacing(self) -> float:
        """Width of a pixel in the middle, in radians: the largest."""
        return float(2 * np.tan(np.radians(self.field_of_view) / 2) / self.size[1])

    def directions(self) -> np.ndarray:
        """Unit vectors of the pixel centres, ``(height, width, 3)``."""
        height, width = self.size
        down = (np.arange(height) - (height - 1) / 2)[:, None] * self.spacing
        right = (np.arange(width) - (width - 1) / 2)[None, :] * self.spacing
        places = np.stack(np.broadcast_arrays(1.0, right, down), axis=-1) @ self.axes
        return places / np.linalg.norm(places, axis=-1, keepdims=True)

    def coordinates(self, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of directions ``(…, 3)``, from the first pixel's centre; NaN of what lies behind."""
        depth, right, down = np.moveaxis(np.asarray(directions, dtype=np.float64) @ self.axes.T, -1, 0)
        ahead = np.where(depth > 0, depth, np.nan) * self.spacing
        return down / ahead + (self.size[0] - 1) / 2, right / ahead + (self.size[1] - 1) / 2


def _number(value: object) -> float:
    """A number as it is, anything else as NaN, which is in no range."""
    return float(value) if isinstance(value, int | float | np.number) else float("nan")


def _check_angle(argument: str, value: object, most: float) -> None:
    if not abs(_number(value)) <= most:
        span = f"a number from −{most} to {most}" if most < 360 else "a number"
        raise InputError(argument, value, f"must be {span}, in degrees", "correct it")
