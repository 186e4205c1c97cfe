from __future__ import annotations

import numpy as np
import pytest
from fields import linear, on_panorama, rotation_about, smooth

from omniconv.surfaces import Healpix, panorama
from omniconv.surfaces.healpix.indexing import cells_of
from omniconv.surfaces.healpix.interpolation import bilinear_cells


def random_directions(count, seed=0):
    directions = np.random.default_rng(seed).normal(size=(count, 3))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


@pytest.mark.parametrize("nside", [1, 2, 4, 8, 16])
def test_upsampling_weighs_the_four_cells_around(nside):
    operator = Healpix(nside).resize_neighbours().operators[0]
    assert operator.shape == (48 * nside**2, 12 * nside**2)
    np.testing.assert_allclose(operator.sum(axis=1), 1, rtol=1e-14)
    assert (operator.data >= 0).all()
    assert np.diff(operator.indptr).max() == 4
    parents = operator[np.arange(48 * nside**2), np.arange(48 * nside**2) // 4]
    assert parents.min() > 0.25


def test_nearest_upsampling_gives_children_the_value_of_their_parent():
    labels = np.random.default_rng(0).integers(0, 9, 48)
    np.testing.assert_array_equal(Healpix(2).resize_neighbours(mode="nearest").operators[0] @ labels, labels.repeat(4))


def errors_of(result, nsides):
    return [np.abs(np.subtract(*result(Healpix(nside)))).max() for nside in nsides]


def grown(surface):
    return surface.resize_neighbours().operators[0] @ smooth(surface.directions()), smooth(surface.finer().directions())


def mapped_there(surface):
    shown = on_panorama(smooth, surface.panorama_height())
    return surface.from_equirectangular(shown), smooth(surface.directions())


def mapped_back(surface):
    return surface.to_equirectangular(smooth(surface.directions()), 48), on_panorama(smooth, 48)


def there_and_back(surface):
    shown = on_panorama(smooth, surface.panorama_height())
    return surface.to_equirectangular(surface.from_equirectangular(shown), len(shown)), shown


@pytest.mark.parametrize(
    ("result", "nsides"),
    [(grown, (8, 16)), (mapped_there, (8, 16)), (mapped_back, (8, 16)), (there_and_back, (16, 32))],
)
def test_error_falls_by_four_when_the_spacing_halves(result, nsides):
    coarse, fine = errors_of(result, nsides)
    assert coarse / fine == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("nside", [1, 2, 8])
def test_interpolation_is_between_the_cells_around(nside):
    surface = Healpix(nside)
    poles = [(0, 0, 1), (0, 0, -1)]
    directions = np.concatenate([random_directions(5000), surface.directions(), poles])
    cells, weights = bilinear_cells(directions, nside)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-14)
    rays = np.einsum("nk,nkx->nx", weights, surface.directions()[cells])
    angles = np.linalg.norm(np.cross(rays / np.linalg.norm(rays, axis=1, keepdims=True), directions), axis=1)
    assert angles.max() < 0.2 * surface.spacing**2
    own = np.zeros((len(directions), surface.shape[0]))
    np.add.at(own, (np.arange(len(directions))[:, None], cells), weights)
    np.testing.assert_allclose(own[5000:-2], np.eye(surface.shape[0]), atol=1e-9)
    np.testing.assert_allclose(own[-2, nside**2 - 1 : 4 * nside**2 : nside**2], 0.25, atol=1e-12)  # northern corners
    np.testing.assert_allclose(own[-1, 8 * nside**2 :: nside**2], 0.25, atol=1e-12)


@pytest.mark.parametrize("nside", [1, 4])
def test_interpolation_is_continuous(nside):
    directions = random_directions(4000, seed=1)
    shifted = directions + 1e-7 * random_directions(4000, seed=2)
    shifted /= np.linalg.norm(shifted, axis=1, keepdims=True)
    signal = np.random.default_rng(0).normal(size=12 * nside**2)
    values = [(signal[cells] * weights).sum(axis=1) for cells, weights in
              (bilinear_cells(rays, nside) for rays in (directions, shifted))]  # fmt: skip
    assert np.abs(values[0] - values[1]).max() < 1e-5


def test_rolling_a_panorama_by_a_quarter_permutes_cells():
    surface = Healpix(4)
    image = np.random.default_rng(0).random((20, 40))
    onto = cells_of(surface.directions() @ rotation_about("z", np.pi / 2).T, 4)
    signal, moved = (surface.from_equirectangular(each) for each in (image, np.roll(image, 10, axis=1)))
    np.testing.assert_allclose(moved[onto], signal, atol=1e-12)
    for mode in ("linear", "nearest"):
        first, second = (surface.to_equirectangular(each, 14, mode) for each in (signal, moved))
        np.testing.assert_allclose(second, np.roll(first, 7, axis=1), atol=1e-12)


@pytest.mark.parametrize("height", [64, 128, 200])
def test_large_panorama_is_averaged_over_each_cell(height):
    surface = Healpix(4)
    noise = np.random.default_rng(0).normal(size=(height, 2 * height))
    assert surface.from_equirectangular(noise).std() < 1.3 * np.sqrt(surface.shape[0] / noise.size)
    means = surface.from_equirectangular(on_panorama(linear, height))
    assert np.abs(means - linear(surface.directions())).max() < 0.05


def test_labels_stay_labels():
    surface = Healpix(4)
    labels = np.array([3, 7, 250], dtype=np.uint8)[np.random.default_rng(0).integers(0, 3, (24, 48))]
    signal = surface.from_equirectangular(labels, "nearest")
    shown = surface.to_equirectangular(signal, 20, "nearest")
    for result in (signal, shown):
        assert result.dtype == np.uint8
        assert set(np.unique(result)) <= {3, 7, 250}
    np.testing.assert_array_equal(shown, signal[cells_of(panorama.pixel_directions(20, 40), 4)])
