"""Convolutional networks on any image: flat pictures, signals, volumes, and images on a sphere.

    import omniconv as oc
    network = oc.models.UNet(3, 2, surface=oc.Icosphere(5))

Nothing heavy is imported before it is used: every public name loads its room when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from omniconv import arithmetic, convert, models, nn
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
        Stencil,
        surface,
    )

_ROOMS = {
    "Border": "surfaces", "Cubemap": "surfaces", "Equirectangular": "surfaces", "Healpix": "surfaces",
    "Icosahedron": "surfaces", "Icosphere": "surfaces", "Plane": "surfaces", "Stencil": "surfaces",
    "surface": "surfaces", "load": "models", "save": "models", "summary": "summaries",
}  # fmt: skip
_MODULES = ("arithmetic", "convert", "models", "nn")

__all__ = [
    "Border", "Cubemap", "Equirectangular", "Healpix", "Icosahedron", "Icosphere", "Plane", "Stencil", "arithmetic",
    "convert", "load", "models", "nn", "save", "summary", "surface",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"omniconv.{name}")
    if name in _ROOMS:
        value = getattr(import_module(f"omniconv.{_ROOMS[name]}"), name)
        globals()[name] = value  # a module of the same name (summary) must not hide it
        return value
    raise AttributeError(f"module 'omniconv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
