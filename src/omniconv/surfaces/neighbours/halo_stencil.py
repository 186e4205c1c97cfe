"""Stencils that are 3 × 3 windows on square faces, so that a dense convolution computes them."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from omniconv.surfaces.neighbours.stencil import Stencil


class HaloStencil(Stencil):
    """Nine taps that are the 3 × 3 windows of square faces, and the halo exchange that pads each face by one sample.

    A layer gathers the padded faces with ``halo`` and convolves them with the backend's dense kernel, which is faster
    than the sparse product of nine taps.

    Args:
        windows: the nine taps of every sample, row by row.
        faces: index of the sample at each position of the faces, ``(faces, size, size)``.

    Attributes:
        halo: operator from the samples to the padded faces, ``(faces · (size + 2)², samples)``.

    Example:
        >>> ring = Stencil.from_table(np.zeros((1, 9), int), inputs=1)             # a face of one sample, all around it
        >>> HaloStencil(ring, np.zeros((1, 1, 1), int)).halo.outputs
        9
    """

    faces: np.ndarray
    halo: Stencil
    is_halo = True

    def __init__(self, windows: Stencil, faces: np.ndarray) -> None:
        super().__init__(windows.operators, windows.input_shape, windows.output_shape, windows.kernel_shape)
        object.__setattr__(self, "faces", faces)
        object.__setattr__(self, "halo", Stencil.of([_padded_faces(windows, faces)]))


def _padded_faces(windows: Stencil, faces: np.ndarray) -> sparse.csr_array:
    """Take each position of the padded faces from the window tap of the nearest sample that reaches it."""
    size = faces.shape[-1]
    positions = np.arange(-1, size + 1)
    nearest = np.clip(positions, 0, size - 1)
    tap = positions - nearest + 1
    sample = faces[:, nearest[:, None], nearest]  # (faces, size + 2, size + 2)
    rows = sample * windows.taps + (3 * tap[:, None] + tap)
    return sparse.csr_array(windows.fused[rows.ravel()])
