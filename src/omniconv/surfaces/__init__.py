"""Where the samples of an image lie and who is whose neighbour. Nothing here knows a layer or a tensor."""

from omniconv.surfaces.border import Border
from omniconv.surfaces.cubemap import Cubemap
from omniconv.surfaces.equirectangular import Equirectangular
from omniconv.surfaces.healpix import Healpix
from omniconv.surfaces.icosahedron import Icosahedron
from omniconv.surfaces.icosphere import Icosphere
from omniconv.surfaces.names import SURFACES, surface
from omniconv.surfaces.plane import Plane
from omniconv.surfaces.stencil import Stencil
from omniconv.surfaces.surface import Surface

__all__ = [
    "SURFACES", "Border", "Cubemap", "Equirectangular", "Healpix", "Icosahedron", "Icosphere", "Plane", "Stencil",
    "Surface", "surface",
]  # fmt: skip
