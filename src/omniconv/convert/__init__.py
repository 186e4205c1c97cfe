"""Trained flat networks on panoramas, with the weights that they have."""

from omniconv.convert.conversion import revert, to_equirectangular
from omniconv.convert.findings import Finding, SeamWarning

__all__ = ["Finding", "SeamWarning", "revert", "to_equirectangular"]
