"""Convolutional networks on flat images, signals and volumes, and on images on a sphere.

    import omniconv as oc
    network = oc.models.UNet(3, 2, surface=oc.Icosphere(5))

Each public name imports its package when it is first used, so that ``import omniconv`` imports neither torch nor NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from omniconv import arithmetic, audit, convert, models, nn
    from omniconv.models import load, save
    from omniconv.summaries import summary
    from omniconv.surfaces import (
        Border,
        Cubemap,
        Equirectangular,
        Healpix,
        Icosahedron,
        Icosphere,
        Plane,
        RowStencil,
        Stencil,
        surface,
    )

_PACKAGES = {
    "Border": "surfaces", "Cubemap": "surfaces", "Equirectangular": "surfaces", "Healpix": "surfaces",
    "Icosahedron": "surfaces", "Icosphere": "surfaces", "Plane": "surfaces", "RowStencil": "surfaces",
    "Stencil": "surfaces", "surface": "surfaces", "load": "models", "save": "models", "summary": "summaries",
}  # fmt: skip
_MODULES = ("arithmetic", "audit", "convert", "models", "nn")

__all__ = [
    "Border", "Cubemap", "Equirectangular", "Healpix", "Icosahedron", "Icosphere", "Plane", "RowStencil", "Stencil",
    "arithmetic", "audit", "convert", "load", "models", "nn", "save", "summary", "surface",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"omniconv.{name}")
    if name in _PACKAGES:
        value = getattr(import_module(f"omniconv.{_PACKAGES[name]}"), name)
        globals()[name] = value  # __getattr__ is called once per name
        return value
    raise AttributeError(f"module 'omniconv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
