"""The cube: its geometry, what lies past its edges and corners, and its maps to and from panoramas."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from fields import smooth

from omniconv.errors import InputError
from omniconv.nn import Conv
from omniconv.surfaces import Cubemap, resample
from omniconv.surfaces.cubemap import faces as cube_faces

SIZES = (1, 2, 3, 8, 32)


@pytest.mark.parametrize("size", SIZES)
def test_directions_are_unit_vectors_at_their_own_coordinates(size):
    directions = Cubemap(size).directions()
    np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1)
    face, row, column = cube_faces.face_coordinates(directions, size)
    places = np.stack(np.broadcast_arrays(face, row, column), -1)
    np.testing.assert_allclose(places, np.moveaxis(np.indices((6, size, size)), 0, -1), atol=1e-12)


def test_faces_lie_in_the_named_directions():
    middle = Cubemap(1).directions()[:, 0, 0]
    np.testing.assert_allclose(middle, [(1, 0, 0), (0, 1, 0), (-1, 0, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)])
    front, east, _, _, up, down = Cubemap(2).directions()
    assert (front[0, :, 2] > 0).all()  # the first row is north
    assert (front[:, 1, 1] > 0).all()  # the last column is east
    assert (east[:, 1, 0] < 0).all()
    assert (up[1, :, 0] > 0).all()  # the last row of up touches the front
    assert (down[0, :, 0] > 0).all()


@pytest.mark.parametrize("size", [2, 3, 5])
def test_beyond_each_edge_lies_the_adjacent_pixel(size):
    flat = Cubemap(size).directions().reshape(-1, 3)
    one, other = cube_faces.padded_pixels(size, (1, 1), (1, 1))
    inner = np.arange(6 * size**2).reshape(6, size, size)
    for framed in (one, other):
        assert (framed[:, 1:-1, 1:-1] == inner).all()
    for edge, beside in ((one[:, 0], inner[:, 0]), (one[:, -1], inner[:, -1]),
                         (one[:, :, 0], inner[:, :, 0]), (one[:, :, -1], inner[:, :, -1])):  # fmt: skip
        edge = edge[:, 1:-1]
        others = np.linalg.norm(flat[beside][..., None, :] - flat[edge][..., None, :, :], axis=-1)[..., 0, :]
        nearest = np.linalg.norm(flat[beside] - flat[edge], axis=-1)
        assert nearest.max() <= others.max() + 1e-12
        assert nearest.max() < 2 / size  # the next pixel, over the edge
        assert (edge // size**2 != beside // size**2).all()
    assert len({frozenset(pair) for pair in zip(one[:, 0, 1:-1].ravel() // size**2, np.repeat(range(6), size),
                                               strict=True)}) == 5  # fmt: skip


@pytest.mark.parametrize("size", [2, 4])
def test_beyond_each_corner_lie_pixels_of_the_two_other_faces(size):
    one, other = cube_faces.padded_pixels(size, (1, 1), (1, 1))
    flat = Cubemap(size).directions().reshape(-1, 3)
    for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        first, second = one[:, row, column], other[:, row, column]
        assert (first != second).all()
        faces = np.stack([np.arange(6), first // size**2, second // size**2])
        assert all(len(set(three)) == 3 for three in faces.T)
        own = np.arange(6 * size**2).reshape(6, size, size)[:, row, column]
        np.testing.assert_allclose(np.linalg.norm(flat[first] - flat[own], axis=-1),
                                   np.linalg.norm(flat[second] - flat[own], axis=-1))  # fmt: skip


def test_round_trip_is_of_second_order():
    errors = []
    for size in (8, 16, 32):
        surface = Cubemap(size)
        height = surface.panorama_height()
        image = smooth(surface_directions(height))
        back = surface.to_equirectangular(surface.from_equirectangular(image), height)
        errors.append(abs(back - image).max())
    assert errors[0] / errors[1] > 3
    assert errors[1] / errors[2] > 3


def surface_directions(height):
    from omniconv.surfaces.panorama import pixel_directions

    return pixel_directions(height, 2 * height)


def test_max_depth_counts_the_halvings():
    assert [Cubemap(size).max_depth for size in (1, 6, 8, 12)] == [0, 1, 3, 2]


@pytest.mark.parametrize(("size", "window"), [(8, (3, 1, 8)), (3, (7, 1, 1)), (3, (2, 1, 6)), (1, (3, 1, 1))])
def test_kernels_reach_to_the_end_of_the_next_face(size, window):
    kernel_size, stride, dilation = window
    conv = Conv(1, 1, kernel_size, stride, dilation=dilation, surface=Cubemap(size))
    assert conv(torch.zeros(1, 1, 6, size, size)).shape == (1, 1, 6, size, size)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: Cubemap(0), "size=0: must be a whole number from 1"),
        (lambda: Cubemap(5000), "size=5000: must be a whole number from 1 to 4096; use size=64"),
        (lambda: Cubemap(4096).finer(), "size=8192: must be a whole number from 1 to 4096"),
        (
            lambda: resample(torch.ones(6, 2, 2, requires_grad=True), Cubemap(2), Cubemap(4)),
            "signal='Tensor': cannot be converted to an array (Can't call numpy() on Tensor that requires grad.",
        ),
        (lambda: resample([[1], [1, 2]], Cubemap(2), Cubemap(4)), "signal='list': cannot be converted to an array"),
        (lambda: Cubemap(2.5), "size=2.5: must be a whole number from 1"),
        (lambda: Cubemap(5).coarser(), "size=5: must be even to be halved"),
        (lambda: Cubemap(8).conv_neighbours(3, 4), "stride=4: must be 1 or 2 on a cubemap"),
        (
            lambda: Conv(3, 2, 3, dilation=9, surface=Cubemap(8)),
            "dilation=9: reaches 9 pixels far, beyond the next face: cubemap:8 has 8 along its edge; use a smaller one",
        ),
        (lambda: Cubemap(2).conv_neighbours((3, 7)), "kernel_size=(3, 7): reaches 3 pixels far"),
        (lambda: Cubemap(3).conv_neighbours(2, dilation=7), "dilation=7: reaches 4 pixels far"),
        (lambda: Cubemap(8).resize_neighbours(3), "scale_factor=3: must be 2 on a cubemap"),
    ],
)
def test_invalid_arguments_are_rejected(build, text):
    with pytest.raises(InputError, match=re.escape(text)):
        build()
