"""The functions of torch that look past the edges of a picture, and what is done in their place on a panorama."""

from __future__ import annotations

from omniconv.convert.overrides.conv_pool import WINDOW_RULES
from omniconv.convert.overrides.mode import Table
from omniconv.convert.overrides.pad_crop import EDGE_RULES
from omniconv.convert.overrides.resize import RESAMPLING_RULES
from omniconv.convert.overrides.transposed import SPREADING_RULES

GRID_TABLE: Table = {**WINDOW_RULES, **SPREADING_RULES, **EDGE_RULES, **RESAMPLING_RULES}


class GridRules:
    """The rules of flat kernels on a grid of any size."""

    table = GRID_TABLE
