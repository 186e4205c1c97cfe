"""Trained flat networks on panoramas."""

from omniconv.convert.conversion import revert
from omniconv.convert.equirectangular import to_equirectangular
from omniconv.convert.finding import Finding, SeamWarning
from omniconv.convert.sphconv.convert import SphConv, to_sphconv
from omniconv.convert.sphconv.report import SphConvReport
from omniconv.convert.tangent import to_tangent

__all__ = [
    "Finding", "SeamWarning", "SphConv", "SphConvReport", "revert", "to_equirectangular", "to_sphconv", "to_tangent",
]  # fmt: skip
