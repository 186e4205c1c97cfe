from __future__ import annotations

import numpy as np
import pytest

from omniconv.surfaces import Icosphere

LEVELS = [0, 1, 3]


def mesh_of(level):
    return Icosphere(level).mesh


def edge_lengths(mesh):
    return np.linalg.norm(np.roll(mesh.corners, -1, axis=1) - mesh.corners, axis=-1)


@pytest.mark.parametrize("level", range(5))
def test_mesh_is_a_closed_sphere(level):
    mesh = mesh_of(level)
    directed = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    assert len(mesh.faces) == 20 * 4**level
    assert len(np.unique(directed, axis=0)) == len(directed) == 60 * 4**level
    np.testing.assert_array_equal(np.unique(directed, axis=0), np.unique(directed[:, ::-1], axis=0))
    assert (np.einsum("fx,fx->f", mesh.normals, mesh.corners.mean(axis=1)) > 0).all()
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, rtol=1e-12)


def test_published_numbers_of_the_icosphere():
    mesh = mesh_of(5)
    laplacian = mesh.cotangent_laplacian.tocoo()
    beside = laplacian.data[laplacian.row != laplacian.col]
    assert beside.min() == pytest.approx(0.3256, abs=5e-5)
    assert beside.max() == pytest.approx(0.7264, abs=5e-5)
    assert mesh.face_areas.max() / mesh.face_areas.min() == pytest.approx(1.300, abs=5e-4)
    assert mesh.face_areas.sum() == pytest.approx(12.5626, abs=5e-5)


@pytest.mark.parametrize(("level", "least", "most"), [(4, 0.0692, 0.0826), (5, 0.0346, 0.0413)])
def test_published_lengths_of_edges(level, least, most):
    lengths = edge_lengths(mesh_of(level))
    assert lengths.min() == pytest.approx(least, abs=5e-5)
    assert lengths.max() == pytest.approx(most, abs=5e-5)


@pytest.mark.parametrize("level", LEVELS)
def test_laplacian_is_symmetric_and_sends_constants_to_zero(level):
    laplacian = mesh_of(level).cotangent_laplacian
    assert abs(laplacian - laplacian.T).max() < 1e-12
    np.testing.assert_allclose(laplacian.sum(axis=1), 0, atol=1e-12)
    assert np.linalg.eigvalsh(laplacian.toarray()).max() < 1e-9


@pytest.mark.parametrize("level", LEVELS)
def test_hat_gradients_are_exact_on_linear_functions(level):
    mesh, slope = mesh_of(level), np.array([0.3, -1.2, 0.7])
    gradients = np.einsum("fcx,fc->fx", mesh.hat_gradients, mesh.corners @ slope)
    tangential = slope - (mesh.normals @ slope)[:, None] * mesh.normals
    np.testing.assert_allclose(gradients, tangential, atol=1e-12)
    np.testing.assert_allclose(mesh.hat_gradients.sum(axis=1), 0, atol=1e-11)


@pytest.mark.parametrize("level", LEVELS)
def test_gradient_along_a_field_is_an_average_over_faces(level):
    mesh = mesh_of(level)
    field = np.random.default_rng(0).normal(size=(len(mesh.faces), 3))
    signal = np.random.default_rng(1).normal(size=len(mesh.vertices))
    on_faces = np.einsum("fcx,fc,fx->f", mesh.hat_gradients, signal[mesh.faces], field)
    wanted = np.zeros(len(mesh.vertices))
    for vertex in range(len(mesh.vertices)):
        around = (mesh.faces == vertex).any(axis=1)
        wanted[vertex] = np.average(on_faces[around], weights=mesh.face_areas[around])
    np.testing.assert_allclose(mesh.gradient_along(field) @ signal, wanted, atol=1e-10)


@pytest.mark.parametrize("level", LEVELS)
def test_areas_of_vertices_sum_to_the_whole(level):
    mesh = mesh_of(level)
    assert mesh.voronoi_areas.sum() == pytest.approx(mesh.face_areas.sum(), rel=1e-12)
    assert mesh.spherical_areas.sum() == pytest.approx(4 * np.pi, rel=1e-12)
    np.testing.assert_allclose(mesh.face_to_vertex.sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_located_triangle_reproduces_the_direction(level):
    mesh = mesh_of(level)
    directions = np.random.default_rng(0).normal(size=(500, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    vertices, weights = mesh.locate(directions)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-12)
    found = np.einsum("nk,nkx->nx", weights, mesh.vertices[vertices])
    np.testing.assert_allclose(found / np.linalg.norm(found, axis=1, keepdims=True), directions, atol=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_vertices_are_located_at_themselves(level):
    mesh = mesh_of(level)
    vertices, weights = mesh.locate(mesh.vertices)
    best = np.take_along_axis(vertices, weights.argmax(axis=1)[:, None], axis=1)[:, 0]
    np.testing.assert_array_equal(best, np.arange(len(mesh.vertices)))
    np.testing.assert_allclose(weights.max(axis=1), 1, rtol=1e-12)
