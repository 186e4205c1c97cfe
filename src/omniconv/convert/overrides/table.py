"""Override table of ``to_equirectangular``: every torch function that reads beyond the edges of an image."""

from __future__ import annotations

from typing import cast

from omniconv.convert.overrides.column_tracking import COLUMN_OVERRIDES
from omniconv.convert.overrides.conv_pool import CONV_POOL_OVERRIDES
from omniconv.convert.overrides.mode import Overrides, OverrideTable
from omniconv.convert.overrides.pad_crop import PAD_CROP_OVERRIDES
from omniconv.convert.overrides.resize import RESIZE_OVERRIDES
from omniconv.convert.overrides.transposed import TRANSPOSED_OVERRIDES
from omniconv.surfaces import Equirectangular
from omniconv.surfaces.neighbours.border import Border

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

    @property
    def flat_rows(self) -> tuple[Border, Overrides]:
        """Border and overrides of ``to_equirectangular(poles="flat")``."""
        return flat_rows()


def flat_rows() -> tuple[Border, Overrides]:
    """Return the border and the overrides of ``to_equirectangular(poles="flat")``."""
    # the padding arguments of torch's convolutions and poolings mean zeros; `pads_rows_as_flat` does the rest
    return cast(Border, Equirectangular(poles="zeros").conv_neighbours()), GridOverrides(pads_rows_as_flat=True)
