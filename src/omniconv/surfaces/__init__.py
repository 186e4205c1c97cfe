"""Where the samples of an image lie and who is whose neighbour. Nothing here knows a layer or a tensor."""

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
from omniconv.surfaces.registry import SURFACES, surface
from omniconv.surfaces.resampling.between_surfaces import map_between, resample
from omniconv.surfaces.resampling.perspective import into_panorama, into_surface, view_of
from omniconv.surfaces.resampling.rotation import rotate, rotation_of
from omniconv.surfaces.resampling.view import View

__all__ = [
    "SURFACES", "Border", "Cubemap", "Equirectangular", "Healpix", "Icosahedron", "Icosphere", "Plane", "RowStencil",
    "Stencil", "Surface", "View", "into_panorama", "into_surface", "map_between", "resample", "rotate", "rotation_of",
    "surface", "view_of",
]  # fmt: skip
