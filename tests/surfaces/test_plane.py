from __future__ import annotations

import numpy as np
import pytest

from omniconv.errors import InputError
from omniconv.surfaces import Border, Plane


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("border", ["zeros", "reflect", "replicate", "circular"])
def test_every_level_and_border_is_that_of_the_plane(ndim, border):
    plane = Plane(ndim, border)
    assert plane.shape == (None,) * ndim
    assert plane.coarser() is plane.finer() is plane
    for neighbours in (plane.conv_neighbours(), plane.transposed_neighbours(), plane.pool_neighbours()):
        assert neighbours == Border.of(border, ndim)
    assert plane.resize_neighbours() == Border.of(border, ndim)


def test_areas_are_one():
    assert Plane().areas((3, 4)).tolist() == np.ones((3, 4)).tolist()
    with pytest.raises(InputError, match=r"shape=None: is required"):
        Plane().areas()


def test_plane_has_no_directions():
    with pytest.raises(InputError, match=r"has no directions on a sphere; use oc.Equirectangular\(\)"):
        Plane().directions((3, 4))
    assert Plane().latitude_axis is None
    assert not Plane().spherical


def test_panoramas_are_returned_unchanged():
    image = np.random.default_rng(0).random((3, 4, 8))
    assert Plane().from_equirectangular(image) is image
    assert Plane().to_equirectangular(image, 4) is image
    assert Plane().to_equirectangular(image, 2).shape == (3, 2, 4)


@pytest.mark.parametrize("ndim", [1, 3])
def test_panorama_needs_two_axes(ndim):
    with pytest.raises(InputError, match="must have two axes to hold a panorama"):
        Plane(ndim).from_equirectangular(np.zeros((4, 8)))
    with pytest.raises(InputError, match="must have two axes to hold a panorama"):
        Plane(ndim).to_equirectangular(np.zeros((2, 4, 8)), 4)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((4,), "ndim=4: must be 1, 2 or 3"),
        ((0,), "ndim=0: must be 1, 2 or 3"),
        ((2, "wrap"), "border='wrap': must be one of"),
        ((1, "pole"), "border='pole': must be one of"),
    ],
)
def test_invalid_arguments_are_rejected(arguments, text):
    with pytest.raises(InputError, match=text):
        Plane(*arguments)
