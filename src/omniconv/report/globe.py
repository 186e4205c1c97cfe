"""A panorama seen as a globe from far away."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from omniconv.report.checks import require_colour_image, require_count
from omniconv.surfaces import panorama

OVERSAMPLING = 2


def globe(
    image: np.ndarray,
    longitude: float = 0.0,
    latitude: float = 20.0,
    size: int = 256,
    background: tuple[int, int, int] = (255, 255, 255),
) -> np.ndarray:
    """Draw an equirectangular image as a globe seen from far away, north up, with a smooth edge.

    The image is continuous on the sphere: it wraps at longitude 180 and goes on over the poles, so no seam shows.

    Args:
        image: uint8 (H, W, 3); row 0 lies next to the north pole, column 0 next to longitude -180,
            and longitude grows eastward with the column. Samples stand at pixel centres.
        longitude: longitude in degrees at the centre of the view; any value, 360 is a full turn.
        latitude: latitude in degrees at the centre of the view, -90 to 90.
        size: width and height of the result in pixels; the globe fills it.
        background: colour around the globe, each channel 0 to 255.

    Returns:
        uint8 (size, size, 3).

    Raises:
        InputError: ``image`` is no colour image, or ``size`` is below 1.

    Example:
        >>> sea = np.full((90, 180, 3), (0, 80, 160), np.uint8)
        >>> globe(sea, longitude=30.0, size=64)[32, 32].tolist()
        [0, 80, 160]
    """
    require_colour_image("image", image)
    require_count("size", size)
    side = OVERSAMPLING * size
    directions, inside = _view(side, longitude, latitude)
    colours = np.moveaxis(panorama.sample(np.moveaxis(_shrunk(image, side), -1, 0), directions), 0, -1)
    fine = np.where(inside[..., None], colours, np.array(background, np.float32))
    blocks = fine.reshape(size, OVERSAMPLING, size, OVERSAMPLING, 3)
    return np.clip(np.rint(blocks.mean(axis=(1, 3))), 0, 255).astype(np.uint8)


def globes(image: np.ndarray, size: int = 256) -> np.ndarray:
    """Draw three globes side by side, at longitudes 0, 120 and -120: all around the sphere.

    Args:
        image: uint8 (H, W, 3), as for :func:`globe`.
        size: height of the result and width of each globe in pixels.

    Returns:
        uint8 (size, 3 * size + 2 * gap, 3) on white, where gap is a sixteenth of the size, at least 1.

    Raises:
        InputError: ``image`` is no colour image, or ``size`` is below 1.

    Example:
        >>> globes(np.zeros((90, 180, 3), np.uint8), size=64).shape
        (64, 200, 3)
    """
    first, second, third = (globe(image, longitude, size=size) for longitude in (0.0, 120.0, -120.0))
    gap = np.full((size, max(1, size // 16), 3), 255, np.uint8)
    return np.concatenate([first, gap, second, gap, third], axis=1)


def _view(side: int, longitude: float, latitude: float) -> tuple[np.ndarray, np.ndarray]:
    """Direction under each point of the view, (side, side, 3), and whether the point hits the globe, (side, side)."""
    across = (np.arange(side) + 0.5) * 2 / side - 1
    east, north = across[None, :], -across[:, None]
    squared = east**2 + north**2
    depth = np.sqrt(np.maximum(1 - squared, 0))
    tilt = math.radians(latitude)
    up = depth * math.sin(tilt) + north * math.cos(tilt)
    ahead = depth * math.cos(tilt) - north * math.sin(tilt)
    turned = math.radians(longitude) + np.arctan2(east, ahead)
    return panorama.unit_vectors(np.arcsin(np.clip(up, -1, 1)), turned), squared <= 1


def _shrunk(image: np.ndarray, side: int) -> np.ndarray:
    """The image, averaged over cells where it is finer than the view, which would alias."""
    rows = math.ceil(side * math.pi / 2)
    height, width = image.shape[:2]
    if height <= rows:
        return image
    columns = max(1, round(width * rows / height))
    return np.asarray(Image.fromarray(image).resize((columns, rows), Image.Resampling.BOX))
