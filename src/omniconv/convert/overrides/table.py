"""Override table of ``to_equirectangular``: every torch function that reads beyond the edges of an image."""

from __future__ import annotations

from omniconv.convert.overrides.column_tracking import COLUMN_OVERRIDES
from omniconv.convert.overrides.conv_pool import CONV_POOL_OVERRIDES
from omniconv.convert.overrides.mode import OverrideTable
from omniconv.convert.overrides.pad_crop import PAD_CROP_OVERRIDES
from omniconv.convert.overrides.resize import RESIZE_OVERRIDES
from omniconv.convert.overrides.transposed import TRANSPOSED_OVERRIDES

GRID_TABLE: OverrideTable = {
    **CONV_POOL_OVERRIDES, **TRANSPOSED_OVERRIDES, **PAD_CROP_OVERRIDES, **RESIZE_OVERRIDES, **COLUMN_OVERRIDES,
}  # fmt: skip


class GridOverrides:
    """Overrides for square-grid kernels on panoramas of any size.

    Args:
        pads_rows_as_flat: rows that ``F.pad`` adds are those of its own mode, not those of the border.
    """

    table = GRID_TABLE
    pads_rows_as_flat = False  # of the class: conversions that were pickled before the attribute existed lack it

    def __init__(self, pads_rows_as_flat: bool = False) -> None:
        self.pads_rows_as_flat = pads_rows_as_flat
