"""Pooling of regular grids: the border pads, the backend pools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf, prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.arithmetic import overhang, padding_amounts, span
from omniconv.errors import InputError
from omniconv.nn.arguments import GridPadding
from omniconv.nn.grid import CONVOLVE
from omniconv.nn.padding import pad
from omniconv.surfaces.border import Border

MAXIMUM: dict[int, Callable[..., Tensor]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
MEAN: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class GridPool(nn.Module):
    """What poolings of a padded grid share.

    Args:
        border: what lies beyond the edges.
        kernel_size: samples of a window on each axis.
        stride: step of each axis.
        padding: parsed padding of every axis.
        dilation: step between the samples of a window on each axis.
        ceil_mode: a last window may hang over the end; what it holds there counts for nothing.

    Raises:
        InputError: as many zeros past an edge as a window holds, or more.
    """

    def __init__(
        self,
        border: Border,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: GridPadding,
        dilation: tuple[int, ...],
        ceil_mode: bool,
    ) -> None:
        super().__init__()
        self.border, self.padding, self.ceil_mode = border, padding, ceil_mode
        self.kernel_size, self.stride, self.dilation = kernel_size, stride, dilation
        self._check_windows()

    def padded(self, x: Tensor, border: Border, beyond: float) -> Tensor:
        """The signal with what its border puts around it, and ``beyond`` where the last windows hang over."""
        amounts = self.padding.amounts(x.shape[2:])
        padded = pad(x, amounts, border)
        rests = self._overhangs(x.shape[2:], amounts)
        if any(rests):
            padded = F.pad(padded, [side for rest in reversed(rests) for side in (0, rest)], value=beyond)
        self._check_room(x.shape[2:], padded.shape[2:])
        return padded

    def _overhangs(self, sizes: Sequence[int], amounts: Sequence[tuple[int, int]]) -> list[int]:
        if not self.ceil_mode:
            return [0] * len(sizes)
        axes = zip(sizes, amounts, self.kernel_size, self.stride, self.dilation, strict=True)
        return [overhang(size, kernel, stride, sides, dilation) for size, sides, kernel, stride, dilation in axes]

    def _check_room(self, sizes: Sequence[int], padded: Sequence[int]) -> None:
        for size, kernel, dilation in zip(padded, self.kernel_size, self.dilation, strict=True):
            if size < span(kernel, dilation):
                raise InputError(
                    "input",
                    tuple(sizes),
                    f"is smaller than the pooling window {self.kernel_size}",
                    "pad with 'same_upper' or use a smaller window",
                )

    def _check_windows(self) -> None:
        """Numbers of zeros as large as a window would make windows that hold nothing."""
        for (rule, kernel, _, dilation), modes in zip(self.padding.rules, self.border.modes, strict=True):
            for amount, mode in zip(padding_amounts(rule, 1, kernel), modes, strict=True):
                if mode == "zeros" and amount >= span(kernel, dilation):
                    raise InputError(
                        "padding",
                        amount,
                        f"must be smaller than the window, which spans {span(kernel, dilation)}",
                        "pad less",
                    )


class GridMaximum(GridPool):
    """The largest sample of each window; zeros past an edge never win."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.silent = replace(self.border, value=-inf)
        self.nowhere = replace(self.border, value=-1)
        self.maximum = MAXIMUM[self.border.ndim]

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, *grid)`` to a smaller grid."""
        return self.maximum(self.padded(x, self.silent, -inf), self.kernel_size, self.stride, 0, self.dilation)

    def with_switches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The largest samples, and the flat index of each in the un-padded grid."""
        padded = self.padded(x, self.silent, -inf)
        values, inside = self.maximum(
            padded, self.kernel_size, self.stride, 0, self.dilation, ceil_mode=False, return_indices=True
        )
        places = torch.arange(prod(x.shape[2:]), device=x.device).view(1, 1, *x.shape[2:])
        return values, self.padded(places, self.nowhere, -1).flatten()[inside]


class GridMean(GridPool):
    """The mean of the samples of each window; zeros past an edge count only where that is asked for."""

    def __init__(self, *arguments: object, count_include_pad: bool = False) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.filled = replace(self.border, value=float(count_include_pad))
        self.all_count = not self.ceil_mode and (
            count_include_pad or all("zeros" not in sides for sides in self.border.modes)
        )
        self.mean = MEAN[self.border.ndim] if set(self.dilation) == {1} else self._dilated_mean

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, *grid)`` to a smaller grid."""
        result = self.mean(self.padded(x, self.border, 0), self.kernel_size, self.stride)
        return result if self.all_count else result / self._counted(x)

    def _counted(self, x: Tensor) -> Tensor:
        """Share of each window that counts."""
        ones = x.new_ones(1, 1, *x.shape[2:])
        return self.mean(self.padded(ones, self.filled, 0), self.kernel_size, self.stride)

    def _dilated_mean(self, x: Tensor, kernel_size: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
        weight = x.new_full((1, 1, *kernel_size), 1 / prod(kernel_size))
        single = x.flatten(0, 1).unsqueeze(1)  # every channel by itself
        y = CONVOLVE[self.border.ndim](single, weight, None, stride, 0, self.dilation)
        return y.squeeze(1).unflatten(0, x.shape[:2])


class GridPower(GridMean):
    """The p-norm of each window: (Σ |x|^p)^(1/p), zeros past an edge included."""

    def __init__(self, *arguments: object, p: float) -> None:
        super().__init__(*arguments, count_include_pad=True)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, *grid)`` to a smaller grid."""
        powers = self.padded(x, self.border, 0).abs().pow(self.p)
        return (self.mean(powers, self.kernel_size, self.stride) * prod(self.kernel_size)).pow(1 / self.p)
