"""The subdivided icosahedron with samples on its vertices (Jiang et al., ICLR 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import ClassVar, Literal, get_args

import numpy as np
from scipy import sparse

from omniconv.checks import check_choice
from omniconv.surfaces.base import Resampling, SubdividedIcosahedron, check_halving, check_supported
from omniconv.surfaces.icosphere.triangle_mesh import TriangleMesh
from omniconv.surfaces.neighbours.stencil import LazyStencil, Stencil, csr_from_rows, identity_stencil

FINEST = 9
"""The finest level: 2,621,442 vertices."""
TAPS = {1: 1, 3: 4}
"""Number of operators by ``kernel_size``."""
Laplacian = Literal["mass", "raw"]


@dataclass(frozen=True)
class Icosphere(SubdividedIcosahedron):
    """10 · 4ˡ + 2 nearly uniform samples on the sphere, in nested order: the first ones are the next coarser level.

    Samples are the vertices; ``directions()`` and ``mesh`` have their positions and order.

    A convolution is a weighted sum of four differential operators: identity, derivative to the east, derivative to the
    north, Laplacian ("Spherical CNNs on Unstructured Grids", eq. 4).

    Args:
        level: number of subdivisions of the icosahedron, 0 … 9.
        laplacian: ``mass`` divides the cotangent Laplacian by the area of each sample and measures lengths in
            ``spacing``, so that the four operators respond equally to detail at the scale of the mesh, on every level;
            ``raw`` takes the operators of the published code: the Laplacian undivided, the derivatives per radian.

    Raises:
        InputError: a level out of range, or an unknown ``laplacian``.

    Example:
        >>> Icosphere(5).shape, Icosphere(5).coarser().shape
        ((10242,), (2562,))
    """

    laplacian: Laplacian = "mass"
    short_name: ClassVar[str] = "icosphere"
    example: ClassVar[Mapping[str, int]] = {"level": 5}
    finest: ClassVar[int] = FINEST
    kernels: ClassVar[str] = "3 (the four operators) or 1 (the identity)"
    is_nested_prefix: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("laplacian", self.laplacian, get_args(Laplacian), "use laplacian='mass'")

    @property
    def shape(self) -> tuple[int]:
        return (10 * 4**self.level + 2,)

    @property
    def mesh(self) -> TriangleMesh:
        """Vertices and faces of the level."""
        return _subdivided(self.level)[0]

    def directions(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        return self.mesh.vertices.copy()

    def areas(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Return a third of the area of the spherical triangles around each vertex, ``(N,)``."""
        return self.mesh.spherical_areas.copy()

    def interpolation_matrix(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> sparse.csr_array:
        """Return linear interpolation on the triangles between vertices."""
        return csr_from_rows(*self.mesh.locate(directions), self.shape[0])

    def nearest_sample(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> np.ndarray:
        return self.mesh.tree.query(directions)[1]

    def conv_neighbours(self, kernel_size: int = 3, stride: int = 1, dilation: int = 1) -> Stencil:
        """Return identity, east, north and Laplacian (``kernel_size=3``), or the identity alone (1).

        Stride 2 keeps the rows of the coarser vertices; the derivatives are those of this level.
        """
        self.check_conv(kernel_size, stride, dilation)
        if (kernel_size, stride) == (1, 1):
            return identity_stencil(self.shape)
        output = self if stride == 1 else self.coarser()
        return LazyStencil(_rows_of, (self, kernel_size, stride), self.shape, output.shape, (TAPS[kernel_size],))

    def transposed_neighbours(self, kernel_size: int = 3, stride: int = 2, dilation: int = 1) -> Stencil:
        """Return the operators of the finer level on a signal that is 0 at the new vertices (the paper's figure 2).

        This is not the adjoint of the convolution of stride 2: the published network fills with zeros instead.
        """
        self.check_conv(kernel_size, stride, dilation)
        if (kernel_size, stride) == (1, 1):
            return identity_stencil(self.shape)
        finer = self.finer() if stride == 2 else self
        taps = (TAPS[kernel_size],)
        return LazyStencil(_columns_of, (finer, kernel_size, self.shape[0]), self.shape, finer.shape, taps)

    def pool_neighbours(self, kernel_size: int = 2, stride: int = 2) -> Stencil:
        """Return each coarser vertex and the finer ones around it, weighted by area, and by ½ where two share them.

        The weights are changed by less than 1 % so that pooling preserves the mean by area exactly.
        """
        check_halving(kernel_size, stride, "on an icosphere")
        return LazyStencil(_means, (self.coarser().level,), self.shape, self.coarser().shape)

    def resize_neighbours(self, scale_factor: int = 2, mode: Resampling = "linear") -> Stencil:
        """Return old vertices unchanged and new ones as the mean of their two neighbours (``nearest``: the first)."""
        check_supported("scale_factor", scale_factor, (2,), "on an icosphere", "chain steps of 2")
        return LazyStencil(_upsampling, (self.level, mode), self.shape, self.finer().shape)

    def panorama_height(self) -> int:
        """Return 2^(level + 2): pixels at the equator are a little more than half as far apart as the vertices."""
        return 2 ** (self.level + 2)


@lru_cache(maxsize=FINEST + 2)
def _subdivided(level: int) -> tuple[TriangleMesh, np.ndarray]:
    """Return the mesh of a level, and for each new vertex the two coarser vertices whose midpoint it is."""
    if level == 0:
        return _icosahedron(), np.empty((0, 2), dtype=np.int64)
    coarse, _ = _subdivided(level - 1)
    a, b, c = coarse.faces.T
    sides = np.sort(np.concatenate([np.stack(side, axis=1) for side in ((a, b), (b, c), (c, a))]), axis=1)
    # one number for each edge: np.unique sorts numbers much faster than rows
    numbers, edge_of_side = np.unique(sides @ (len(coarse.vertices), 1), return_inverse=True)
    edges = np.stack(np.divmod(numbers, len(coarse.vertices)), axis=1)
    middles = coarse.vertices[edges].sum(axis=1)
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    ab, bc, ca = (edge_of_side + len(coarse.vertices)).reshape(3, -1)
    faces = [np.stack(face, axis=1) for face in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    return TriangleMesh(np.concatenate([coarse.vertices, middles]), np.concatenate(faces)), edges


def _icosahedron() -> TriangleMesh:
    golden = (1 + np.sqrt(5)) / 2
    plane = np.array([(-1, golden, 0), (1, golden, 0), (-1, -golden, 0), (1, -golden, 0)])
    vertices = np.concatenate([plane, np.roll(plane, 1, axis=1), np.roll(plane, 2, axis=1)])
    near = ((vertices[:, None] - vertices[None]) ** 2).sum(-1) < 4.5  # edges have length 2, the next distance is 3.2
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


@lru_cache(maxsize=4)
def _rows_of(surface: Icosphere, kernel_size: int, stride: int) -> Stencil:
    """Return the operators of a level at all vertices or, at stride 2, at those of the coarser level."""
    stencil = _operators(surface, kernel_size)
    if stride == 1:
        return stencil
    return Stencil.of([operator[: surface.coarser().shape[0]] for operator in stencil.operators])


@lru_cache(maxsize=4)
def _columns_of(surface: Icosphere, kernel_size: int, count: int) -> Stencil:
    """Return the operators of a level on signals that are 0 but for the first ``count`` vertices."""
    return Stencil.of([operator[:, :count] for operator in _operators(surface, kernel_size).operators])


@lru_cache(maxsize=4)
def _upsampling(level: int, mode: Resampling) -> Stencil:
    if mode == "linear":
        return Stencil.of([_upsample_matrix(level)])
    coarse = Icosphere(level).shape[0]
    table = np.concatenate([np.arange(coarse), _subdivided(level + 1)[1][:, 0]])
    return Stencil.from_table(table[:, None], inputs=coarse)


@lru_cache(maxsize=FINEST + 1)
def _upsample_matrix(level: int) -> sparse.csr_array:
    """Return linear interpolation along the edges from a level to the next finer one."""
    coarse = Icosphere(level).shape[0]
    between = csr_from_rows(_subdivided(level + 1)[1], 0.5, coarse)
    return sparse.csr_array(sparse.vstack([sparse.eye_array(coarse), between]))


@lru_cache(maxsize=FINEST + 1)
def _means(level: int) -> Stencil:
    """Return area averages from the next finer level to a level: the transposed interpolation, balanced."""
    coarse, fine = Icosphere(level).areas(), Icosphere(level + 1).areas()
    shares = sparse.csr_array(_upsample_matrix(level).T @ sparse.diags_array(fine))
    means = sparse.diags_array(1 / coarse) @ balance_marginals(shares, coarse, fine)
    return Stencil.of([sparse.diags_array(1 / means.sum(axis=1)) @ means])


def balance_marginals(shares: sparse.csr_array, rows: np.ndarray, columns: np.ndarray) -> sparse.csr_array:
    """Return a sparse matrix whose entries are changed a little, so that its rows and columns have given sums.

    ``shares`` has positive, connected entries, near to the sums, which have the same total. Each entry is multiplied
    by ``1 + u[row] + v[column]``, the first step of iterative proportional fitting, solved to rounding; ``u`` solves a
    sparse system with one unknown for each row.

    Example:
        >>> near = sparse.csr_array([[2.0, 1.0], [0.0, 1.0]])
        >>> balance_marginals(near, np.array([2.5, 1.5]), np.array([2.0, 2.0])).toarray().round(12).tolist()
        [[2.0, 0.5], [0.0, 1.5]]
    """
    from scipy.sparse.linalg import cg  # 0.1 s to import

    row_sums, column_sums = np.asarray(shares.sum(axis=1)), np.asarray(shares.sum(axis=0))
    row_error, column_error = rows - row_sums, columns - column_sums
    normalized = shares @ sparse.diags_array(1 / column_sums)
    system = sparse.csr_array(sparse.diags_array(row_sums) - normalized @ shares.T)
    # The system is singular: u is determined up to a constant, which v compensates. CG converges nevertheless.
    u, _ = cg(system, row_error - normalized @ column_error, rtol=1e-12)
    v = (column_error - shares.T @ u) / column_sums
    entries = shares.tocoo(copy=True)
    entries.data *= 1 + u[entries.row] + v[entries.col]
    return sparse.csr_array(entries)
