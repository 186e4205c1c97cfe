"""Differential operators of functions that are linear on the triangles of a closed mesh around the origin.

Gradients and cotangent Laplacian are those of linear finite elements; the directional derivatives follow Jiang et al.,
"Spherical CNNs on Unstructured Grids", ICLR 2019, section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from omniconv.surfaces.icosahedron.faces import spherical_areas
from omniconv.surfaces.neighbours.stencil import csr_from_rows

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

CHUNK = 8192
"""Directions that ``locate`` takes at a time, so that their candidate triangles stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class TriangleMesh:
    """A closed mesh of triangles whose corners run counter-clockwise seen from outside."""

    vertices: np.ndarray  # positions, float64 (N, 3)
    faces: np.ndarray  # corners of each triangle, integers (F, 3)

    @cached_property
    def corners(self) -> np.ndarray:
        """Positions of the corners of each face, ``(F, 3 corners, 3)``."""
        return self.vertices[self.faces]

    @cached_property
    def doubled_normals(self) -> np.ndarray:
        """Outward normals whose length is twice the area of the face, ``(F, 3)``."""
        a, b, c = np.moveaxis(self.corners, 1, 0)
        return np.cross(b - a, c - a)

    @cached_property
    def face_areas(self) -> np.ndarray:
        """Flat areas of the faces, ``(F,)``."""
        return np.linalg.norm(self.doubled_normals, axis=1) / 2

    @cached_property
    def normals(self) -> np.ndarray:
        """Unit outward normals of the faces, ``(F, 3)``."""
        return self.doubled_normals / (2 * self.face_areas[:, None])

    @cached_property
    def hat_gradients(self) -> np.ndarray:
        """Gradient on each face of the function that is 1 at one corner and 0 at the others, ``(F, 3 corners, 3)``."""
        opposite_edges = np.roll(self.corners, -2, axis=1) - np.roll(self.corners, -1, axis=1)
        return np.cross(self.normals[:, None, :], opposite_edges) / (2 * self.face_areas[:, None, None])

    @cached_property
    def cotangents(self) -> np.ndarray:
        """Cotangent of the angle at each corner, ``(F, 3)``."""
        after = np.roll(self.corners, -1, axis=1) - self.corners
        before = np.roll(self.corners, -2, axis=1) - self.corners
        return (after * before).sum(-1) / np.linalg.norm(np.cross(after, before), axis=-1)

    def gradient_along(self, field: np.ndarray) -> sparse.csr_array:
        """Return the derivative along vectors ``(F, 3)`` on the faces, averaged to the vertices by area, ``(N, N)``."""
        on_faces = self._faces_by_vertices(np.einsum("fcx,fx->fc", self.hat_gradients, field))
        return sparse.csr_array(self.face_to_vertex @ on_faces)

    @cached_property
    def face_to_vertex(self) -> sparse.csr_array:
        """Area-weighted mean over the faces around each vertex, ``(N, F)``."""
        incidence = self._faces_by_vertices(np.repeat(self.face_areas[:, None], 3, axis=1)).T
        return sparse.csr_array(sparse.diags_array(1 / incidence.sum(axis=1)) @ incidence)

    @cached_property
    def cotangent_laplacian(self) -> sparse.csr_array:
        """Cotangent Laplacian ``(N, N)``: (cot α + cot β)/2 of the angles opposite each edge; rows sum to 0."""
        starts, ends = np.roll(self.faces, -1, axis=1).ravel(), np.roll(self.faces, -2, axis=1).ravel()
        count = len(self.vertices)
        one_way = sparse.csr_array((self.cotangents.ravel() / 2, (starts, ends)), shape=(count, count))
        weights = sparse.csr_array(one_way + one_way.T)
        return sparse.csr_array(weights - sparse.diags_array(weights.sum(axis=1)))

    @cached_property
    def voronoi_areas(self) -> np.ndarray:
        """Flat area of each vertex's Voronoi cell, ``(N,)``; every angle must be acute."""
        squared = ((np.roll(self.corners, -1, axis=1) - self.corners) ** 2).sum(-1)  # edge from corner i to i + 1
        share = squared * np.roll(self.cotangents, -2, axis=1) / 8  # times the cotangent of the opposite angle
        return self._sum_at_vertices(share + np.roll(share, 1, axis=1))

    @cached_property
    def spherical_areas(self) -> np.ndarray:
        """A third of the area of the spherical triangles around each vertex, ``(N,)``; they sum to 4π."""
        areas = spherical_areas(self.corners / np.linalg.norm(self.corners, axis=-1, keepdims=True))
        return self._sum_at_vertices(np.repeat(areas[:, None] / 3, 3, axis=1))

    def locate(self, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the three vertices around each direction ``(n, 3)`` and their linear weights, both ``(n, 3)``.

        The triangle is searched among those around the nearest vertex.
        """
        inverse = np.linalg.inv(np.swapaxes(self.corners, 1, 2))
        candidates = self._faces_around[self.tree.query(directions)[1]]
        face, inside = np.empty(len(directions), dtype=np.int64), np.empty((len(directions), 3))
        for start in range(0, len(directions), CHUNK):
            chunk = slice(start, start + CHUNK)
            weights = np.einsum("nkcx,nx->nkc", inverse[candidates[chunk]], directions[chunk])
            best = np.arange(len(weights)), weights.min(axis=2).argmax(axis=1)
            face[chunk], inside[chunk] = candidates[chunk][best], np.clip(weights[best], 0, None)
        return self.faces[face], inside / inside.sum(axis=1, keepdims=True)

    @cached_property
    def tree(self) -> cKDTree:
        """Search tree of the vertices."""
        from scipy.spatial import cKDTree  # 0.1 s to import

        return cKDTree(self.vertices)

    @cached_property
    def _faces_around(self) -> np.ndarray:
        """Faces around each vertex, ``(N, largest number)``; a vertex with fewer repeats its last one."""
        order = np.argsort(self.faces.ravel(), kind="stable")
        counts = np.bincount(self.faces.ravel())
        starts = np.cumsum(counts) - counts
        slots = np.minimum(np.arange(counts.max())[None, :], counts[:, None] - 1)
        return (order // 3)[starts[:, None] + slots]

    def _faces_by_vertices(self, values: np.ndarray) -> sparse.csr_array:
        return csr_from_rows(self.faces, values, len(self.vertices))

    def _sum_at_vertices(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(self.faces.ravel(), weights=values.ravel(), minlength=len(self.vertices))
