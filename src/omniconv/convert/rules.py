"""The functions of torch that look past the edges of a picture, and what is done in their place on a panorama."""

from __future__ import annotations

from omniconv.convert.edges import EDGE_RULES
from omniconv.convert.mode import Table
from omniconv.convert.resampling import RESAMPLING_RULES
from omniconv.convert.spreading import SPREADING_RULES
from omniconv.convert.windows import WINDOW_RULES

GRID_TABLE: Table = {**WINDOW_RULES, **SPREADING_RULES, **EDGE_RULES, **RESAMPLING_RULES}


class GridRules:
    """The rules of flat kernels on a grid of any size."""

    table = GRID_TABLE
