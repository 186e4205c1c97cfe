"""Pooling operators on regular grids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf, prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.arithmetic import check_pool_padding, overhang, window_too_large
from omniconv.errors import InputError
from omniconv.nn.arguments import GridWindow
from omniconv.nn.grid.conv import CONVOLVE
from omniconv.nn.grid.padding import pad
from omniconv.nn.symbolic import is_symbolic, statically_true
from omniconv.surfaces.neighbours.border import Border, Sides


def _max_pool1d(
    x: Tensor, kernel: tuple[int], stride: tuple[int], padding: int, dilation: tuple[int], **options: Any
) -> Any:
    """Pool by ``max_pool2d`` where the size is symbolic: ``max_pool1d`` specialises it to a constant (torch 2.13)."""
    if options or not is_symbolic(x.shape[2]):
        return F.max_pool1d(x, kernel, stride, padding, dilation, **options)
    return F.max_pool2d(x[:, :, None], (1, *kernel), (1, *stride), padding, (1, *dilation))[:, :, 0]


def _avg_pool3d(x: Tensor, *window: Any, **options: Any) -> Tensor:
    """Pool in float32 at least on the CPU, where ``avg_pool3d`` has no half precision (torch 2.13)."""
    if x.device.type != "cpu":
        return F.avg_pool3d(x, *window, **options)
    return F.avg_pool3d(x.to(torch.promote_types(x.dtype, torch.float32)), *window, **options).to(x.dtype)


MAX_POOL: dict[int, Callable[..., Any]] = {1: _max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVG_POOL: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: _avg_pool3d}


class GridPool(nn.Module):
    """Base of the pooling operators on grids."""

    needs_samples = True
    """Every window must hold a sample of the signal."""

    def __init__(self, border: Border, window: GridWindow, ceil_mode: bool) -> None:
        super().__init__()
        self.border, self.window, self.ceil_mode = border, window, ceil_mode
        self.kernel_size, self.stride, self.dilation = window.kernel_size, window.stride, window.dilation
        self.backend_padding = self._backend_padding()
        axes = window.axes
        check_pool_padding([axis.padding for axis in axes], [axis.span for axis in axes], border.modes)

    def padded(self, x: Tensor, border: Border, overhang_value: float) -> Tensor:
        """Pad the signal by a border, and by ``overhang_value`` where last windows exceed it under ``ceil_mode``."""
        amounts = self.window.amounts(x.shape[2:])
        padded = pad(x, amounts, border)
        overhangs = self._overhangs(x.shape[2:], amounts)
        if self.needs_samples:
            self._check_windows_hold_samples(x.shape[2:], amounts, overhangs, border)
        if any(is_symbolic(over) or over for over in overhangs):
            padded = F.pad(padded, [side for over in reversed(overhangs) for side in (0, over)], value=overhang_value)
        for size, axis in zip(padded.shape[2:], self.window.axes, strict=True):
            if statically_true(size < axis.span):
                cure = "pad with 'same_upper' or use a smaller window"
                raise window_too_large(tuple(x.shape[2:]), axis.span, cure)
        return padded

    def _backend_padding(self) -> tuple[int, ...] | None:
        """Return the zeros of each axis if the backend can pad them: equal at both ends, at most half a window."""
        if self.ceil_mode or self.border.value != 0:
            return None
        amounts = []
        for window, modes in zip(self.window.axes, self.border.modes, strict=True):
            amount = window.symmetric_padding
            if amount is None or 2 * amount > window.kernel_size or (amount > 0 and modes != ("zeros", "zeros")):
                return None
            amounts.append(amount)
        return tuple(amounts)

    def backend_can_pad(self, x: Tensor) -> bool:
        """Return True if the backend's own padding gives the result; symbolic sizes are always padded here."""
        if self.backend_padding is None or is_symbolic(*x.shape[2:]):
            return False
        axes = zip(x.shape[2:], self.backend_padding, self.window.axes, strict=True)
        return all(size >= max(axis.span - 2 * amount, axis.dilation) for size, amount, axis in axes)

    def _overhangs(self, sizes: Sequence[int], amounts: Sequence[tuple[int, int]]) -> list[int]:
        if not self.ceil_mode:
            return [0] * len(sizes)
        axes = zip(sizes, amounts, self.window.axes, strict=True)
        return [overhang(size, axis.kernel_size, axis.stride, sides, axis.dilation) for size, sides, axis in axes]

    def _check_windows_hold_samples(
        self, sizes: Sequence[int], amounts: Sequence[tuple[int, int]], overhangs: Sequence[int], border: Border
    ) -> None:
        """Refuse an axis shorter than the dilation, where a window may consist of padded zeros only."""
        axes = zip(sizes, amounts, overhangs, self.window.axes, border.modes, strict=True)
        for size, (before, after), over, axis, modes in axes:
            if is_symbolic(size) or size >= axis.dilation or ("zeros" not in modes and not over):
                continue
            first = 0 if modes[0] == "zeros" else -before
            last = size - 1 if modes[1] == "zeros" else size + after - 1
            for start in range(-before, size + after + over - axis.span + 1, axis.stride):
                if not any(first <= tap <= last for tap in range(start, start + axis.span, axis.dilation)):
                    rule = f"is so small that a window of dilation {axis.dilation} holds none of its samples"
                    raise InputError("input", tuple(sizes), rule, "pad less or use a smaller dilation")


