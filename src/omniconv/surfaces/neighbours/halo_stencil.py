"""Stencils that are the square windows of a grid: framed faces, on which a dense convolution does the same."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from omniconv.surfaces.neighbours.stencil import Stencil


class FramedStencil(Stencil):
    """The taps of 3 × 3 windows on square faces, with what lies around each face in a frame one sample wide.

    Args:
        windows: the nine taps, row by row, of every sample.
        places: the sample at each place of the faces, ``(faces, size, size)``.

    Attributes:
        frame: the operator from the samples to the framed faces, ``(faces · (size + 2)², samples)``.

    Example:
        >>> ring = Stencil.from_table(np.zeros((1, 9), int), inputs=1)             # a face of one sample, all around it
        >>> FramedStencil(ring, np.zeros((1, 1, 1), int)).frame.outputs
        9
    """

    places: np.ndarray
    frame: Stencil

    def __init__(self, windows: Stencil, places: np.ndarray) -> None:
        super().__init__(windows.operators, windows.input_shape, windows.output_shape, windows.kernel_shape)
        object.__setattr__(self, "places", places)
        object.__setattr__(self, "frame", Stencil.of([_framed(windows, places)]))


def _framed(windows: Stencil, places: np.ndarray) -> sparse.csr_array:
    """Each place of the framed faces is the tap of the nearest sample that reaches it."""
    size = places.shape[-1]
    along = np.arange(-1, size + 1)
    nearest = np.clip(along, 0, size - 1)
    tap = along - nearest + 1
    sample = places[:, nearest[:, None], nearest]  # (faces, size + 2, size + 2)
    rows = sample * windows.taps + (3 * tap[:, None] + tap)
    return sparse.csr_array(windows.fused[rows.ravel()])
