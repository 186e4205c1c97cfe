"""The subdivided icosahedron with samples on its vertices (Jiang et al., ICLR 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import combinations
from typing import ClassVar, Literal, get_args

import numpy as np
from scipy import sparse

from omniconv.checks import is_integer
from omniconv.errors import InputError
from omniconv.surfaces import panorama
from omniconv.surfaces.base import Resampling, Surface
from omniconv.surfaces.icosphere.balancing import balanced
from omniconv.surfaces.icosphere.triangle_mesh import TriangleMesh
from omniconv.surfaces.neighbours.stencil import Stencil

FINEST = 9
Laplacian = Literal["mass", "raw"]


@dataclass(frozen=True)
class Icosphere(Surface):
    """10 · 4ˡ + 2 nearly even samples on the sphere, in nested order: the first ones are the next coarser level.

    A convolution is a weighted sum of four differential operators: identity, derivative to the east, derivative to the
    north, Laplacian ("Spherical CNNs on Unstructured Grids", eq. 4).

    Args:
        level: how often the icosahedron was subdivided, 0 … 9.
        laplacian: ``mass`` divides the cotangent Laplacian by the area of each sample, and measures lengths in
            ``spacing``, so that the four operators answer alike to detail as fine as the mesh and a weight means the
            same on every level; ``raw`` takes the operators of the published code: the Laplacian undivided, the
            derivatives by radian.

    Raises:
        InputError: a level out of range or an unknown ``laplacian``.

    Example:
        >>> Icosphere(5).shape, Icosphere(5).coarser().shape
        ((10242,), (2562,))
    """

    level: int
    laplacian: Laplacian = "mass"
    ndim: ClassVar[int] = 1  # type: ignore[misc]  # a constant here, a choice on a plane
    is_nested_prefix: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not is_integer(self.level, 0) or self.level > FINEST:
            raise InputError(
                "level", self.level, f"must be a whole number from 0 to {FINEST}", "use 5 for 10,242 samples"
            )
        if self.laplacian not in get_args(Laplacian):
            raise InputError(
                "laplacian", self.laplacian, f"must be one of {', '.join(get_args(Laplacian))}", "correct it"
            )

    def __str__(self) -> str:
        return f"icosphere:{self.level},laplacian={self.laplacian}"

    @property
    def shape(self) -> tuple[int]:
        """The number of vertices."""
        return (10 * 4**self.level + 2,)

    @property
    def spacing(self) -> float:
        """Side of a square as large as a sample's mean area, in radians: the unit of length of ``mass`` operators."""
        return float(np.sqrt(4 * np.pi / self.shape[0]))

    @property
    def mesh(self) -> TriangleMesh:
        """Vertices and faces."""
        return _subdivided(self.level)[0]

    def directions(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Unit vectors of the vertices, ``(N, 3)``."""
        return self.mesh.vertices.copy()

    def areas(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """A third of the spherical triangles around each vertex, ``(N,)``."""
        return self.mesh.spherical_areas.copy()

    def interpolation_matrix(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> sparse.csr_array:
        """Linear on the triangles between vertices."""
        vertices, weights = self.mesh.locate(directions)
        ends = np.arange(0, weights.size + 1, 3)
        return sparse.csr_array((weights.ravel(), vertices.ravel(), ends), shape=(len(vertices), *self.shape))

    def nearest_sample(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """The vertex nearest to each direction."""
        return self.mesh.tree.query(directions)[1]

    def coarser(self) -> Icosphere:
        """One level down.

        Raises:
            InputError: there is none below level 0.
        """
        if self.level == 0:
            raise InputError(
                "level",
                0,
                "has no coarser level: an icosphere of level L allows L steps of stride 2",
                "use a higher level or fewer steps",
            )
        return Icosphere(self.level - 1, self.laplacian)

    def finer(self) -> Icosphere:
        """One level up."""
        return Icosphere(self.level + 1, self.laplacian)

    def conv_neighbours(self, kernel_size: int = 3, stride: int = 1, dilation: int = 1) -> Stencil:
        """Identity, east, north and Laplacian (``kernel_size=3``) or the identity alone (1).

        Stride 2 keeps the rows of the coarser vertices; the derivatives are still those of this level.
        """
        stencil = _operators(self, self._kernel(kernel_size, dilation))
        if stride == 1:
            return stencil
        kept = self._step(stride).coarser().shape[0]
        return Stencil.of([operator[:kept] for operator in stencil.operators])

    def transposed_neighbours(self, kernel_size: int = 3, stride: int = 2, dilation: int = 1) -> Stencil:
        """The operators of the finer level on a signal that is 0 at the new vertices (the paper's figure 2)."""
        finer = self._step(stride).finer() if stride != 1 else self
        stencil = _operators(finer, self._kernel(kernel_size, dilation))
        return Stencil.of([operator[:, : self.shape[0]] for operator in stencil.operators])

    def pool_neighbours(self, kernel_size: int = 2, stride: int = 2) -> Stencil:
        """Each coarser vertex and the finer ones around it, weighed by area and by half where two share them.

        The shares are moved by less than a hundredth so that the mean by area stays what it is.
        """
        for name, value in (("kernel_size", kernel_size), ("stride", stride)):
            if value != 2:
                raise InputError(
                    name, value, "must be 2: an icosphere pools to the next level", "use kernel_size=2, stride=2"
                )
        return _means(self.coarser().level)

    def resize_neighbours(self, scale_factor: int = 2, mode: Resampling = "linear") -> Stencil:
        """Old vertices as they are, new ones between their two neighbours (``nearest``: as the first of them)."""
        if scale_factor != 2:
            raise InputError(
                "scale_factor", scale_factor, "must be 2: an icosphere grows to the next level", "chain steps of 2"
            )
        finer = self.finer()
        if mode == "linear":
            return Stencil.of([_interpolation(self.level)])
        table = np.concatenate([np.arange(self.shape[0]), _subdivided(finer.level)[1][:, 0]])
        return Stencil.from_table(table[:, None], inputs=self.shape[0])

    def panorama_height(self) -> int:
        """2^(level + 2): pixels at the equator a good half as far apart as the vertices."""
        return 2 ** (self.level + 2)

    def from_equirectangular(self, image: np.ndarray, mode: Resampling = "linear") -> np.ndarray:
        """A panorama ``(…, H, W)`` at the vertices, ``(…, N)``."""
        if mode == "nearest":
            return panorama.sample(image, self.directions(), "nearest")
        rows = 4 * self.panorama_height()
        return panorama.gathered(image, rows, partial(_from_panorama, self.level), self.shape)

    def to_equirectangular(self, signal: np.ndarray, height: int, mode: Resampling = "linear") -> np.ndarray:
        """A signal ``(…, N)`` as a panorama, linear on the triangles or the value of the nearest vertex."""
        vertices, weights = _to_panorama(self.level, height)
        if mode == "nearest":
            nearest = np.take_along_axis(vertices, weights.argmax(axis=1)[:, None], axis=1)[:, 0]
            return signal[..., nearest].reshape(*signal.shape[:-1], height, 2 * height)
        dtype = np.result_type(signal.dtype, np.float32)
        result = sum(signal[..., vertices[:, k]] * weights[:, k].astype(dtype) for k in range(3))
        return np.asarray(result).reshape(*signal.shape[:-1], height, 2 * height)

    def _kernel(self, kernel_size: int, dilation: int) -> int:
        if kernel_size not in (1, 3):
            raise InputError(
                "kernel_size",
                kernel_size,
                "must be 3 (the four operators) or 1 (the identity) on an icosphere",
                "use kernel_size=3",
            )
        if dilation != 1:
            raise InputError("dilation", dilation, "must be 1 on an icosphere", "see further with a coarser level")
        return kernel_size

    def _step(self, stride: int) -> Icosphere:
        if stride != 2:
            raise InputError("stride", stride, "must be 1 or 2 on an icosphere", "chain layers of stride 2")
        return self


@lru_cache(maxsize=FINEST + 2)
def _subdivided(level: int) -> tuple[TriangleMesh, np.ndarray]:
    """The mesh of a level, and the two vertices of the coarser level between which each of its new ones lies."""
    if level == 0:
        return _icosahedron(), np.empty((0, 2), dtype=np.int64)
    coarse, _ = _subdivided(level - 1)
    a, b, c = coarse.faces.T
    sides = np.sort(np.concatenate([np.stack(side, axis=1) for side in ((a, b), (b, c), (c, a))]), axis=1)
    numbers, which = np.unique(sides @ (len(coarse.vertices), 1), return_inverse=True)  # faster than by rows
    edges = np.stack(np.divmod(numbers, len(coarse.vertices)), axis=1)
    middles = coarse.vertices[edges].sum(axis=1)
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    ab, bc, ca = (which + len(coarse.vertices)).reshape(3, -1)
    faces = [np.stack(face, axis=1) for face in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    return TriangleMesh(np.concatenate([coarse.vertices, middles]), np.concatenate(faces)), edges


def _icosahedron() -> TriangleMesh:
    golden = (1 + np.sqrt(5)) / 2
    plane = np.array([(-1, golden, 0), (1, golden, 0), (-1, -golden, 0), (1, -golden, 0)])
    vertices = np.concatenate([plane, np.roll(plane, 1, axis=1), np.roll(plane, 2, axis=1)])
    near = ((vertices[:, None] - vertices[None]) ** 2).sum(-1) < 4.5  # edges have length 2
    triples = [t for t in combinations(range(12), 3) if all(near[i, j] for i, j in combinations(t, 2))]
    faces = [t if np.linalg.det(vertices[list(t)]) > 0 else (t[0], t[2], t[1]) for t in triples]
    return TriangleMesh(vertices / np.linalg.norm(vertices[0]), np.array(faces))


@lru_cache(maxsize=2 * FINEST)
def _operators(surface: Icosphere, kernel_size: int) -> Stencil:
    identity = sparse.eye_array(surface.shape[0])
    if kernel_size == 1:
        return Stencil.of([identity])
    mesh = surface.mesh
    latitude = np.arctan2(mesh.vertices[:, 2], np.hypot(mesh.vertices[:, 0], mesh.vertices[:, 1]))
    north = np.einsum("fcx,fc->fx", mesh.hat_gradients, latitude[mesh.faces])
    east = np.cross(north, mesh.normals)
    derivatives = [mesh.gradient_along(east), mesh.gradient_along(north)]
    if surface.laplacian == "raw":
        return Stencil.of([identity, *derivatives, mesh.cotangent_laplacian])
    length = surface.spacing
    laplacian = sparse.diags_array(length**2 / mesh.voronoi_areas) @ mesh.cotangent_laplacian
    return Stencil.of([identity, *(length * derivative for derivative in derivatives), laplacian])


@lru_cache(maxsize=FINEST + 1)
def _interpolation(level: int) -> sparse.csr_array:
    """From a level to the next finer one, linear along the edges."""
    coarse, fine = Icosphere(level).shape[0], Icosphere(level + 1).shape[0]
    halves = np.full((fine - coarse, 2), 0.5)
    rows = np.repeat(np.arange(coarse, fine), 2)
    between = sparse.coo_array((halves.ravel(), (rows, _subdivided(level + 1)[1].ravel())), shape=(fine, coarse))
    return sparse.csr_array(between + sparse.eye_array(fine, coarse))


@lru_cache(maxsize=FINEST + 1)
def _means(level: int) -> Stencil:
    """From the next finer level to a level: what linear interpolation hands out, in exact measure."""
    coarse, fine = Icosphere(level).areas(), Icosphere(level + 1).areas()
    shares = sparse.csr_array(_interpolation(level).T @ sparse.diags_array(fine))
    means = sparse.diags_array(1 / coarse) @ balanced(shares, coarse, fine)
    return Stencil.of([sparse.diags_array(1 / means.sum(axis=1)) @ means])


@lru_cache(maxsize=8)
def _from_panorama(level: int, height: int, width: int) -> sparse.csr_array:
    """Averages around the vertices where many pixels lie around each of them, else the pixels between which it lies."""
    surface = Icosphere(level)
    if 2 * max(np.pi / height, 2 * np.pi / width) > surface.spacing:
        return panorama.bilinear_matrix(surface.directions(), height, width)
    vertices, weights = surface.mesh.locate(panorama.pixel_directions(height, width).reshape(-1, 3))
    weights = weights * panorama.pixel_areas(height, width).reshape(-1, 1)
    columns = np.repeat(np.arange(height * width), 3)
    entries = (weights.ravel(), (vertices.ravel(), columns))
    around = sparse.csr_array(sparse.coo_array(entries, shape=(surface.shape[0], height * width)))
    return sparse.csr_array(sparse.diags_array(1 / around.sum(axis=1)) @ around)


@lru_cache(maxsize=8)
def _to_panorama(level: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    directions = panorama.pixel_directions(height, 2 * height).reshape(-1, 3)
    return Icosphere(level).mesh.locate(directions)
