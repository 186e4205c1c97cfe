from __future__ import annotations

import numpy as np
import pytest
from fields import linear, on_panorama, smooth

from omniconv.surfaces import Icosahedron, panorama
from omniconv.surfaces.icosahedron.faces import corners, vertices
from omniconv.surfaces.icosahedron.interpolation import locate, vertex_values


@pytest.mark.parametrize("level", range(6))
def test_upsampling_keeps_constants_and_does_not_overshoot(level):
    operator = Icosahedron(level).resize_neighbours().operators[0]
    assert operator.shape == (20 * 4 ** (level + 1), 20 * 4**level)
    np.testing.assert_allclose(operator.sum(axis=1), 1, rtol=1e-14)
    assert operator.data.min() > 0
    assert set(np.diff(operator.indptr).reshape(-1, 4)[:, 0]) == {1}  # a central child is its parent


@pytest.mark.parametrize("level", range(2, 6))
def test_upsampling_error_falls_by_four_when_the_spacing_halves(level):
    errors = []
    for coarse in (Icosahedron(level - 1), Icosahedron(level)):
        grown = linear(coarse.directions()) @ coarse.resize_neighbours().operators[0].T
        errors.append(np.abs(grown - linear(coarse.finer().directions())).max())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.06)


@pytest.mark.parametrize("level", range(1, 6))
def test_vertex_values_are_exact_for_linear_functions(level):
    weights = vertex_values(level)
    assert weights.shape == (10 * 4**level + 2, 20 * 4**level)
    assert sorted(np.unique(np.diff(weights.indptr), return_counts=True)[1]) == [12, 10 * 4**level - 10]
    corner, _ = vertices(level)
    places = np.empty((weights.shape[0], 3))
    places[corner] = corners(level)
    np.testing.assert_allclose(places[corner], corners(level), atol=1e-15)  # faces agree on where their vertices are
    away = np.cross(weights @ Icosahedron(level).directions(), places)
    assert np.linalg.norm(away, axis=1).max() < 0.02 / 8 ** (level - 1)


def test_nearest_upsampling_gives_children_the_value_of_their_parent():
    labels = np.random.default_rng(0).integers(0, 9, Icosahedron(2).shape)
    grown = Icosahedron(2).resize_neighbours(mode="nearest").operators[0] @ labels
    np.testing.assert_array_equal(grown, np.repeat(labels, 4))


@pytest.mark.parametrize("level", [0, 3, 6])
def test_located_face_contains_the_direction(level):
    directions = np.random.default_rng(0).normal(size=(2000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    around = corners(level)[locate(level, directions)]
    inside = np.linalg.solve(np.swapaxes(around, 1, 2), directions[..., None])
    assert inside.min() > -1e-12


@pytest.mark.parametrize("level", range(5))
def test_every_face_contains_a_pixel_of_the_smallest_panorama(level):
    height = Icosahedron(level).panorama_height()
    directions = panorama.pixel_directions(height, 2 * height).reshape(-1, 3)
    assert len(np.unique(locate(level, directions))) == 20 * 4**level


def test_error_from_a_panorama_falls_by_four_when_the_spacing_halves():
    wanted = linear(Icosahedron(3).directions())
    errors = [
        np.abs(Icosahedron(3).from_equirectangular(on_panorama(linear, height)) - wanted).max() for height in (12, 24)
    ]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.35)


def test_error_to_a_panorama_falls_by_four_when_the_spacing_halves():
    wanted = on_panorama(linear, 32)
    errors = []
    for level in (2, 3):
        sphere = Icosahedron(level)
        errors.append(np.abs(sphere.to_equirectangular(linear(sphere.directions()), 32) - wanted).max())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.2)


def test_error_there_and_back_falls_by_four_when_the_spacing_halves():
    errors = []
    for level in (3, 4, 5):
        height = Icosahedron(level).panorama_height()
        image = on_panorama(smooth, height)
        back = Icosahedron(level).to_equirectangular(Icosahedron(level).from_equirectangular(image), height)
        errors.append(np.abs(back - image).max())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.2)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.1)


def test_large_panorama_is_averaged_over_each_face():
    sphere = Icosahedron(2)
    noise = np.random.default_rng(0).normal(size=(128, 256))
    assert sphere.from_equirectangular(noise).std() < 0.2
    means = sphere.from_equirectangular(on_panorama(smooth, 128))
    assert np.abs(means - smooth(sphere.directions())).max() < 0.1
    assert sphere.areas() @ means == pytest.approx(sphere.areas() @ smooth(sphere.directions()), abs=0.02)


def test_signal_is_averaged_where_the_panorama_is_small():
    noise = np.random.default_rng(0).normal(size=Icosahedron(4).shape)
    assert Icosahedron(4).to_equirectangular(noise, 16).std() < 0.4
    shown = Icosahedron(4).to_equirectangular(smooth(Icosahedron(4).directions()), 32)
    assert np.abs(shown - on_panorama(smooth, 32)).max() < 0.05


def test_labels_survive_the_smallest_panorama():
    sphere = Icosahedron(3)
    labels = np.random.default_rng(0).integers(0, 5, sphere.shape)
    shown = sphere.to_equirectangular(labels, 2 * sphere.panorama_height(), "nearest")
    np.testing.assert_array_equal(sphere.from_equirectangular(shown, "nearest"), labels)
