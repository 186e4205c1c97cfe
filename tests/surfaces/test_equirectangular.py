from __future__ import annotations

import numpy as np
import pytest
from fields import linear, on_panorama

from omniconv.errors import InputError
from omniconv.surfaces import Border, Equirectangular, panorama

MODES = {"over": "pole", "zeros": "zeros", "replicate": "replicate", "reflect": "reflect"}


@pytest.mark.parametrize(("poles", "mode"), MODES.items())
def test_neighbours_are_circular_in_longitude(poles, mode):
    surface = Equirectangular(poles)
    assert surface.coarser() is surface.finer() is surface
    for neighbours in (surface.conv_neighbours(), surface.transposed_neighbours(), surface.pool_neighbours()):
        assert neighbours == Border.of((mode, "circular"), 2)
    assert surface.resize_neighbours() == Border.of((mode, "circular"), 2)


@pytest.mark.parametrize("shape", [(1, 1), (8, 16), (7, 5)])
def test_areas_and_directions(shape):
    surface = Equirectangular()
    assert surface.areas(shape).sum() == pytest.approx(4 * np.pi, rel=1e-14)
    np.testing.assert_array_equal(surface.directions(shape), panorama.pixel_directions(*shape))
    assert surface.directions(shape).dtype == surface.areas(shape).dtype == np.float64


def test_latitude_decreases_along_the_rows():
    z = Equirectangular().directions((9, 4))[..., 2]
    assert Equirectangular().latitude_axis == 0
    assert (np.diff(z, axis=0) < 0).all()
    np.testing.assert_allclose(np.diff(z, axis=1), 0, atol=1e-15)


def test_panorama_is_the_signal():
    image = np.random.default_rng(0).random((3, 8, 16))
    assert Equirectangular().from_equirectangular(image) is image
    assert Equirectangular().to_equirectangular(image, 8) is image


def test_map_error_falls_by_four_when_the_spacing_halves():
    errors = []
    for height in (16, 32):
        shown = Equirectangular().to_equirectangular(on_panorama(linear, height), 2 * height)
        errors.append(np.abs(shown - on_panorama(linear, 2 * height)).max())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.2)


@pytest.mark.parametrize("shape", [None, (3,), (1, 2, 3)])
def test_shape_must_be_given(shape):
    for ask in (Equirectangular().directions, Equirectangular().areas):
        with pytest.raises(InputError, match=r"shape=.*must be \(height, width\)"):
            ask(shape)


def test_unknown_poles_are_rejected():
    with pytest.raises(InputError, match="poles='wrap': must be one of over, zeros, replicate, reflect"):
        Equirectangular("wrap")
