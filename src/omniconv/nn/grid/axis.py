"""Convolution along axes that the backend can only pad symmetrically: pad more, then drop the surplus outputs.

``torch.nn.functional.conv2d`` takes one amount of zeros for both ends of an axis. An unequal padding such as (0, 1) is
computed with enough zeros at both ends, and the outputs of windows that start too early or too late are cropped. At 64
channels, 4 x 128 x 256 and ``same_upper`` this took the CPU time of zero padding; a padded copy took 1.2 to 1.8 of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from omniconv.arithmetic import span

CHUNK_ELEMENTS = 2**21
"""Input elements that are convolved at once where outputs are cropped (8 MiB in float32): the allocator keeps blocks of
this size, while the system maps larger ones anew each time."""
MAX_SURPLUS = 0.05
"""Largest share of surplus outputs; with more of them copying the padded signal is cheaper."""


class Axis(NamedTuple):
    """Size, outputs and window of one grid axis; ``before`` is its padding at the front."""

    size: int
    outputs: int
    kernel_size: int
    stride: int
    dilation: int
    before: int

    @property
    def after(self) -> int:
        """Padding at the end that windows reach; if negative, samples at the end that none reaches."""
        return (self.outputs - 1) * self.stride + span(self.kernel_size, self.dilation) - self.before - self.size

    @property
    def padding(self) -> tuple[int, int]:
        """Padding at both ends that windows reach."""
        return self.before, max(self.after, 0)

    @property
    def surplus_before(self) -> int:
        """Surplus outputs at the front, where the padding at the end is the larger one."""
        return max(-(-(self.after - self.before) // self.stride), 0)

    @property
    def backend_padding(self) -> int:
        """Zeros that the backend pads at each end, so that every output is among its outputs."""
        return self.before + self.surplus_before * self.stride

    @property
    def backend_outputs(self) -> int:
        """Outputs that the backend computes, surplus ones included."""
        return self._last_start // self.stride + 1

    @property
    def surplus_after(self) -> int:
        """Surplus outputs at the end."""
        return self.backend_outputs - self.surplus_before - self.outputs

    @property
    def unread(self) -> int:
        """Padded samples at the end that no window of the backend reaches: its ``output_padding`` when transposed."""
        return self._last_start % self.stride

    @property
    def _last_start(self) -> int:
        return self.size + 2 * self.backend_padding - span(self.kernel_size, self.dilation)


def fast_path_is_cheaper(axes: Sequence[Axis]) -> bool:
    """Return True if there are outputs, and the backend computes few surplus ones."""
    outputs = prod(max(axis.outputs, 0) for axis in axes)
    return outputs > 0 and prod(axis.backend_outputs for axis in axes) <= (1 + MAX_SURPLUS) * outputs


def convolve_and_crop(convolve: Callable[[Tensor], Tensor], x: Tensor, axes: Sequence[Axis]) -> Tensor:
    """Apply ``convolve``, which pads by ``backend_padding``, and crop surplus outputs, chunk by chunk of the batch."""
    if not any(axis.surplus_before or axis.surplus_after for axis in axes):
        return convolve(x)
    chunks = x.split(max(CHUNK_ELEMENTS // x[0].numel(), 1))
    return torch.cat([_crop(convolve(chunk), axes) for chunk in chunks])


def _crop(y: Tensor, axes: Sequence[Axis]) -> Tensor:
    for index, axis in enumerate(axes, start=2):
        y = y.narrow(index, axis.surplus_before, axis.outputs)
    return y


def crop_adjoint(x: Tensor, axes: Sequence[Axis]) -> Tensor:
    """Apply the adjoint of the crop: zeros in place of the surplus outputs."""
    sides = [side for axis in reversed(axes) for side in (axis.surplus_before, axis.surplus_after)]
    return F.pad(x, sides) if any(sides) else x
