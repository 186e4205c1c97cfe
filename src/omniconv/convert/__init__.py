"""Trained flat networks on panoramas, with the weights that they have."""

from omniconv.convert.conversion import revert
from omniconv.convert.equirectangular import to_equirectangular
from omniconv.convert.findings import Finding, SeamWarning
from omniconv.convert.tangent import to_tangent

__all__ = ["Finding", "SeamWarning", "revert", "to_equirectangular", "to_tangent"]
