"""Trained flat networks on panoramas."""

from omniconv.convert.sphconv import SphConv, to_sphconv
from omniconv.convert.sphconv_report import SphConvReport

__all__ = ["SphConv", "SphConvReport", "to_sphconv"]
