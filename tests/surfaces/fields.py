"""Smooth fields on the sphere that tests know by formula."""

from __future__ import annotations

import numpy as np

from omniconv.surfaces import panorama


def linear(directions):
    """A function linear in x, y and z, with a constant: ``(3 channels, *shape)``."""
    x, y, z = np.moveaxis(directions, -1, 0)
    return np.stack([x, y - 0.5 * z, 2 + 0.3 * x + z])


def smooth(directions):
    """A product of waves of a few turns: ``(*shape,)``."""
    x, y, z = np.moveaxis(directions, -1, 0)
    return np.sin(2 * x + 1) * np.cos(3 * y) + z**3


def on_panorama(field, height, width=None):
    return field(panorama.pixel_directions(height, width or 2 * height))


def rotation_about(axis, angle):
    """The rotation matrix of an angle in radians about ``"x"``, ``"y"`` or ``"z"``."""
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[[first, second], [first, second]] = np.cos(angle)
    matrix[second, first], matrix[first, second] = np.sin(angle), -np.sin(angle)
    return matrix
