"""Values between the faces of a subdivided icosahedron, and the maps from and to panoramas.

A signal on faces becomes a function on the sphere so: at the middle of a face it has the face's value, at a vertex that
of the plane laid by least squares through the middles around it, and it is linear on the triangles between a middle and
two vertices. It is continuous, keeps constants, and is exact on linear functions to second order in the size of a face.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import sparse

from omniconv.surfaces import panorama
from omniconv.surfaces.icosahedron import faces


@lru_cache(maxsize=faces.FINEST + 1)
def vertex_values(level: int) -> sparse.csr_array:
    """From faces to vertices ``(V, F)``: the value there of the plane fitted to the five or six faces around."""
    corner, around = faces.vertices(level)
    places = np.empty((len(around), 3))
    places[corner.ravel()] = faces.corners(level).reshape(-1, 3)
    weights = _plane_at(places, faces.centres(faces.corners(level))[around], around[:, 5] != around[:, 0])
    rows = np.repeat(np.arange(len(around)), 6)
    entries = (weights.ravel(), (rows, around.ravel()))
    matrix = sparse.csr_array(sparse.coo_array(entries, shape=(len(around), len(corner))))
    matrix.eliminate_zeros()
    return matrix


def _plane_at(places: np.ndarray, middles: np.ndarray, sixth: np.ndarray) -> np.ndarray:
    """Weights ``(V, 6)`` of middles ``(V, 6, 3)`` in the value of their least-squares plane at ``(V, 3)``."""
    counted = np.ones(middles.shape[:2])
    counted[:, 5] = sixth
    share = counted / counted.sum(axis=1, keepdims=True)
    flat = middles / np.einsum("vkx,vx->vk", middles, places)[..., None] - places[:, None]  # on the tangent plane
    mean = np.einsum("vk,vkx->vx", share, flat)
    away = flat - mean[:, None]
    spread = np.einsum("vk,vkx,vky->vxy", counted, away, away) + np.einsum("vx,vy->vxy", places, places)
    slope = np.linalg.solve(spread, mean[..., None])[..., 0]
    weights = counted * (share - np.einsum("vkx,vx->vk", away, slope))
    return weights / weights.sum(axis=1, keepdims=True)


@lru_cache(maxsize=faces.FINEST)
def growth(level: int) -> sparse.csr_array:
    """From a level to the next finer one: centres as their parents, corners half way from parent to vertex."""
    count, at_vertices = 20 * 4**level, vertex_values(level)
    children = np.arange(4 * count)
    shares = (np.tile([1, 0.5, 0.5, 0.5], count), (children, children // 4))
    from_parent = sparse.coo_array(shares, shape=(4 * count, count))
    halves = (np.full(3 * count, 0.5), (children[children % 4 > 0], faces.vertices(level)[0].ravel()))
    from_vertex = sparse.csr_array(sparse.coo_array(halves, shape=(4 * count, at_vertices.shape[0])))
    return sparse.csr_array(from_parent + from_vertex @ at_vertices)


def locate(level: int, directions: np.ndarray) -> np.ndarray:
    """The face that holds each direction ``(n, 3)``, found from level to level, ``(n,)``."""
    found = (directions @ faces.centres(faces.corners(0)).T).argmax(axis=1)
    for finer in range(1, level + 1):
        inside = _inside(faces.corners(finer)[::4], found, directions)
        beyond = inside.argmin(axis=1)
        child = np.where(inside.min(axis=1) < 0, 1 + (beyond + 1) % 3, 0)
        found = 4 * found + child
    return found


def _inside(corners: np.ndarray, chosen: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """How far each direction lies within side 0, 1, 2 of its triangle, ``(n, 3)``, in no unit."""
    normals = np.cross(np.roll(corners, 1, axis=1), corners)
    return np.einsum("nsx,nx->ns", normals[chosen], directions)


@lru_cache(maxsize=8)
def to_panorama(level: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """The face under each pixel ``(n,)``, and the weights ``(n, 4)`` of its middle and its three corners."""
    return around(level, panorama.pixel_directions(height, 2 * height).reshape(-1, 3))


def around(level: int, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The face under each direction ``(n,)``, and the weights ``(n, 4)`` of its middle and its three corners."""
    found = locate(level, directions)
    by_corner = np.roll(_inside(faces.corners(level), found, directions).clip(0), 1, axis=1)  # beyond its far side
    least = by_corner.min(axis=1, keepdims=True)
    weights = np.concatenate([3 * least, by_corner - least], axis=1)
    return found, weights / weights.sum(axis=1, keepdims=True)


def interpolation_matrix(level: int, directions: np.ndarray) -> sparse.csr_array:
    """Values at directions ``(n, 3)`` of a signal on the faces, as a matrix (n, F)."""
    found, weights = around(level, directions)
    count, at_vertices = len(found), vertex_values(level)
    middles = (weights[:, 0], found, np.arange(count + 1))
    corners = (weights[:, 1:].ravel(), faces.vertices(level)[0][found].ravel(), np.arange(0, 3 * count + 1, 3))
    of_vertices = sparse.csr_array(corners, shape=(count, at_vertices.shape[0]))
    return sparse.csr_array(sparse.csr_array(middles, shape=(count, 20 * 4**level)) + of_vertices @ at_vertices)


@lru_cache(maxsize=8)
def from_panorama(level: int, height: int, width: int, splits: int) -> sparse.csr_array:
    """Means over faces ``(F, height · width)`` of the panorama, read between pixels at ``4**splits`` places in each."""
    parts = faces.corners(level)
    for _ in range(splits):
        parts = faces.split(parts)
    count, places = 20 * 4**level, 4**splits
    areas = faces.spherical_areas(parts).reshape(count, places)
    share = (areas / areas.sum(axis=1, keepdims=True)).reshape(-1, 1)
    pixels, weights = panorama.bilinear_pixels(faces.centres(parts), height, width)
    pointers = np.arange(count + 1) * 4 * places
    entries = ((weights * share).ravel(), pixels.ravel(), pointers)
    matrix = sparse.csr_array(entries, shape=(count, height * width))
    matrix.sum_duplicates()
    return matrix
