"""Interpolation between the faces of a subdivided icosahedron, and means of panoramas over them.

A signal on faces defines a continuous function on the sphere: at the centre of a face it has the face's value, at a
vertex that of the least-squares plane through the centres around it, and it is linear on the triangles between a centre
and two vertices. It keeps constants; the error on smooth functions is of second order in the size of a face.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import sparse

from omniconv.surfaces import panorama
from omniconv.surfaces.icosahedron import faces
from omniconv.surfaces.neighbours.stencil import csr_from_rows


@lru_cache(maxsize=faces.FINEST + 1)
def vertex_values(level: int) -> sparse.csr_array:
    """Return the map from faces to vertices ``(V, F)``: the plane fitted to the five or six faces around each."""
    corner, around = faces.vertices(level)
    positions = np.empty((len(around), 3))
    positions[corner.ravel()] = faces.corners(level).reshape(-1, 3)
    weights = _plane_weights(positions, faces.centres(faces.corners(level))[around], around[:, 5] != around[:, 0])
    return csr_from_rows(around, weights, len(corner))


def _plane_weights(vertices: np.ndarray, centres: np.ndarray, has_sixth: np.ndarray) -> np.ndarray:
    """Return weights ``(V, 6)`` of centres ``(V, 6, 3)`` in the value of their least-squares plane at ``(V, 3)``."""
    counted = np.ones(centres.shape[:2])
    counted[:, 5] = has_sixth
    share = counted / counted.sum(axis=1, keepdims=True)
    flat = centres / np.einsum("vkx,vx->vk", centres, vertices)[..., None] - vertices[:, None]  # on the tangent plane
    mean = np.einsum("vk,vkx->vx", share, flat)
    offset = flat - mean[:, None]
    # v vᵀ makes the covariance invertible along the normal, where all offsets are 0
    covariance = np.einsum("vk,vkx,vky->vxy", counted, offset, offset) + np.einsum("vx,vy->vxy", vertices, vertices)
    slope = np.linalg.solve(covariance, mean[..., None])[..., 0]
    weights = counted * (share - np.einsum("vkx,vx->vk", offset, slope))
    return weights / weights.sum(axis=1, keepdims=True)


@lru_cache(maxsize=faces.FINEST)
def upsample_matrix(level: int) -> sparse.csr_array:
    """Return upsampling to the next finer level: central children as their parents, others half way to the vertex."""
    at_corners, count = faces.vertices(level)[0], 20 * 4**level
    # the weight of a central child's vertex is 0, so that its row may name any vertex
    vertices = np.concatenate([at_corners[:, :1], at_corners], axis=1).reshape(-1, 1)
    to_vertex = np.tile([0, 0.5, 0.5, 0.5], count)[:, None]
    from_vertex = csr_from_rows(vertices, to_vertex, vertex_values(level).shape[0])
    from_vertex.eliminate_zeros()
    from_parent = csr_from_rows(np.arange(4 * count)[:, None] // 4, 1 - to_vertex, count)
    return sparse.csr_array(from_parent + from_vertex @ vertex_values(level))


def locate(level: int, directions: np.ndarray) -> np.ndarray:
    """Return the face that contains each direction ``(n, 3)``, ``(n,)``, by descending from level to level."""
    face = (directions @ faces.centres(faces.corners(0)).T).argmax(axis=1)
    for finer in range(1, level + 1):
        inside = _distances_to_sides(faces.corners(finer)[::4], face, directions)  # in the central child
        outside = inside.argmin(axis=1)
        child = np.where(inside.min(axis=1) < 0, 1 + (outside + 1) % 3, 0)
        face = 4 * face + child
    return face


def _distances_to_sides(corners: np.ndarray, face: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Return signed distances, up to a factor, of directions to sides 0, 1, 2 of their triangle, ``(n, 3)``."""
    normals = np.cross(np.roll(corners, 1, axis=1), corners)
    return np.einsum("nsx,nx->ns", normals[face], directions)


def interpolation_matrix(level: int, directions: np.ndarray) -> sparse.csr_array:
    """Return interpolation of a signal on the faces at directions ``(n, 3)`` as a matrix (n, F)."""
    face = locate(level, directions)
    # The side opposite to corner k is side k + 1: the distance to it is the barycentric coordinate of the corner.
    by_corner = np.roll(_distances_to_sides(faces.corners(level), face, directions).clip(0), 1, axis=1)
    smallest = by_corner.min(axis=1, keepdims=True)
    weights = np.concatenate([3 * smallest, by_corner - smallest], axis=1)  # of the centre and the three corners
    weights /= weights.sum(axis=1, keepdims=True)
    of_centres = csr_from_rows(face[:, None], weights[:, :1], 20 * 4**level)
    of_vertices = csr_from_rows(faces.vertices(level)[0][face], weights[:, 1:], vertex_values(level).shape[0])
    return sparse.csr_array(of_centres + of_vertices @ vertex_values(level))


@lru_cache(maxsize=8)
def from_panorama(level: int, height: int, width: int, splits: int) -> sparse.csr_array:
    """Return means over faces ``(F, height · width)`` of a panorama, interpolated at ``4**splits`` points in each."""
    parts = faces.corners(level)
    for _ in range(splits):
        parts = faces.split(parts)
    count = 20 * 4**level
    areas = faces.spherical_areas(parts).reshape(count, -1)
    share = (areas / areas.sum(axis=1, keepdims=True)).reshape(-1, 1)
    pixels, weights = panorama.bilinear_pixels(faces.centres(parts), height, width)
    return csr_from_rows(pixels.reshape(count, -1), (weights * share).reshape(count, -1), height * width)
