"""Pooling of regular grids: the border pads, the backend pools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf, prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.arithmetic import check_pool_padding, overhang, span, window_too_large
from omniconv.errors import InputError
from omniconv.nn.arguments import GridPadding
from omniconv.nn.grid.conv import CONVOLVE
from omniconv.nn.grid.padding import pad
from omniconv.nn.symbolic import is_symbolic, statically_true
from omniconv.surfaces.neighbours.border import Border, Sides


def _max_pool1d(
    x: Tensor, kernel: tuple[int], stride: tuple[int], padding: int, dilation: tuple[int], **more: Any
) -> Any:
    """Torch's, but that its own fixes a size which an export leaves open."""
    if more or not is_symbolic(x.shape[2]):
        return F.max_pool1d(x, kernel, stride, padding, dilation, **more)
    return F.max_pool2d(x[:, :, None], (1, *kernel), (1, *stride), padding, (1, *dilation))[:, :, 0]


def _avg_pool3d(x: Tensor, *window: Any, **more: Any) -> Tensor:
    """Torch's, which has no half precision on the CPU."""
    if x.device.type != "cpu":
        return F.avg_pool3d(x, *window, **more)
    return F.avg_pool3d(x.to(torch.promote_types(x.dtype, torch.float32)), *window, **more).to(x.dtype)


MAXIMUM: dict[int, Callable[..., Any]] = {1: _max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
MEAN: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: _avg_pool3d}


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

    needs_samples = True  # of the grid in every window

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
        self.backend = self._backend_padding()
        spans = [span(kernel, dilation) for _, kernel, _, dilation in padding.rules]
        check_pool_padding([rule for rule, *_ in padding.rules], spans, border.modes)

    def padded(self, x: Tensor, border: Border, beyond: float) -> Tensor:
        """The signal with what its border puts around it, and ``beyond`` where the last windows hang over."""
        amounts = self.padding.amounts(x.shape[2:])
        padded = pad(x, amounts, border)
        rests = self._overhangs(x.shape[2:], amounts)
        if self.needs_samples:
            check_windows_hold_samples(x.shape[2:], amounts, rests, self.padding, border)
        if any(is_symbolic(rest) or rest for rest in rests):
            padded = F.pad(padded, [side for rest in reversed(rests) for side in (0, rest)], value=beyond)
        check_window_fits(x.shape[2:], padded.shape[2:], self.padding)
        return padded

    def _backend_padding(self) -> tuple[int, ...] | None:
        """What the backend pads by itself: as many zeros before each axis as after it, by half a window at most."""
        amounts = [self.padding.symmetric(axis) for axis in range(self.border.ndim)]
        axes = zip(amounts, self.kernel_size, self.border.modes, strict=True)
        fits = all(
            amount == 0 or (amount is not None and 2 * amount <= kernel and modes == ("zeros", "zeros"))
            for amount, kernel, modes in axes
        )
        plain = fits and self.border.value == 0 and not self.ceil_mode
        return tuple(amounts) if plain else None  # type: ignore[arg-type]  # no amount is None

    def fits(self, x: Tensor) -> bool:
        """Whether the backend takes the signal as it is; sizes left open in an export are padded here."""
        if self.backend is None or is_symbolic(*x.shape[2:]):
            return False
        axes = zip(x.shape[2:], self.backend, self.kernel_size, self.dilation, strict=True)
        return all(size >= max(span(kernel, gap) - 2 * amount, gap) for size, amount, kernel, gap in axes)

    def _overhangs(self, sizes: Sequence[int], amounts: Sequence[tuple[int, int]]) -> list[int]:
        if not self.ceil_mode:
            return [0] * len(sizes)
        axes = zip(sizes, amounts, self.kernel_size, self.stride, self.dilation, strict=True)
        return [overhang(size, kernel, stride, sides, dilation) for size, sides, kernel, stride, dilation in axes]


class GridMaxPool(GridPool):
    """The largest sample of each window; zeros past an edge never win."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.silent = replace(self.border, value=-inf)
        self.nearest = replace(self.border, modes=tuple(map(_without_zeros, self.border.modes)))

    @property
    def maximum(self) -> Callable[..., Any]:
        """The backend's pooling of this rank; not kept, as it cannot be pickled."""
        return MAXIMUM[self.border.ndim]

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, *grid)`` to a smaller grid."""
        if self.fits(x):
            return self.maximum(x, self.kernel_size, self.stride, self.backend, self.dilation)
        return self.maximum(self.padded(x, self.silent, -inf), self.kernel_size, self.stride, 0, self.dilation)

    def with_switches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The largest samples, and the flat index of each in the un-padded grid.

        Where a window holds −∞ alone, its first place is taken; if that lies past an edge, the sample next to it.
        """
        if self.fits(x):
            return self.maximum(x, self.kernel_size, self.stride, self.backend, self.dilation, return_indices=True)
        padded = self.padded(x, self.silent, -inf)
        values, inside = self.maximum(padded, self.kernel_size, self.stride, 0, self.dilation, return_indices=True)
        places = torch.arange(prod(x.shape[2:]), device=x.device).view(1, 1, *x.shape[2:])
        return values, self.padded(places, self.nearest, -1).flatten()[inside]


