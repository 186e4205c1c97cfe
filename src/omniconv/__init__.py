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
    from omniconv import (
        arithmetic,
        audit,
        convert,
        data,
        errors,
        explain,
        exporting,
        inference,
        metrics,
        models,
        nn,
        report,
        runs,
        summaries,
        surfaces,
        tasks,
        training,
    )
    from omniconv.exporting.export import export
    from omniconv.inference import Predictor
    from omniconv.models import load, save
    from omniconv.runs import Run, open_run, train
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
    "Icosahedron": "surfaces", "Icosphere": "surfaces", "Plane": "surfaces", "Predictor": "inference",
    "RowStencil": "surfaces", "Run": "runs", "Stencil": "surfaces", "export": "exporting", "load": "models",
    "open_run": "runs", "save": "models", "summary": "summaries", "surface": "surfaces", "train": "runs",
}  # fmt: skip
_MODULES = (
    "arithmetic", "audit", "convert", "data", "errors", "explain", "exporting", "inference", "metrics", "models", "nn",
    "report", "runs", "summaries", "surfaces", "tasks", "training",
)  # fmt: skip

__all__ = [
    "Border", "Cubemap", "Equirectangular", "Healpix", "Icosahedron", "Icosphere", "Plane", "Predictor", "RowStencil",
    "Run", "Stencil", "arithmetic", "audit", "convert", "data", "errors", "explain", "export", "exporting", "inference",
    "load", "metrics", "models", "nn", "open_run", "report", "runs", "save", "summaries", "summary", "surface",
    "surfaces", "tasks", "train", "training",
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
