"""The icosphere's operators against libigl, which the published code takes its own from, and against calculus."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial import cKDTree

from omniconv.surfaces import Icosphere

LEVELS = range(5)
POLAR = 1.3  # radians of latitude past which east and north turn too fast for the mesh
FIELDS = {"x": np.array([1.0, 0, 0]), "z": np.array([0, 0, 1.0]), "askew": np.array([0.3, -1.2, 0.7])}


@pytest.fixture(scope="module")
def igl():
    return pytest.importorskip("igl", reason="libigl is not installed")


def arrays(level):
    mesh = Icosphere(level).mesh
    return mesh.vertices, mesh.faces.astype(np.int64)


def face_gradient(igl, level):
    """libigl's gradient, which stacks all d/dx, all d/dy, all d/dz, as one matrix for each axis."""
    return np.split(sparse.csr_array(igl.grad(*arrays(level))).toarray(), 3)


def face_to_vertex(igl, level):
    """The mean over the faces around each vertex by libigl's areas."""
    vertices, faces = arrays(level)
    around = np.zeros((len(vertices), len(faces)))
    around[faces.T, np.arange(len(faces))] = igl.doublearea(vertices, faces)
    return around / around.sum(axis=1, keepdims=True)


def published_derivatives(igl, level):
    """East and north as the published code builds them: dotted on the faces, then averaged."""
    vertices, faces = arrays(level)
    gradient = face_gradient(igl, level)
    latitude = np.arctan2(vertices[:, 2], np.hypot(vertices[:, 0], vertices[:, 1]))
    north = np.stack([axis @ latitude for axis in gradient], axis=1)
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    normals = np.cross(b - a, c - a) / igl.doublearea(vertices, faces)[:, None]
    fields, mean = (np.cross(north, normals), north), face_to_vertex(igl, level)
    return [mean @ sum(field[:, k, None] * gradient[k] for k in range(3)) for field in fields]


def errors(level, field):
    """How far east, north and Laplacian of a linear field are from calculus, at each vertex away from the poles."""
    surface, slope = Icosphere(level, "raw"), FIELDS[field]
    directions = surface.directions()
    latitude, longitude = np.arcsin(directions[:, 2]), np.arctan2(directions[:, 1], directions[:, 0])
    _, east, north, laplacian = (operator @ (directions @ slope) for operator in surface.conv_neighbours().operators)
    flat = np.zeros_like(latitude)
    eastward = np.stack([-np.sin(longitude), np.cos(longitude), flat], axis=1)
    northward = np.cross(directions, eastward)
    laplacian = laplacian / surface.mesh.voronoi_areas + 2 * directions @ slope
    found = np.stack([east - eastward @ slope, north - northward @ slope, laplacian])
    return found[:, np.abs(latitude) < POLAR]


def turned(level, axis, angle):
    """Where a rotation about an axis takes each vertex, and the rotation's matrix."""
    axis = axis / np.linalg.norm(axis)
    cross = np.cross(np.eye(3), axis).T
    rotation = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    directions = Icosphere(level).directions()
    distances, images = cKDTree(directions).query(directions @ rotation.T)
    assert distances.max() < 1e-12
    return images, rotation


@pytest.mark.parametrize("level", LEVELS)
def test_laplacian_is_that_of_libigl(igl, level):
    wanted = sparse.csr_array(igl.cotmatrix(*arrays(level)))
    raw = Icosphere(level, "raw").conv_neighbours().operators[3]
    assert abs(raw - wanted).max() < 1e-12
    assert abs(Icosphere(level).mesh.cotangent_laplacian - wanted).max() < 1e-12