class GridMaxPool(GridPool):
    """Maximum of each window; padded zeros are never the maximum."""

    def __init__(self, border: Border, window: GridWindow, ceil_mode: bool) -> None:
        super().__init__(border, window, ceil_mode)
        self.border_without_zeros = replace(self.border, value=-inf)
        self.nearest_border = replace(self.border, modes=tuple(map(_replicate_for_zeros, self.border.modes)))

    @property
    def max_pool(self) -> Callable[..., Any]:
        """Backend function; a property, since functions of torch cannot be pickled with the module."""
        return MAX_POOL[self.border.ndim]

    def forward(self, x: Tensor) -> Tensor:
        if self.backend_can_pad(x):
            return self.max_pool(x, self.kernel_size, self.stride, self.backend_padding, self.dilation)
        padded = self.padded(x, self.border_without_zeros, -inf)
        return self.max_pool(padded, self.kernel_size, self.stride, 0, self.dilation)

    def with_switches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maxima, and the flat index of each in the unpadded grid.

        A window that holds only −∞ gives its first position or, if that is padding, the edge sample next to it.
        """
        window, dilation = (self.kernel_size, self.stride), self.dilation
        if self.backend_can_pad(x):
            return self.max_pool(x, *window, self.backend_padding, dilation, return_indices=True)
        padded = self.padded(x, self.border_without_zeros, -inf)
        values, indices = self.max_pool(padded, *window, 0, dilation, return_indices=True)
        positions = torch.arange(prod(x.shape[2:]), device=x.device).view(1, 1, *x.shape[2:])
        return values, self.padded(positions, self.nearest_border, -1).flatten()[indices]


class GridAvgPool(GridPool):
    """Mean of each window; padded zeros count only with ``count_include_pad``."""

    def __init__(self, border: Border, window: GridWindow, ceil_mode: bool, count_include_pad: bool = False) -> None:
        super().__init__(border, window, ceil_mode)
        self.needs_samples = not count_include_pad
        self.count_border = replace(self.border, value=float(count_include_pad))
        self.all_count = not self.ceil_mode and (
            count_include_pad or all("zeros" not in sides for sides in self.border.modes)
        )
        self.avg_pool: Callable[..., Tensor] = AVG_POOL[self.border.ndim]
        self.count_include_pad = count_include_pad
        if set(self.dilation) != {1}:
            self.avg_pool, self.backend_padding = self._dilated_avg_pool, None

    def forward(self, x: Tensor) -> Tensor:
        if self.backend_can_pad(x):
            return self.avg_pool(
                x, self.kernel_size, self.stride, self.backend_padding, count_include_pad=self.count_include_pad
            )
        result = self.avg_pool(self.padded(x, self.border, 0), self.kernel_size, self.stride)
        return result if self.all_count else (result / self._counted_share(x)).to(x.dtype)

    def backend_can_pad(self, x: Tensor) -> bool:
        """Return True if the backend's own padding gives the result; ``avg_pool3d`` must not pad a small axis.

        It checks the window against the size without the padding (torch 2.13).
        """
        sizes = zip(x.shape[2:], self.kernel_size, strict=True)
        return super().backend_can_pad(x) and (x.ndim < 5 or all(size >= kernel for size, kernel in sizes))

    def _counted_share(self, x: Tensor) -> Tensor:
        """Return the share of each window that counts, in float32 at least: half precision rounds 1/3 too coarsely."""
        ones = x.new_ones(1, 1, *x.shape[2:], dtype=torch.promote_types(x.dtype, torch.float32))
        return self.avg_pool(self.padded(ones, self.count_border, 0), self.kernel_size, self.stride)

    def _dilated_avg_pool(self, x: Tensor, kernel_size: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
        """Average by a depthwise convolution: torch's average pooling has no dilation."""
        weight = x.new_full((1, 1, *kernel_size), 1 / prod(kernel_size))
        by_channel = x.flatten(0, 1).unsqueeze(1)
        y = CONVOLVE[self.border.ndim](by_channel, weight, None, stride, 0, self.dilation)
        return y.squeeze(1).unflatten(0, x.shape[:2])


class GridLpPool(GridAvgPool):
    """p-norm of each window, (Σ |x|^p)^(1/p); padded zeros add nothing."""

    def __init__(self, border: Border, window: GridWindow, ceil_mode: bool, p: float) -> None:
        super().__init__(border, window, ceil_mode, count_include_pad=True)
        self.p, self.is_even = p, p % 2 == 0

    def forward(self, x: Tensor) -> Tensor:
        padded = self.padded(x, self.border, 0)
        powers = safe_pow(padded if self.is_even else padded.abs(), self.p)
        return safe_pow(self.avg_pool(powers, self.kernel_size, self.stride) * prod(self.kernel_size), 1 / self.p)


def safe_pow(x: Tensor, exponent: float) -> Tensor:
    """Compute ``x ** exponent`` for x >= 0, with gradient 0 at 0, where it is infinite for exponents below 1.

    An infinite gradient times the zero gradient of |x|^p would be NaN.
    """
    if exponent >= 1 or not torch.is_grad_enabled():
        return x.pow(exponent)
    is_zero = x == 0
    return x.masked_fill(is_zero, 1).pow(exponent).masked_fill(is_zero, 0)


def _replicate_for_zeros(sides: Sides) -> Sides:
    before, after = ("replicate" if mode == "zeros" else mode for mode in sides)
    return before, after
