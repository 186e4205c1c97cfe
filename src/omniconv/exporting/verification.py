"""Comparison of the outputs of a network and of its exported file for the same inputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isnan

import torch
from torch import Tensor, nn

from omniconv.convert.finding import SeamWarning
from omniconv.nn.inspection import named_outputs

TOLERANCE = 1e-4
"""Largest accepted difference relative to the output's largest value; other runtimes add float32 in another order."""


@dataclass(frozen=True)
class OutputDifference:
    """Difference between an output of the network and that of the file.

    Attributes:
        output: name of the output.
        shape: shape of the input.
        relative_error: largest difference divided by the output's largest absolute value; infinite for NaN or for
            another shape or dtype.
        agreement: fraction of positions at which the same channel is the largest.
    """

    output: str
    shape: tuple[int, ...]
    relative_error: float
    agreement: float


@torch.no_grad()
def compare(
    network: nn.Module,
    run: Callable[..., list[Tensor]],
    shapes: Sequence[tuple[int, ...]],
    outputs: Sequence[str],
) -> list[OutputDifference]:
    """Return the differences of every output for random images of these shapes, uniform in [0, 1), see ``inputs_for``.

    Example:
        >>> [one.relative_error for one in compare(nn.Identity(), lambda x: [x], [(1, 2, 4)], ["same"])]
        [0.0]
    """
    differences = []
    generator = torch.Generator().manual_seed(0)
    for shape in shapes:
        inputs = inputs_for(network, shape, generator)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SeamWarning)  # of a width of this comparison, which nobody has asked for
            expected = named_outputs(network(*inputs)).values()
        for name, one, other in zip(outputs, expected, run(*inputs), strict=True):
            differences.append(_difference(name, shape, one, other))
    return differences


def inputs_for(
    network: nn.Module, shape: Sequence[int], generator: torch.Generator | None = None
) -> tuple[Tensor, ...]:
    """Return the inputs of a network for a random image ``(batch, channels, *grid)``, uniform in [0, 1).

    A network with ``example_inputs``, see ``Model.example_inputs``, gets what that returns besides the image.
    """
    image = torch.rand(*shape, generator=generator)
    make = getattr(network, "example_inputs", None)
    if make is None:
        return (image,)
    first, *others = make(shape[2:], shape[0])
    return (image if first.shape[2:] == image.shape[2:] else first, *others)


def _difference(output: str, shape: tuple[int, ...], expected: Tensor, actual: Tensor) -> OutputDifference:
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        return OutputDifference(output, shape, inf, 0.0)
    if not expected.numel():
        return OutputDifference(output, shape, 0.0, 1.0)
    expected, actual = expected.double(), actual.double()
    error = (expected - actual).abs().max().item() / (expected.abs().max().item() or 1.0)
    agreement = (expected.argmax(1) == actual.argmax(1)).float().mean().item() if expected.ndim > 1 else 1.0
    return OutputDifference(output, shape, inf if isnan(error) else error, agreement)
