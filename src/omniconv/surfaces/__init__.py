"""Surfaces: sample positions and neighbourhoods of images, in NumPy and SciPy, without layers or tensors.

``base.Surface`` states what a surface must define. Its ``…_neighbours`` methods return a description of which input
samples each output depends on, and with which fixed weights (``neighbours/``): a ``Border`` for regular grids, a
``Stencil`` of sparse operators for samples anywhere, or a ``RowStencil`` for kernels that differ between rows. Layers
in ``omniconv.nn`` choose their operator from it when they are built. There is one package for each surface
(``equirectangular/``, ``icosphere/``, ``icosahedron/``, ``healpix/``, ``cubemap/``) and ``plane.py``; ``registry.py``
parses their short names. ``panorama.py`` has functions of equirectangular images, the exchange format of all surfaces;
``resampling/`` maps signals between surfaces, rotates them, and cuts out perspective views.
"""

from omniconv.surfaces.base import Surface
from omniconv.surfaces.cubemap.surface import Cubemap
from omniconv.surfaces.equirectangular.surface import Equirectangular
from omniconv.surfaces.healpix.surface import Healpix
from omniconv.surfaces.icosahedron.surface import Icosahedron
from omniconv.surfaces.icosphere.surface import Icosphere
from omniconv.surfaces.neighbours.border import Border
from omniconv.surfaces.neighbours.row_stencil import RowStencil
from omniconv.surfaces.neighbours.stencil import Stencil
from omniconv.surfaces.plane import Plane
from omniconv.surfaces.registry import SURFACES, register_surface, surface
from omniconv.surfaces.resampling.between_surfaces import map_between, resample
from omniconv.surfaces.resampling.perspective import View, into_panorama, into_surface, view_of
from omniconv.surfaces.resampling.rotation import rotate, rotation_of

__all__ = [
    "SURFACES", "Border", "Cubemap", "Equirectangular", "Healpix", "Icosahedron", "Icosphere", "Plane", "RowStencil",
    "Stencil", "Surface", "View", "into_panorama", "into_surface", "map_between", "register_surface", "resample",
    "rotate", "rotation_of", "surface", "view_of",
]  # fmt: skip
