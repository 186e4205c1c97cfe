"""The axes of a convolution on a grid whose ends the backend pads alike, though other numbers are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from omniconv.arithmetic import span

TOGETHER = 2**21
"""Numbers in a part of a batch: memory of that size is at hand, larger pieces have to be fetched anew each time."""
SPARE = 0.05
"""Outputs that the backend may make in vain, as a share of those that count."""


class Axis(NamedTuple):
    """One grid axis of a convolution: its samples, outputs and window, and ``before`` samples past both its edges."""

    size: int
    outputs: int
    kernel_size: int
    stride: int
    dilation: int
    before: int

    @property
    def after(self) -> int:
        """Samples past the end that windows reach; where negative, samples at the end that none reaches."""
        return (self.outputs - 1) * self.stride + span(self.kernel_size, self.dilation) - self.before - self.size

    @property
    def sides(self) -> tuple[int, int]:
        """Samples before and after the axis that windows reach."""
        return self.before, max(self.after, 0)

    @property
    def skipped(self) -> int:
        """Outputs too many at the front where the backend pads both sides alike, by as much as the longer asks for."""
        return max(-(-(self.after - self.before) // self.stride), 0)

    @property
    def margin(self) -> int:
        """Zeros that the backend puts before and after the axis, so that its windows start where they should."""
        return self.before + self.skipped * self.stride

    @property
    def total(self) -> int:
        """Outputs of the backend."""
        return self._room // self.stride + 1

    @property
    def spare(self) -> int:
        """Outputs too many at the end."""
        return self.total - self.skipped - self.outputs

    @property
    def rest(self) -> int:
        """Samples at the end that no window of the backend reaches."""
        return self._room % self.stride

    @property
    def _room(self) -> int:
        return self.size + 2 * self.margin - span(self.kernel_size, self.dilation)


def fast_path_is_cheaper(axes: Sequence[Axis]) -> bool:
    """Whether there are outputs, and the backend makes few besides."""
    outputs = prod(max(axis.outputs, 0) for axis in axes)
    return outputs > 0 and prod(axis.total for axis in axes) <= (1 + SPARE) * outputs


def convolve_and_crop(convolve: Callable[[Tensor], Tensor], x: Tensor, axes: Sequence[Axis]) -> Tensor:
    """The outputs of the backend that count; a few samples of the batch at a time, where what does not is cut off."""
    if not any(axis.skipped or axis.spare for axis in axes):
        return convolve(x)
    parts = x.split(max(TOGETHER // x[0].numel(), 1))
    return torch.cat([_cropped(convolve(part), axes) for part in parts])


def _cropped(y: Tensor, axes: Sequence[Axis]) -> Tensor:
    for index, axis in enumerate(axes, start=2):
        y = y.narrow(index, axis.skipped, axis.outputs)
    return y


def crop_adjoint(x: Tensor, axes: Sequence[Axis]) -> Tensor:
    """The adjoint of the crop of ``convolve_and_crop``: zeros for the outputs that do not count."""
    sides = [side for axis in reversed(axes) for side in (axis.skipped, axis.spare)]
    return F.pad(x, sides) if any(sides) else x
