"""What all kernels on a panorama of one height share: the height, and steps of 1 or 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from omniconv.checks import is_integer
from omniconv.errors import InputError

Pair = int | Sequence[int]


@dataclass(frozen=True)
class PanoramaKernels:
    """A panorama of ``height`` rows and twice as many columns.

    Args:
        height: rows.

    Raises:
        InputError: a height that is no whole number from 1.
    """

    height: int
    kind: ClassVar[str]
    """The name of the kernels in ``Equirectangular(kernels=)``."""

    def __post_init__(self) -> None:
        if not is_integer(self.height):
            rule = f"must be a whole number from 1 with kernels={self.kind!r}"
            raise InputError("height", self.height, rule, "use height=64")

    def halved(self) -> int:
        """Half the height.

        Raises:
            InputError: it is odd.
        """
        if self.height % 2:
            raise InputError(
                "height", self.height, "must be even to be halved", "use a multiple of 2 for each step of stride 2"
            )
        return self.height // 2

    def check_stride(self, stride: int) -> None:
        """Every pixel, or every second one of a height that can be halved.

        Raises:
            InputError: another stride, or an odd height at stride 2.
        """
        if stride not in (1, 2):
            raise InputError("stride", stride, f"must be 1 or 2 with kernels={self.kind!r}", "chain layers of stride 2")
        if stride == 2:
            self.halved()

    def check_growth(self, scale_factor: int) -> None:
        """Twice as many rows and columns.

        Raises:
            InputError: another factor.
        """
        if scale_factor != 2:
            rule = f"must be 2 with kernels={self.kind!r}"
            raise InputError("scale_factor", scale_factor, rule, "chain steps of 2")


def pair(size: Pair) -> tuple[int, int]:
    """Rows and columns."""
    rows, columns = (size, size) if isinstance(size, int) else size
    return rows, columns