class GridAvgPool(GridPool):
    """The mean of the samples of each window; zeros past an edge count only where that is asked for."""

    def __init__(self, *arguments: object, count_include_pad: bool = False) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.needs_samples = not count_include_pad
        self.filled = replace(self.border, value=float(count_include_pad))
        self.all_count = not self.ceil_mode and (
            count_include_pad or all("zeros" not in sides for sides in self.border.modes)
        )
        self.mean: Callable[..., Tensor] = MEAN[self.border.ndim]
        self.counts_zeros = count_include_pad
        if set(self.dilation) != {1}:
            self.mean, self.backend = self._dilated_mean, None

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, *grid)`` to a smaller grid."""
        if self.fits(x):
            return self.mean(x, self.kernel_size, self.stride, self.backend, count_include_pad=self.counts_zeros)
        result = self.mean(self.padded(x, self.border, 0), self.kernel_size, self.stride)
        return result if self.all_count else (result / self._counted(x)).to(x.dtype)

    def fits(self, x: Tensor) -> bool:
        """As for the others; torch's mean over three axes does not count its own padding to the size."""
        sizes = zip(x.shape[2:], self.kernel_size, strict=True)
        return super().fits(x) and (x.ndim < 5 or all(size >= kernel for size, kernel in sizes))

    def _counted(self, x: Tensor) -> Tensor:
        """Share of each window that counts; thirds are too coarse in half precision."""
        ones = x.new_ones(1, 1, *x.shape[2:], dtype=torch.promote_types(x.dtype, torch.float32))
        return self.mean(self.padded(ones, self.filled, 0), self.kernel_size, self.stride)

    def _dilated_mean(self, x: Tensor, kernel_size: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
        weight = x.new_full((1, 1, *kernel_size), 1 / prod(kernel_size))
        single = x.flatten(0, 1).unsqueeze(1)  # every channel by itself
        y = CONVOLVE[self.border.ndim](single, weight, None, stride, 0, self.dilation)
        return y.squeeze(1).unflatten(0, x.shape[:2])


class GridLpPool(GridAvgPool):
    """The p-norm of each window: (Σ |x|^p)^(1/p), zeros past an edge included."""

    def __init__(self, *arguments: object, p: float) -> None:
        super().__init__(*arguments, count_include_pad=True)
        self.p, self.is_even = p, p % 2 == 0

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, *grid)`` to a smaller grid."""
        padded = self.padded(x, self.border, 0)
        powers = safe_pow(padded if self.is_even else padded.abs(), self.p)
        return safe_pow(self.mean(powers, self.kernel_size, self.stride) * prod(self.kernel_size), 1 / self.p)


def safe_pow(x: Tensor, exponent: float) -> Tensor:
    """``x ** exponent`` of samples from 0; at 0 no gradient instead of an infinite one, which would end as NaN."""
    if exponent >= 1 or not torch.is_grad_enabled():
        return x.pow(exponent)
    empty = x == 0
    return x.masked_fill(empty, 1).pow(exponent).masked_fill(empty, 0)


def _without_zeros(sides: Sides) -> Sides:
    before, after = ("replicate" if mode == "zeros" else mode for mode in sides)
    return before, after


def check_window_fits(sizes: Sequence[int], padded: Sequence[int], padding: GridPadding) -> None:
    """A window fits into each padded axis.

    Raises:
        InputError: an axis that is too small.
    """
    for size, (_, kernel, _, dilation) in zip(padded, padding.rules, strict=True):
        if statically_true(size < span(kernel, dilation)):
            raise window_too_large(
                tuple(sizes), span(kernel, dilation), "pad with 'same_upper' or use a smaller window"
            )


def check_windows_hold_samples(
    sizes: Sequence[int],
    amounts: Sequence[tuple[int, int]],
    rests: Sequence[int],
    padding: GridPadding,
    border: Border,
) -> None:
    """Every window holds a sample of the signal, or one that continues it.

    Args:
        sizes: of the grid.
        amounts: samples put before and after each axis.
        rests: samples by which the last window of each axis hangs over.
        padding: rules of the axes.
        border: what lies past the edges.

    Raises:
        InputError: an axis shorter than the gaps of a window, which may then step over it from zeros to zeros.
    """
    for size, sides, rest, (_, kernel, stride, dilation), modes in zip(
        sizes, amounts, rests, padding.rules, border.modes, strict=True
    ):
        if is_symbolic(size) or size >= dilation or ("zeros" not in modes and not rest):
            continue
        starts = range(-sides[0], size + sides[1] + rest - span(kernel, dilation) + 1, stride)
        if any(_misses([start + tap * dilation for tap in range(kernel)], size, sides, modes) for start in starts):
            raise InputError(
                "input",
                tuple(sizes),
                f"is so small that a window of dilation {dilation} holds none of its samples",
                "pad less or use a smaller dilation",
            )


def _misses(taps: Sequence[int], size: int, sides: tuple[int, int], modes: Sides) -> bool:
    """Whether all taps lie in zeros around an axis, or where a last window hangs over."""
    least = 0 if modes[0] == "zeros" else -sides[0]
    most = size - 1 if modes[1] == "zeros" else size + sides[1] - 1
    return not any(least <= tap <= most for tap in taps)
