"""Panoramas drawn as globes."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from omniconv.checks import check_integer
from omniconv.report.pictures import check_rgb
from omniconv.surfaces import panorama

OVERSAMPLING = 2  # samples per pixel along each axis, for an antialiased edge


def globe(
    image: np.ndarray,
    longitude: float = 0.0,
    latitude: float = 20.0,
    size: int = 256,
    background: tuple[int, int, int] | None = (255, 255, 255),
) -> np.ndarray:
    """Return an equirectangular image as a globe in orthographic projection, north up, with an antialiased edge.

    The image is interpolated on the sphere, across longitude 180° and the poles, so that no seam shows.

    Args:
        image: uint8 (H, W, 3), from latitude 90° and longitude -180°.
        longitude: longitude in degrees at the centre of the view.
        latitude: latitude in degrees at the centre of the view, -90 to 90.
        size: width and height of the result in pixels; the globe fills it.
        background: colour around the globe, each channel 0 to 255; ``None``: transparent, for pages whose colour is not
            known.

    Returns:
        uint8 (size, size, 3); with a transparent background (size, size, 4).

    Example:
        >>> sea = np.full((90, 180, 3), (0, 80, 160), np.uint8)
        >>> globe(sea, longitude=30.0, size=64)[32, 32].tolist()
        [0, 80, 160]
    """
    check_rgb("image", image)
    check_integer("size", size, 1, "use size=256")
    side = OVERSAMPLING * size
    directions, inside = _view(side, longitude, latitude)
    colours = np.moveaxis(panorama.sample(np.moveaxis(_shrink(image, side), -1, 0), directions), 0, -1)
    if background is None:
        opaque = inside[..., None].astype(np.float32)
        # Colours are averaged over the samples on the globe only: the edge would else darken.
        share = _downsample(opaque)
        colours = _downsample(colours * opaque) / np.maximum(share, 1 / OVERSAMPLING**2)
        view = np.concatenate([colours, 255 * share], axis=-1)
    else:
        view = _downsample(np.where(inside[..., None], colours, np.array(background, np.float32)))
    return np.clip(np.rint(view), 0, 255).astype(np.uint8)


def _downsample(fine: np.ndarray) -> np.ndarray:
    size = len(fine) // OVERSAMPLING
    return fine.reshape(size, OVERSAMPLING, size, OVERSAMPLING, -1).mean(axis=(1, 3))


def _view(side: int, longitude: float, latitude: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the direction below each point of the view, (side, side, 3), and whether the globe is there."""
    across = (np.arange(side) + 0.5) * 2 / side - 1
    east, north = across[None, :], -across[:, None]
    squared = east**2 + north**2
    depth = np.sqrt(np.maximum(1 - squared, 0))
    tilt = math.radians(latitude)
    up = depth * math.sin(tilt) + north * math.cos(tilt)
    ahead = depth * math.cos(tilt) - north * math.sin(tilt)
    longitudes = math.radians(longitude) + np.arctan2(east, ahead)
    return panorama.unit_vectors(np.arcsin(np.clip(up, -1, 1)), longitudes), squared <= 1


def _shrink(image: np.ndarray, side: int) -> np.ndarray:
    """Return the image, averaged over pixels if it is finer than the view, which would alias."""
    rows = math.ceil(side * math.pi / 2)  # at the centre of the view a row of the image is then one pixel high
    height, width = image.shape[:2]
    if height <= rows:
        return image
    columns = max(1, round(width * rows / height))
    return np.asarray(Image.fromarray(image).resize((columns, rows), Image.Resampling.BOX))
