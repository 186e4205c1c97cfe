"""Where the samples of an image lie and who is whose neighbour. Nothing here knows a layer or a tensor."""

from omniconv.surfaces.border import Border
from omniconv.surfaces.cubemap import Cubemap
from omniconv.surfaces.equirectangular import Equirectangular
from omniconv.surfaces.healpix import Healpix
from omniconv.surfaces.icosahedron import Icosahedron
from omniconv.surfaces.icosphere import Icosphere
from omniconv.surfaces.maps import map_between, resample
from omniconv.surfaces.names import SURFACES, surface
from omniconv.surfaces.plane import Plane
from omniconv.surfaces.rotations import rotate, rotation_of
from omniconv.surfaces.row_stencil import RowStencil
from omniconv.surfaces.stencil import Stencil
from omniconv.surfaces.surface import Surface
from omniconv.surfaces.view import View
from omniconv.surfaces.views import into_panorama, into_surface, view_of

__all__ = [
    "SURFACES", "Border", "Cubemap", "Equirectangular", "Healpix", "Icosahedron", "Icosphere", "Plane", "RowStencil",
    "Stencil", "Surface", "View", "into_panorama", "into_surface", "map_between", "resample", "rotate", "rotation_of",
    "surface", "view_of",
]  # fmt: skip
