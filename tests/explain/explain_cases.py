"""Random arguments of one layer, as options of the command line and as arguments of the real layers."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from hypothesis import strategies as st

from omniconv.arithmetic import PADDING_NAMES
from omniconv.explain.api import Options
from omniconv.surfaces import Border, Plane

MODES = ("zeros", "reflect", "replicate", "circular")


@dataclass(frozen=True)
class LayerCase:
    """Arguments of a layer on a row or a grid."""

    sizes: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Any
    dilation: tuple[int, ...]
    modes: tuple[tuple[str, str], ...]

    @property
    def options_text(self) -> Options:
        """Options of the command line."""
        padding = self.padding
        if not isinstance(padding, str):
            padding = ",".join(":".join(map(str, sides)) for sides in padding)
        mode = ",".join(":".join(sides) for sides in self.modes)
        kernel, stride, dilation = (",".join(map(str, axes)) for axes in (self.kernel, self.stride, self.dilation))
        return Options("x".join(map(str, self.sizes)), kernel, stride, padding, dilation, mode)

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of the layers."""
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
    """A plane with any border, also one that differs by side or continues over the poles."""

    def __init__(self, ndim: int, border: Border) -> None:
        super().__init__(ndim)
        object.__setattr__(self, "border_of_pool", border)

    def pool_neighbours(self, kernel_size: int = 2, stride: int = 2) -> Border:
        return self.border_of_pool


@st.composite
def layer_cases(draw: st.DrawFn, largest: int = 6) -> LayerCase:
    """Draw rows and grids with every padding and every mode; the layer refuses some of them."""
    ndim = draw(st.integers(1, 2))
    sizes, kernel, stride, dilation = (
        tuple(draw(st.integers(1, most)) for _ in range(ndim)) for most in (largest, 3, 3, 2)
    )
    sides = [(draw(st.integers(0, 4)), draw(st.integers(0, 4))) for _ in range(ndim)]
    padding = draw(st.one_of(st.sampled_from(PADDING_NAMES), st.just(tuple(sides))))
    return LayerCase(sizes, kernel, stride, padding, dilation, draw(modes(ndim)))


@st.composite
def modes(draw: st.DrawFn, ndim: int) -> tuple[tuple[str, str], ...]:
    """Draw a mode for every side, sometimes poles over a circular axis."""
    if ndim == 2 and draw(st.booleans()):
        rows = st.sampled_from(("pole", *MODES))
        return (draw(rows), draw(rows)), ("circular", "circular")
    side = st.sampled_from(MODES)
    return tuple((draw(side), draw(side)) for _ in range(ndim))
