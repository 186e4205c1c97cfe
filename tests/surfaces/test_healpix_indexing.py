from __future__ import annotations

import numpy as np
import pytest

from omniconv.surfaces import Healpix, panorama
from omniconv.surfaces.healpix.indexing import cells_of, face_coordinates, point_directions

every_side = pytest.mark.parametrize("nside", [1, 2, 4, 8, 16])


def random_directions(count, seed=0):
    directions = np.random.default_rng(seed).normal(size=(count, 3))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


@pytest.mark.parametrize(("nside", "size"), [(1, 12), (2, 48), (32, 12288), (128, 196608), (1024, 12582912)])
def test_sizes_are_published(nside, size):
    assert Healpix(nside).shape == (size,)
    assert 2 ** Healpix(nside).max_depth == nside
    assert Healpix(nside).panorama_height() == 4 * nside
    assert Healpix(nside).latitude_axis is None


@pytest.mark.parametrize("nside", [1, 2, 4, 8, 16, 64])
def test_centres_are_those_of_astropy(nside):
    healpix = pytest.importorskip("astropy_healpix")
    longitude, latitude = healpix.core.healpix_to_lonlat(np.arange(12 * nside**2), nside, order="nested")
    wanted = panorama.unit_vectors(np.asarray(latitude), np.asarray(longitude))
    np.testing.assert_allclose(Healpix(nside).directions(), wanted, rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(Healpix(nside).directions(), axis=1), 1, rtol=1e-14)


@pytest.mark.parametrize("nside", [1, 4, 64, 1024])
def test_directions_lie_in_the_cells_of_astropy(nside):
    units = pytest.importorskip("astropy.units")
    healpix = pytest.importorskip("astropy_healpix")
    directions = random_directions(20000)
    angles = np.arctan2(directions[:, 1], directions[:, 0]), np.arcsin(directions[:, 2])
    wanted = healpix.core.lonlat_to_healpix(*(angle * units.rad for angle in angles), nside, order="nested")
    np.testing.assert_array_equal(cells_of(directions, nside), wanted)


@every_side
def test_areas_are_equal_and_sum_to_four_pi(nside):
    areas = Healpix(nside).areas()
    assert len(np.unique(areas)) == 1
    assert areas.sum() == pytest.approx(4 * np.pi, rel=1e-12)
    counts = np.bincount(cells_of(random_directions(200 * 48), 2), minlength=48)
    assert abs(counts / 200 - 1).max() < 0.3


@every_side
def test_children_lie_in_their_parents(nside):
    surface = Healpix(nside)
    fine = surface.finer()
    assert fine.coarser() == surface
    np.testing.assert_array_equal(cells_of(fine.directions(), nside), np.arange(fine.shape[0]) // 4)
    np.testing.assert_array_equal(cells_of(surface.directions(), nside), np.arange(surface.shape[0]))


def test_face_coordinates_invert_point_directions():
    generator = np.random.default_rng(0)
    face, x, y = np.repeat(np.arange(12), 500), generator.random(6000), generator.random(6000)
    back = face_coordinates(point_directions(face, x, y))
    for found, wanted in zip(back, (face, x, y), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


def test_faces_are_flat_images_with_the_northern_corner_first():
    surface = Healpix(4)
    faces, z = surface.faces(), surface.directions()[:, 2]
    np.testing.assert_array_equal(np.sort(faces, axis=None), np.arange(192))
    np.testing.assert_array_equal(faces.ravel()[faces.argsort(None)], np.arange(192))
    assert (z[faces[:, 0, 0]] == z[faces].max(axis=(1, 2))).all()
    assert (z[faces[:, -1, -1]] == z[faces].min(axis=(1, 2))).all()
