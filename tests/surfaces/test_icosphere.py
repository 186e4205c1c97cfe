from __future__ import annotations

import re

import numpy as np
import pytest
from fields import linear, on_panorama, smooth

from omniconv.errors import InputError
from omniconv.surfaces import Icosphere

SIZES = [12, 42, 162, 642, 2562, 10242, 40962, 163842]


@pytest.mark.parametrize(("level", "size"), list(enumerate(SIZES)))
def test_sizes_are_published(level, size):
    assert Icosphere(level).shape == (size,)
    assert Icosphere(level).panorama_height() == 4 * 2**level


@pytest.mark.parametrize("level", range(6))
def test_areas_are_nearly_uniform(level):
    areas = Icosphere(level).areas()
    assert areas.sum() == pytest.approx(4 * np.pi, rel=1e-12)
    assert areas.max() / areas.min() < 1.6


@pytest.mark.parametrize("level", range(1, 5))
def test_coarser_vertices_are_first(level):
    fine, coarse = Icosphere(level), Icosphere(level).coarser()
    np.testing.assert_array_equal(fine.directions()[: coarse.shape[0]], coarse.directions())
    assert coarse.finer() == fine
    assert len(np.unique(fine.directions().round(9), axis=0)) == fine.shape[0]


@pytest.mark.parametrize("level", range(1, 4))
def test_poles_are_vertices_from_level_one(level):
    z = Icosphere(level).directions()[:, 2]
    assert z.max() == 1
    assert z.min() == -1


@pytest.mark.parametrize("laplacian", ["mass", "raw"])
@pytest.mark.parametrize("level", range(4))
def test_derivatives_of_a_constant_are_zero(level, laplacian):
    identity, *derivatives = Icosphere(level, laplacian).conv_neighbours().operators
    assert (identity.toarray() == np.eye(identity.shape[0])).all()
    for operator in derivatives:
        np.testing.assert_allclose(operator.sum(axis=1), 0, atol=1e-11)


def test_operators_approximate_the_derivatives():
    surface = Icosphere(4)
    x, y, z = surface.directions().T
    latitude, longitude = np.arcsin(z), np.arctan2(y, x)
    away = np.abs(latitude) < 1.3
    length = surface.spacing
    _, east, north, laplacian = surface.conv_neighbours().operators
    east, north, laplacian = east / length, north / length, laplacian / length**2
    np.testing.assert_allclose((north @ z)[away], np.cos(latitude)[away], atol=0.005)
    np.testing.assert_allclose((east @ x)[away], -np.sin(longitude)[away], atol=0.020)
    np.testing.assert_allclose((east @ z)[away], 0, atol=0.010)
    np.testing.assert_allclose(laplacian @ z, -2 * z, atol=0.01)
    areas = surface.mesh.voronoi_areas
    assert z @ (areas * (laplacian @ z)) / (areas @ z**2) == pytest.approx(-2, abs=0.002)


def test_raw_operators_are_those_of_the_published_code():
    mass, raw = (Icosphere(3, laplacian).conv_neighbours().operators for laplacian in ("mass", "raw"))
    length, areas = Icosphere(3).spacing, Icosphere(3).mesh.voronoi_areas
    for scaled, plain in zip(mass[1:3], raw[1:3], strict=True):
        np.testing.assert_allclose(scaled.toarray(), length * plain.toarray(), atol=1e-12)
    np.testing.assert_allclose(mass[3].toarray() * areas[:, None], length**2 * raw[3].toarray(), atol=1e-12)


@pytest.mark.parametrize("level", [2, 4, 6])
def test_operators_respond_equally_to_noise_on_every_level(level):
    noise = np.random.default_rng(0).normal(size=Icosphere(level).shape)
    responses = [np.std(operator @ noise) for operator in Icosphere(level).conv_neighbours().operators]
    assert all(0.3 < response < 6 for response in responses)


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("level", [1, 3])
def test_stride_two_keeps_the_rows_of_the_coarser_vertices(level, kernel_size):
    surface = Icosphere(level)
    full, strided = surface.conv_neighbours(kernel_size), surface.conv_neighbours(kernel_size, stride=2)
    assert (strided.outputs, strided.inputs) == (surface.coarser().shape[0], surface.shape[0])
    for every, kept in zip(full.operators, strided.operators, strict=True):
        assert (every[: strided.outputs] != kept).nnz == 0


def test_transposed_convolution_inserts_zeros_at_new_vertices():
    signal = np.random.default_rng(0).normal(size=Icosphere(1).shape)
    padded = np.concatenate([signal, np.zeros(Icosphere(2).shape[0] - len(signal))])
    up, fine = Icosphere(1).transposed_neighbours(), Icosphere(2).conv_neighbours()
    assert (up.outputs, up.inputs) == (162, 42)
    np.testing.assert_allclose(up.fused @ signal, fine.fused @ padded, atol=1e-12)


