"""Whether a file does what its network does: the same inputs through both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor, nn

TOLERANCE = 1e-4
"""Largest difference that passes, as a share of the output's largest value: float32 in another order of sums."""


@dataclass(frozen=True)
class OutputDifference:
    """How far two outputs lie apart.

    Attributes:
        output: name of the output.
        shape: of the input at which they do.
        relative_error: the largest difference, as a share of the output's largest value.
        agreement: share of the places at which the same channel is the largest.
    """

    output: str
    shape: tuple[int, ...]
    relative_error: float
    agreement: float


@torch.no_grad()
def compare(
    network: nn.Module, run: Callable[[Tensor], list[Tensor]], shapes: Sequence[tuple[int, ...]], outputs: Sequence[str]
) -> list[OutputDifference]:
    """Differences of every output at inputs of these shapes, random numbers from 0 to 1.

    Example:
        >>> [found.relative_error for found in compare(nn.Identity(), lambda x: [x], [(1, 2, 4)], ["same"])]
        [0.0]
    """
    found = []
    random = torch.Generator().manual_seed(0)
    for shape in shapes:
        x = torch.rand(shape, generator=random)
        right = network(x)
        for name, one, other in zip(outputs, [right] if isinstance(right, Tensor) else right, run(x), strict=True):
            found.append(_difference(name, shape, one, other))
    return found


def _difference(output: str, shape: tuple[int, ...], right: Tensor, other: Tensor) -> OutputDifference:
    if right.shape != other.shape or right.dtype != other.dtype:
        return OutputDifference(output, shape, inf, 0.0)
    right, other = right.double(), other.double()
    scale = right.abs().max().item() if right.numel() else 0.0
    relative_error = (right - other).abs().max().item() / (scale or 1.0) if right.numel() else 0.0
    agreement = (right.argmax(1) == other.argmax(1)).float().mean().item() if right.ndim > 1 and right.numel() else 1.0
    return OutputDifference(output, shape, inf if relative_error != relative_error else relative_error, agreement)
