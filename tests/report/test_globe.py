"""A globe shows each point of the panorama at its position, and no seam."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from omniconv.errors import InputError
from omniconv.report.globe import globe

VIEWS = [(0, 0), (90, 0), (180, 0), (-180, 40), (37, -60), (120, 90), (-75, -90), (400, 20)]


def directions(latitudes: np.ndarray, longitudes: np.ndarray) -> np.ndarray:
    """Unit vectors (..., 3) of latitudes and longitudes in degrees."""
    latitudes, longitudes = np.radians(latitudes), np.radians(longitudes)
    level = np.cos(latitudes)
    return np.stack([level * np.cos(longitudes), level * np.sin(longitudes), np.sin(latitudes)], axis=-1)


def colour_of(points: np.ndarray) -> np.ndarray:
    """A smooth colour on the sphere: each channel follows one axis."""
    return 127.5 + 110 * points


@cache
def smooth_panorama(height: int, width: int) -> np.ndarray:
    latitudes = 90 - (np.arange(height) + 0.5) * 180 / height
    longitudes = -180 + (np.arange(width) + 0.5) * 360 / width
    points = directions(*np.meshgrid(latitudes, longitudes, indexing="ij"))
    return np.rint(colour_of(points)).astype(np.uint8)


def seen_points(size: int, longitude: float, latitude: float) -> tuple[np.ndarray, np.ndarray]:
    """What each pixel of the view looks at, built from the tangent frame, and which pixels lie well inside."""
    centre = directions(np.array(latitude), np.array(longitude))
    east = directions(np.array(0), np.array(longitude + 90))
    north = np.cross(centre, east)
    across = (np.arange(size) + 0.5) * 2 / size - 1
    x, y = np.meshgrid(across, -across)
    depth = np.sqrt(np.maximum(1 - x**2 - y**2, 0))
    points = x[..., None] * east + y[..., None] * north + depth[..., None] * centre
    return points, x**2 + y**2 < 0.97**2


@pytest.mark.parametrize(("longitude", "latitude"), VIEWS)
@pytest.mark.parametrize("shape", [(90, 180), (91, 181), (600, 1200)], ids=str)
def test_every_view_shows_the_smooth_function_itself(shape, longitude, latitude):
    size = 96
    view = globe(smooth_panorama(*shape), longitude, latitude, size)
    points, inside = seen_points(size, longitude, latitude)
    assert np.abs(view - colour_of(points))[inside].max() < 2.5


@pytest.mark.parametrize(("longitude", "latitude"), VIEWS)
def test_a_constant_image_gives_a_constant_disc(longitude, latitude):
    size, colour = 65, (10, 120, 240)
    view = globe(np.full((7, 13, 3), colour, np.uint8), longitude, latitude, size)
    across = (np.arange(size) + 0.5) * 2 / size - 1
    radius = np.hypot(across[:, None], across[None, :])
    assert (view[radius < 1 - 3 / size] == colour).all()
    assert (view[radius > 1 + 3 / size] == 255).all()


def test_the_edge_blends_the_globe_into_the_background():
    view = globe(np.full((4, 8, 3), 200, np.uint8), size=64, background=(0, 40, 80))
    assert view[0, 0].tolist() == [0, 40, 80]
    assert len(np.unique(view[..., 0])) > 2
    assert view[..., 0].max() == 200


@pytest.mark.parametrize("longitude", [-170, -90, 0, 55, 179])
@pytest.mark.parametrize("latitude", [-70, 0, 45])
def test_the_centre_shows_the_pixel_of_its_longitude_and_latitude(longitude, latitude):
    image = np.zeros((180, 360, 3), np.uint8)
    row, column = int(90 - latitude), int(longitude + 180)
    image[row - 2 : row + 3, np.arange(column - 4, column + 5) % 360] = (250, 20, 30)
    view = globe(image, longitude, latitude, size=181)
    assert view[90, 90].tolist() == [250, 20, 30]


def test_east_is_right_and_north_is_up():
    image = np.zeros((180, 360, 3), np.uint8)
    image[:, 180:, 0] = 255
    image[:90, :, 1] = 255
    view = globe(image, longitude=0, latitude=0, size=101)
    assert view[50, 80, 0] == 255
    assert view[50, 20, 0] == 0
    assert view[20, 50, 1] == 255
    assert view[80, 50, 1] == 0


def test_rolling_the_panorama_rotates_the_globe():
    image = np.random.default_rng(0).integers(0, 256, (36, 72, 3), np.uint8)
    turned = np.roll(image, 18, axis=1)
    np.testing.assert_array_equal(globe(turned, 90, 30, 64), globe(image, 0, 30, 64))


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (2, 1)], ids=str)
def test_the_smallest_images_work(shape):
    assert globe(np.full((*shape, 3), 9, np.uint8), size=8)[4, 4].tolist() == [9, 9, 9]


@pytest.mark.parametrize("image", [np.zeros((4, 8), np.uint8), np.zeros((4, 8, 3)), np.zeros((0, 8, 3), np.uint8)])
def test_other_arrays_than_rgb_images_are_refused(image):
    with pytest.raises(InputError, match=r"image=.*must be an RGB image"):
        globe(image)


def test_size_zero_raises():
    with pytest.raises(InputError, match="size=0: must be a whole number from 1"):
        globe(np.zeros((4, 8, 3), np.uint8), size=0)


def test_a_transparent_background_does_not_change_the_globe():
    image = smooth_panorama(16, 32)
    view, on_white, on_black = (globe(image, 30, 20, 64, colour) for colour in (None, (255,) * 3, (0,) * 3))
    alpha = view[..., 3:] / 255
    assert view[0, 0, 3] == 0
    assert view[32, 32, 3] == 255
    for drawn, colour in ((on_white, 255), (on_black, 0)):
        blended = alpha * view[..., :3] + (1 - alpha) * colour
        # Colours are rounded once, and so are alpha and the picture to compare with, each times up to 255 / 255.
        np.testing.assert_allclose(blended, drawn, atol=1.5)
