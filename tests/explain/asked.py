"""What hypothesis asks to be explained, as words of the command line and as arguments of the real layers."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from hypothesis import strategies as st

from omniconv.arithmetic import PADDING_NAMES
from omniconv.explain.asking import Words
from omniconv.surfaces import Border, Plane

MODES = ("zeros", "reflect", "replicate", "circular")


@dataclass(frozen=True)
class Asked:
    """Arguments of a layer on a row or a grid."""

    sizes: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Any
    dilation: tuple[int, ...]
    modes: tuple[tuple[str, str], ...]

    @property
    def words(self) -> Words:
        """As a user writes them."""
        padding = self.padding
        if not isinstance(padding, str):
            padding = ",".join(":".join(map(str, sides)) for sides in padding)
        mode = ",".join(":".join(sides) for sides in self.modes)
        kernel, stride, dilation = (",".join(map(str, axes)) for axes in (self.kernel, self.stride, self.dilation))
        return Words("x".join(map(str, self.sizes)), kernel, stride, padding, dilation, mode)

    @property
    def options(self) -> dict[str, Any]:
        """As the layers take them."""
        return {"kernel_size": self.kernel, "stride": self.stride, "padding": self.padding, "dilation": self.dilation}

    @property
    def surface(self) -> Plane:
        """A plane with this border."""
        return Bordered(len(self.sizes), Border.of(self.modes, len(self.sizes)))

    @property
    def ramp(self) -> torch.Tensor:
        """Samples 1, 2, 3, …."""
        return torch.arange(1.0, prod(self.sizes) + 1, dtype=torch.float64).view(1, 1, *self.sizes)


class Bordered(Plane):
    """A plane with any border, also one that differs by side or goes over the poles."""

    def __init__(self, ndim: int, around: Border) -> None:
        super().__init__(ndim)
        object.__setattr__(self, "around", around)

    def pool_neighbours(self, kernel_size: int = 2, stride: int = 2) -> Border:
        return self.around


@st.composite
def asked(draw: st.DrawFn, largest: int = 6) -> Asked:
    """Rows and grids with every padding and every mode; some of them refused."""
    ndim = draw(st.integers(1, 2))
    sizes, kernel, stride, dilation = (
        tuple(draw(st.integers(1, most)) for _ in range(ndim)) for most in (largest, 3, 3, 2)
    )
    sides = [(draw(st.integers(0, 4)), draw(st.integers(0, 4))) for _ in range(ndim)]
    padding = draw(st.one_of(st.sampled_from(PADDING_NAMES), st.just(tuple(sides))))
    return Asked(sizes, kernel, stride, padding, dilation, draw(modes(ndim)))


@st.composite
def modes(draw: st.DrawFn, ndim: int) -> tuple[tuple[str, str], ...]:
    """A mode for every side; now and then poles over a circular axis."""
    if ndim == 2 and draw(st.booleans()):
        rows = st.sampled_from(("pole", *MODES))
        return (draw(rows), draw(rows)), ("circular", "circular")
    side = st.sampled_from(MODES)
    return tuple((draw(side), draw(side)) for _ in range(ndim))
