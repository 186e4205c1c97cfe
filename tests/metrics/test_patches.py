from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from omniconv.errors import InputError
from omniconv.metrics import patch_distances
from omniconv.metrics.patches import laplacian_pyramid
from omniconv.surfaces import Equirectangular, Icosphere


def noise(n=10, channels=2, height=32, width=64, seed=0):
    return np.random.default_rng(seed).normal(size=(n, channels, height, width))


def test_levels_of_a_constant_are_zero_except_the_coarsest():
    fine, middle, coarse = laplacian_pyramid(np.full((1, 1, 64, 128), 3.0), ["reflect", "wrap"])
    assert fine[..., 2:-2, :] == pytest.approx(0, abs=1e-12)
    assert middle[..., 2:-2, :] == pytest.approx(0, abs=1e-12)
    assert coarse == pytest.approx(3)
    assert coarse.shape == (1, 1, 16, 32)


def test_a_pyramid_on_panoramas_commutes_with_rolls():
    x = noise()
    for one, turned in zip(*(laplacian_pyramid(z, ["reflect", "wrap"]) for z in (x, np.roll(x, 8, -1))), strict=True):
        assert turned == pytest.approx(np.roll(one, 8 * one.shape[-1] // 64, -1), abs=1e-12)


def test_distances_tell_textures_apart():
    a, b = noise(16), noise(16, seed=1)
    b = ndimage.uniform_filter1d(b, 7, axis=-1, mode="wrap")
    same, other = (patch_distances(a, x, Equirectangular(), projections=32) for x in (noise(16, seed=2), b))
    assert len(same) == 2
    assert other[0] > 2 * same[0]
    assert patch_distances(a, b, projections=8, seed=1) == patch_distances(a, b, projections=8, seed=1)


def test_wrong_images_are_refused():
    with pytest.raises(InputError, match=r"images_b=\(10, 2, 6, 64\): must be images of \(2, 6, 64\).*at least 7 rows"):
        patch_distances(noise(height=6), noise(height=6))
    with pytest.raises(InputError, match=r"surface=.*must be a plane or panoramas"):
        patch_distances(np.zeros((2, 1, 42)), np.zeros((2, 1, 42)), Icosphere(1))