@pytest.mark.parametrize("level", LEVELS)
def test_areas_are_those_of_libigl(igl, level):
    vertices, faces = arrays(level)
    masses = igl.massmatrix(vertices, faces, igl.MASSMATRIX_TYPE_VORONOI).diagonal()
    np.testing.assert_allclose(Icosphere(level).mesh.voronoi_areas, masses, rtol=1e-12)
    np.testing.assert_allclose(2 * Icosphere(level).mesh.face_areas, igl.doublearea(vertices, faces), rtol=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_default_laplacian_is_libigls_by_area_in_units_of_the_spacing(igl, level):
    vertices, faces = arrays(level)
    masses = igl.massmatrix(vertices, faces, igl.MASSMATRIX_TYPE_VORONOI).diagonal()
    scale = sparse.diags_array(Icosphere(level).spacing ** 2 / masses)
    wanted = scale @ sparse.csr_array(igl.cotmatrix(vertices, faces))
    assert abs(Icosphere(level).conv_neighbours().operators[3] - wanted).max() < 1e-11


@pytest.mark.parametrize("level", range(4))  # dense here: the next level is sampled below
def test_derivatives_are_those_of_the_published_code(igl, level):
    operators = Icosphere(level, "raw").conv_neighbours().operators
    for ours, wanted in zip(operators[1:3], published_derivatives(igl, level), strict=True):
        np.testing.assert_allclose(ours.toarray(), wanted, atol=1e-11)


def test_derivatives_of_the_mnist_level_are_those_of_the_published_code(igl):
    level, (vertices, faces) = 4, arrays(4)
    signals = np.random.default_rng(0).normal(size=(len(vertices), 3))
    gradients = np.stack(np.split(igl.grad(vertices, faces) @ signals, 3))  # (axis, F, signal)
    latitude = np.arctan2(vertices[:, 2], np.hypot(vertices[:, 0], vertices[:, 1]))
    north = np.stack(np.split(igl.grad(vertices, faces) @ latitude, 3), axis=1)
    for ours, field in zip(
        Icosphere(level, "raw").conv_neighbours().operators[1:3],
        (np.cross(north, Icosphere(level).mesh.normals), north),
        strict=True,
    ):
        on_faces = np.einsum("xfs,fx->fs", gradients, field)
        np.testing.assert_allclose(ours @ signals, Icosphere(level).mesh.face_to_vertex @ on_faces, atol=1e-10)


@pytest.mark.parametrize("level", range(4))
def test_mean_over_faces_is_by_libigls_areas(igl, level):
    np.testing.assert_allclose(Icosphere(level).mesh.face_to_vertex.toarray(), face_to_vertex(igl, level), atol=1e-14)


@pytest.mark.parametrize("field", FIELDS)
def test_averaging_first_as_in_the_papers_text_gives_the_same(igl, field):
    """Text: gradients to the vertices, then dotted there; code, and we: dotted on the faces, then averaged."""
    level, directions = 3, Icosphere(3).directions()
    signal, mean = directions @ FIELDS[field], face_to_vertex(igl, 3)
    gradients = np.stack([mean @ (axis @ signal) for axis in face_gradient(igl, level)], axis=1)
    longitude = np.arctan2(directions[:, 1], directions[:, 0])
    east = np.stack([-np.sin(longitude), np.cos(longitude), 0 * longitude], axis=1)
    away = np.abs(np.arcsin(directions[:, 2])) < 1.0
    operators = Icosphere(level, "raw").conv_neighbours().operators[1:3]
    for ours, direction in zip(operators, (east, np.cross(directions, east)), strict=True):
        by_text = (gradients * direction).sum(axis=1)
        assert np.sqrt(np.mean((ours @ signal - by_text)[away] ** 2)) < 0.005


@pytest.mark.parametrize("field", FIELDS)
def test_errors_halve_with_the_spacing_at_worst_and_fall_faster_on_average(field):
    coarse, fine = errors(3, field), errors(5, field)
    worst = np.log2(np.abs(coarse).max(axis=1) / np.abs(fine).max(axis=1)) / 2
    typical = np.log2(np.sqrt((coarse**2).mean(axis=1)) / np.sqrt((fine**2).mean(axis=1))) / 2
    assert (worst > 0.8).all(), worst
    assert (typical > 1.35).all(), typical


def test_published_errors_of_derivatives_at_level_four():
    assert np.abs(errors(4, "z")[1]).max() < 0.005 + 1e-5
    assert np.abs(errors(4, "x")[0]).max() < 0.020
    assert np.sqrt((errors(4, "askew") ** 2).mean(axis=1)).max() < 0.004


@pytest.mark.parametrize("level", range(1, 6))
def test_linear_fields_are_eigenvectors_of_the_laplacian_on_average(level):
    mesh = Icosphere(level).mesh
    for signal in mesh.vertices.T:
        power = signal @ (mesh.voronoi_areas * signal)
        assert signal @ (mesh.cotangent_laplacian @ signal) / power == pytest.approx(-2, rel=1e-12)


def test_published_numbers_of_the_icosahedron():
    laplacian = Icosphere(0, "raw").conv_neighbours().operators[3].toarray()
    beside = laplacian[~np.eye(12, dtype=bool)]
    np.testing.assert_allclose(np.diag(laplacian), -2.88675, atol=1e-5)
    np.testing.assert_allclose(beside[beside != 0], 0.57735, atol=1e-5)
    assert (beside != 0).sum() == 60


def test_published_numbers_of_the_north_fields(igl):
    vertices, faces = arrays(4)
    latitude = np.arctan2(vertices[:, 2], np.hypot(vertices[:, 0], vertices[:, 1]))
    lengths = np.linalg.norm(np.stack(np.split(igl.grad(vertices, faces) @ latitude, 3)), axis=0)
    assert lengths.min() == pytest.approx(0.826, abs=5e-4)
    assert lengths.max() == pytest.approx(1.1755, abs=5e-5)


def test_north_at_the_poles_points_inward_from_all_sides():
    directions = Icosphere(4).directions()
    north = Icosphere(4, "raw").conv_neighbours().operators[2]
    poles = np.abs(directions[:, 2]) == 1
    assert poles.sum() == 2
    slopes = (north @ directions)[poles]
    np.testing.assert_allclose(slopes[:, :2], 0, atol=1e-12)
    np.testing.assert_allclose(np.abs(slopes[:, 2]), 0.05, atol=0.001)


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("corner", [0, 5, 11])
def test_rotations_by_72_degrees_about_a_corner_are_symmetries(level, corner):
    surface = Icosphere(level)
    images, rotation = turned(level, surface.directions()[corner], 2 * np.pi / 5)
    np.testing.assert_allclose(surface.areas()[images], surface.areas(), rtol=1e-12)
    laplacian = surface.conv_neighbours().operators[3].toarray()
    np.testing.assert_allclose(laplacian[np.ix_(images, images)], laplacian, atol=1e-11)
    axes = [surface.mesh.gradient_along(np.broadcast_to(axis, surface.mesh.normals.shape)) for axis in np.eye(3)]
    gradient = np.stack([axis.toarray() for axis in axes])  # (x, N, N): a vector at each vertex, which turns along
    turned_gradient = np.einsum("xy,ynm->xnm", rotation, gradient)
    np.testing.assert_allclose(gradient[:, images][:, :, images], turned_gradient, atol=1e-11)


@pytest.mark.parametrize("laplacian", ["mass", "raw"])
@pytest.mark.parametrize("level", range(4))
def test_rotations_by_180_degrees_about_the_poles_are_symmetries(level, laplacian):
    images, _ = turned(level, np.array([0.0, 0, 1]), np.pi)
    for operator in Icosphere(level, laplacian).conv_neighbours().operators:
        dense = operator.toarray()
        np.testing.assert_allclose(dense[np.ix_(images, images)], dense, atol=1e-11)
