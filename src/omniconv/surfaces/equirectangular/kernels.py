"""Argument checks of kernels on panoramas of one height."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from omniconv.checks import is_integer
from omniconv.errors import InputError
from omniconv.surfaces.base import check_supported

Pair = int | Sequence[int]
MAX_HEIGHT = 2**16
"""Largest number of rows: a panorama of 8.6 billion pixels."""


@dataclass(frozen=True)
class PanoramaKernels:
    """Base class of kernels on a panorama of ``height`` rows and twice as many columns."""

    height: int
    name: ClassVar[str]
    """The name of the kernels in ``Equirectangular(kernels=)``."""

    def __post_init__(self) -> None:
        if not is_integer(self.height) or self.height > MAX_HEIGHT:
            end = f" to {MAX_HEIGHT}" if isinstance(self.height, int) and self.height > MAX_HEIGHT else ""
            rule = f"must be a whole number from 1{end} with kernels={self.name!r}"
            raise InputError("height", self.height, rule, "use height=64")

    def half_height(self) -> int:
        """Return half the height, or raise InputError if it is odd."""
        if self.height % 2:
            cure = "use a multiple of 2 for each step of stride 2"
            raise InputError("height", self.height, "must be even to be halved", cure)
        return self.height // 2

    def check_stride(self, stride: int) -> None:
        """Raise InputError unless the stride is 1, or 2 with an even height."""
        check_supported("stride", stride, (1, 2), f"with kernels={self.name!r}", "chain layers of stride 2")
        if stride == 2:
            self.half_height()

    def check_scale_factor(self, scale_factor: int) -> None:
        """Raise InputError unless the factor is 2."""
        check_supported("scale_factor", scale_factor, (2,), f"with kernels={self.name!r}", "chain steps of 2")


def pair(size: Pair) -> tuple[int, int]:
    """Return a size as rows and columns."""
    rows, columns = (size, size) if isinstance(size, int) else size
    return rows, columns


def check_odd(kernel_size: tuple[int, int], condition: str = "") -> None:
    """Raise InputError for an even kernel size: a pixel must be in the middle."""
    if any(taps % 2 == 0 for taps in kernel_size):
        rule = f"must be odd{condition}, so that a pixel is in the middle"
        raise InputError("kernel_size", kernel_size, rule, "use kernel_size=3")