@pytest.mark.parametrize("level", range(4))
def test_linear_upsampling_is_exact_along_the_edges(level):
    surface = Icosphere(level)
    operator = surface.resize_neighbours().operators[0]
    signal = np.random.default_rng(0).normal(size=surface.shape)
    grown = operator @ signal
    np.testing.assert_array_equal(grown[: len(signal)], signal)
    np.testing.assert_allclose(operator.sum(axis=1), 1, rtol=1e-14)
    middles = (operator @ surface.directions())[len(signal) :]  # flat midpoints; the vertices lie above them
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    np.testing.assert_allclose(surface.finer().directions()[len(signal) :], middles, atol=1e-14)


def test_nearest_upsampling_keeps_labels():
    surface = Icosphere(2)
    labels = np.random.default_rng(0).integers(0, 9, surface.shape)
    grown = surface.resize_neighbours(mode="nearest").operators[0] @ labels
    assert set(np.unique(grown)) <= set(np.unique(labels))
    np.testing.assert_array_equal(grown[: len(labels)], labels)


@pytest.mark.parametrize("level", range(1, 4))
def test_pooling_averages_the_vertices_around(level):
    surface = Icosphere(level)
    operator = surface.pool_neighbours().operators[0]
    assert operator.shape == (*surface.coarser().shape, *surface.shape)
    np.testing.assert_allclose(operator.sum(axis=1), 1, rtol=1e-14)
    assert (operator.data > 0).all()
    assert set(np.diff(operator.indptr)) == ({6} if level == 1 else {6, 7})
    z = surface.directions()[:, 2]
    assert np.abs(operator @ z - surface.coarser().directions()[:, 2]).max() < 0.5 / 4 ** (level - 1)


@pytest.mark.parametrize("laplacian", ["mass", "raw"])
@pytest.mark.parametrize("level", range(1, 6))
def test_pooling_keeps_the_mean_by_area(level, laplacian):
    surface = Icosphere(level, laplacian)
    kept = surface.coarser().areas() @ surface.pool_neighbours().operators[0]
    np.testing.assert_allclose(kept, surface.areas(), rtol=1e-9)


def test_error_from_a_panorama_falls_by_four_when_the_spacing_halves():
    wanted = linear(Icosphere(3).directions())
    errors = [
        np.abs(Icosphere(3).from_equirectangular(on_panorama(linear, height)) - wanted).max() for height in (12, 24)
    ]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.35)


def test_error_to_a_panorama_falls_by_four_when_the_spacing_halves():
    wanted = on_panorama(linear, 32)
    errors = []
    for level in (2, 3):
        surface = Icosphere(level)
        errors.append(np.abs(surface.to_equirectangular(linear(surface.directions()), 32) - wanted).max())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.2)


def test_large_panorama_is_averaged_around_each_vertex():
    surface = Icosphere(2)
    noise = np.random.default_rng(0).normal(size=(128, 256))
    assert surface.from_equirectangular(noise).std() < 0.15
    means = surface.from_equirectangular(on_panorama(smooth, 128))
    assert np.abs(means - smooth(surface.directions())).max() < 0.2


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda: Icosphere(10), "level=10: must be a whole number from 0 to 9; use level=5 for 10,242 samples"),
        (lambda: Icosphere(1.0), "level=1.0: must be a whole number"),
        (lambda: Icosphere(1, "cotangent"), "laplacian='cotangent': must be one of mass, raw"),
        (lambda: Icosphere(0).coarser(), "level=0: has no coarser level: an icosphere of level L allows L steps"),
        (lambda: Icosphere(9).finer(), "level=10: must be a whole number from 0 to 9"),
        (lambda: Icosphere(1).conv_neighbours(5), "kernel_size=5: must be 3 (the four operators) or 1"),
        (lambda: Icosphere(1).conv_neighbours(3, 3), "stride=3: must be 1 or 2 on an icosphere"),
        (lambda: Icosphere(1).conv_neighbours(3, 1, 2), "dilation=2: must be 1 on an icosphere"),
        (lambda: Icosphere(1).transposed_neighbours(3, 4), "stride=4: must be 1 or 2 on an icosphere"),
        (lambda: Icosphere(1).pool_neighbours(3, 2), "kernel_size=3: must be 2 on an icosphere"),
        (lambda: Icosphere(1).pool_neighbours(2, 1), "stride=1: must be 2"),
        (lambda: Icosphere(1).resize_neighbours(4), "scale_factor=4: must be 2 on an icosphere"),
        (lambda: Icosphere(1).resize_neighbours(1), "scale_factor=1: must be 2 on an icosphere"),
    ],
)
def test_unsupported_arguments_are_rejected(ask, text):
    with pytest.raises(InputError, match=re.escape(text)):
        ask()
