"""Change under rotations, its resampling baseline, and the map of position effects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from panoramas import Constant, convolution, waves
from torch import nn

import omniconv as oc
from omniconv.audit import border_effects, by_latitude, rotation_consistency
from omniconv.audit.latitude import row_areas
from omniconv.audit.rotation import rotation_matrices
from omniconv.errors import InputError
from omniconv.surfaces import rotate


def test_identity_equals_the_resampling_baseline():
    found = rotation_consistency(nn.Identity(), waves(), rotations=3, classes=False)
    assert found.rotated.difference == pytest.approx(found.resampling_baseline.difference, rel=1e-6)
    assert 0 < found.rotated.difference < 0.3
    assert found.rotated.agreement is None


def test_baseline_is_that_of_rotating_there_and_back():
    images = waves(count=1, channels=1)
    rotation = rotation_matrices(1, seed=5)
    there = rotate(images[0], oc.Equirectangular(), rotation[0])
    back = rotate(there, oc.Equirectangular(), rotation[0].T)
    areas = oc.Equirectangular().areas((16, 32)) / (4 * np.pi)
    variance = (areas * (images[0] - (areas * images[0]).sum()) ** 2).sum()
    found = rotation_consistency(nn.Identity(), images, rotation)
    expected = np.sqrt((areas * (back - images[0]) ** 2).sum() / variance)
    assert found.resampling_baseline.difference == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("network", [Constant(), nn.Sequential(Constant(), nn.AdaptiveAvgPool2d(1), nn.Flatten())])
def test_constant_output_does_not_change(network):
    found = rotation_consistency(network, waves(), rotations=3)
    assert found.rotated.agreement == 1
    assert found.rotated.difference < 1e-9
    assert found.resampling_baseline.changed == 0


def test_pointwise_network_stays_near_the_baseline_and_a_derivative_does_not():
    near = rotation_consistency(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Tanh()), waves(height=32, width=64), 4)
    assert near.rotated.difference < 1.5 * near.resampling_baseline.difference + 0.01
    eastward = nn.Conv2d(3, 4, (1, 3), padding=(0, 1), padding_mode="circular", bias=False)
    with torch.no_grad():
        eastward.weight[:] = torch.tensor([-1.0, 0.0, 1.0])
    far = rotation_consistency(eastward, waves(height=32, width=64), 4, classes=False)
    assert far.rotated.difference > 4 * far.resampling_baseline.difference


def test_exact_rotations_need_no_resampling():
    half = np.diag([-1.0, -1.0, 1.0])
    found = rotation_consistency(convolution("circular"), waves(), half)
    assert found.rotated.difference < 1e-5
    assert found.resampling_baseline.difference < 1e-5
    assert found.degrees == (pytest.approx(180),)


def test_seed_determines_the_rotations():
    first, again, other = (rotation_consistency(convolution(), waves(), 2, seed) for seed in (3, 3, 4))
    assert first == again
    assert first.degrees != other.degrees


def test_rotations_are_drawn_uniformly():
    images = rotation_matrices(4000, 0) @ np.array([1.0, 2.0, 2.0]) / 3
    np.testing.assert_allclose(images.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(images.T @ images / 4000, np.eye(3) / 3, atol=0.03)
    assert np.all(np.linalg.det(rotation_matrices(20, 0)) > 0)


@pytest.mark.parametrize(
    ("rotations", "text"),
    [(0, "must be a number from 1, or matrices"), (True, "must be a number"), (np.ones((1, 3, 3)), "orthogonal 3×3")],
)
def test_unusable_rotations_are_refused(rotations, text):
    with pytest.raises(InputError, match=text):
        rotation_consistency(nn.Identity(), waves(), rotations)
    with pytest.raises(InputError, match="seed=-1"):
        rotation_consistency(nn.Identity(), waves(), 1, -1)


def test_border_effects_lie_at_the_edges_of_the_map():
    found = border_effects(convolution(outputs=1), waves(count=3, height=32, width=64), rotations=16)
    columns, rows = found.columns, found.rows
    assert min(columns[0], columns[-1]) > 5 * np.nanmean(np.abs(columns[8:-8]))
    assert min(rows[0], rows[-1]) > 5 * np.nanmean(np.abs(rows[8:-8]))
    assert found.poles.measure > found.control.measure
    assert found.map.shape == (32, 64)


def test_identity_has_no_border_effects_and_vectors_no_map():
    flat = border_effects(nn.Identity(), waves(height=32, width=64), rotations=12, classes=False)
    rough = border_effects(convolution(outputs=1), waves(height=32, width=64), rotations=12)
    assert np.nanmax(np.abs(flat.excess)) < 0.1 * np.nanmax(rough.excess)
    assert border_effects(nn.Sequential(Constant(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), waves()) is None


def test_area_weighted_bands_sum_to_the_total():
    arguments = {"panoramas": waves(), "rotations": 3, "seed": 1}
    edges = (90, 50, 13, -20, -90)
    bands = by_latitude(convolution(), bands=edges, **arguments)
    whole = rotation_consistency(convolution(), **arguments)
    areas = row_areas(16, edges).sum(axis=0)
    for name, rate in (("changed", whole.rotated), ("baseline_changed", whole.resampling_baseline)):
        assert areas @ bands.measures[name] == pytest.approx(rate.changed)
    for name, rate in (("difference", whole.rotated), ("baseline_difference", whole.resampling_baseline)):
        assert areas @ np.square(bands.measures[name]) == pytest.approx(rate.difference**2)
