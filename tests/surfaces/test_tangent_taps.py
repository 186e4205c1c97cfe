from __future__ import annotations

import numpy as np
import pytest
from fields import rotation_about, smooth

from omniconv.surfaces import Equirectangular, panorama
from omniconv.surfaces.equirectangular.tangent import KernelCentres, tap_directions


def tangent(height):
    return Equirectangular(height=height, kernels="tangent")


def applied(stencil, image):
    """Every operator times an image ``(H, W)``: ``(taps, H', W')``."""
    return np.stack([operator @ image.ravel() for operator in stencil.operators]).reshape(-1, *stencil.output_shape)


def frame(directions):
    """East and north at directions ``(…, 3)``."""
    east = np.cross([0.0, 0.0, 1.0], directions)
    east /= np.linalg.norm(east, axis=-1, keepdims=True)
    return east, np.cross(directions, east)


def on_plane(directions, x, y):
    """Where points of the plane that touches at a direction are seen from the centre of the sphere."""
    east, north = frame(directions)
    points = directions + x * east + y * north
    return points / np.linalg.norm(points, axis=-1, keepdims=True)


def plane_of(down, right):
    """The paper's kernel on the plane: angles right and down of a pixel on the equator."""
    return np.tan(right), np.tan(-down) / np.cos(right)


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_at_the_equator_taps_near_the_neighbouring_pixels_with_the_square_of_their_size(kernel_size):
    errors = []
    for height in (32, 64, 128):
        seen = tap_directions(KernelCentres(height, (0, 0), 1), (kernel_size, kernel_size), (1, 1))
        rows, columns = panorama.pixel_coordinates(seen[height // 2 - 1 : height // 2 + 1], height, 2 * height)
        offsets = np.arange(kernel_size) - kernel_size // 2
        wanted = np.array([height // 2 - 1, height // 2])[:, None] + np.repeat(offsets, kernel_size)
        around = (columns - np.tile(offsets, kernel_size) + height) % (2 * height) - height
        errors.append(max(np.abs(rows - wanted).max(), np.abs(around).max()))
    np.testing.assert_allclose(np.divide(errors[:-1], errors[1:]), 4, rtol=0.1)


@pytest.mark.parametrize(
    ("kernel_size", "dilation", "stride"), [((3, 3), 1, 1), ((5, 5), 1, 1), ((3, 5), 3, 1), ((3, 3), 2, 2)]
)
def test_taps_are_those_of_the_tangent_plane(kernel_size, dilation, stride):
    height, pixel = 16, np.pi / 16
    image = np.random.default_rng(0).random((height, 2 * height))
    found = applied(tangent(height).conv_neighbours(kernel_size, stride, dilation), image)
    centres = panorama.pixel_directions(height, 2 * height)[::stride, ::stride]
    for tap, values in enumerate(found):
        row, column = divmod(tap, kernel_size[1])
        down, right = dilation * (row - kernel_size[0] // 2), dilation * (column - kernel_size[1] // 2)
        seen = on_plane(centres, *plane_of(down * pixel, right * pixel))
        np.testing.assert_allclose(values, panorama.sample(image, seen), rtol=0, atol=1e-8)


@pytest.mark.parametrize(("kernel_size", "stride"), [((2, 2), 2), ((4, 4), 2), ((3, 3), 1), ((3, 3), 2), ((2, 3), 2)])
def test_windows_are_those_of_the_tangent_plane(kernel_size, stride):
    height, pixel = 16, np.pi / 16
    image = np.random.default_rng(0).random((height, 2 * height))
    found = applied(tangent(height).window_neighbours(kernel_size, stride), image)
    rows, columns = (stride * np.arange(size // stride) + (taps % 2 == 0) / 2
                     for size, taps in zip((height, 2 * height), kernel_size, strict=True))  # fmt: skip
    latitude, longitude = np.pi / 2 - (rows + 0.5) * pixel, (columns + 0.5) * pixel - np.pi
    centres = panorama.unit_vectors(latitude[:, None], longitude[None, :])
    for tap, values in enumerate(found):
        down, right = (place - (taps - 1) / 2
                       for place, taps in zip(divmod(tap, kernel_size[1]), kernel_size, strict=True))  # fmt: skip
        seen = on_plane(centres, *plane_of(down * pixel, right * pixel))
        np.testing.assert_allclose(values, panorama.sample(image, seen), rtol=0, atol=1e-8)


def test_taps_lie_at_the_published_positions():
    """The inverse gnomonic projection, with an arctangent of four quadrants: past a pole its denominator is below 0."""
    height, pixel = 16, np.pi / 16
    offsets = np.arange(-2, 3) * pixel
    x, y = (side.ravel() for side in np.broadcast_arrays(*plane_of(offsets[:, None], offsets[None, :])))
    keep = np.hypot(x, y) > 0
    x, y = x[keep], y[keep]
    distance = np.hypot(x, y)
    turn = np.arctan(distance)
    seen = tap_directions(KernelCentres(height, (0, 0), 1), (5, 5), (1, 1))[:, keep]
    past = 0
    for row, found in enumerate(seen):
        latitude, longitude = np.pi / 2 - (row + 0.5) * pixel, pixel / 2 - np.pi
        up = np.arcsin(np.cos(turn) * np.sin(latitude) + y * np.sin(turn) * np.cos(latitude) / distance)
        depth = distance * np.cos(latitude) * np.cos(turn) - y * np.sin(latitude) * np.sin(turn)
        around = longitude + np.arctan2(x * np.sin(turn), depth)
        past += (depth < -1e-9).sum()
        np.testing.assert_allclose(found, panorama.unit_vectors(up, around), rtol=0, atol=1e-12)
    assert past > 0


def test_over_the_pole_the_next_pixel_is_180_degrees_away():
    stencil = tangent(8).conv_neighbours()
    north, south = (
        operator.toarray().reshape(8, 16, 8, 16) for operator in (stencil.operators[1], stencil.operators[7])
    )
    for column in range(16):
        assert north[0, column, 0, (column + 8) % 16] == 1
        assert south[7, column, 7, (column + 8) % 16] == 1


def test_far_taps_continue_along_the_sphere():
    """A tap half a turn to the south of a pixel is its antipode, seen along its meridian."""
    seen = tap_directions(KernelCentres(8, (0, 0), 1), (3, 3), (8, 4))
    here = panorama.pixel_directions(8, 16)[:, 0]
    np.testing.assert_allclose(seen[:, 7], -here, atol=1e-14)
    np.testing.assert_allclose(seen[:, 5], frame(here)[0], atol=1e-14)


@pytest.mark.parametrize("tap", [(1, 7), (5, 3)], ids=["north", "east"])
def test_differences_are_derivatives_everywhere_to_second_order(tap):
    slope, errors = np.array([0.3, -0.5, 0.8]), []
    for height in (16, 32, 64):
        directions = panorama.pixel_directions(height, 2 * height)
        seen = applied(tangent(height).conv_neighbours(), directions @ slope)
        wanted = frame(directions)[1 if tap == (1, 7) else 0] @ slope
        errors.append(np.abs((seen[tap[0]] - seen[tap[1]]) / 2 * height / np.pi - wanted).max())
    assert errors[-1] < 0.002
    assert (np.divide(errors[:-1], errors[1:]) > 3.5).all()


def test_a_linear_field_is_blurred_equally_everywhere():
    """A kernel of one size in degrees: on the sphere it shrinks the field by a number, on the grid it cannot."""
    errors = []
    for height in (16, 32, 64):
        directions, gap = panorama.pixel_directions(height, 2 * height), height // 8
        field = directions @ [0.3, -0.5, 0.8]
        seen = applied(tangent(height).conv_neighbours(3, dilation=gap), field).mean(axis=0)
        across = np.cos(np.array([-1, 0, 1]) * np.pi / 8).mean()
        errors.append(np.abs(seen - across**2 * field).max())
        shifted = [panorama.pad_panorama(field, gap, gap)[row : row + height, column : column + 2 * height]
                   for row in (0, gap, 2 * gap) for column in (0, gap, 2 * gap)]  # fmt: skip
        assert np.abs(np.mean(shifted, axis=0) - across**2 * field)[: height // 4].max() > 0.03
    assert errors[-1] < 0.002
    assert (np.divide(errors[:-1], errors[1:]) > 3.5).all()


@pytest.mark.parametrize("axis", ["x", "y"])
def test_the_mean_commutes_with_rotations_to_second_order(axis):
    rotation, errors = rotation_about(axis, 0.7), []
    for height in (32, 64, 128):
        directions = panorama.pixel_directions(height, 2 * height)
        stencil = tangent(height).conv_neighbours()
        before = applied(stencil, smooth(directions @ rotation)).mean(axis=0)
        after = panorama.rotate(applied(stencil, smooth(directions)).mean(axis=0), rotation)
        errors.append(np.sqrt((tangent(height).areas() * (before - after) ** 2).sum()))
    assert errors[-1] < 0.001
    assert (np.divide(errors[:-1], errors[1:]) > 3.5).all()
