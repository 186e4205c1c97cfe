"""Training for a given CPU time, which does not depend on what else the machine does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from examples.mnist.methods import Method


@dataclass(frozen=True)
class Training:
    """Steps, images, times and losses of a training.

    Args:
        steps: number of steps.
        images: number of images seen.
        cpu_seconds: CPU time of the process.
        seconds: wall-clock time.
        losses: mean of each loss over the last tenth of the steps.
    """

    steps: int
    images: int
    cpu_seconds: float
    seconds: float
    losses: list[float]


def train(
    method: Method, images: Tensor, labels: Tensor, cpu_seconds: float, log: Callable[[str], None], every: float = 60
) -> Training:
    """Train a method until the process has used ``cpu_seconds`` of CPU time.

    Args:
        method: the networks, trained in place.
        images: pixels in 0 … 1, ``(n, 1, 28, 28)``.
        labels: class of each, ``(n,)``.
        cpu_seconds: budget.
        log: receives a line now and then.
        every: CPU seconds between two lines.
    """
    start, wall, losses, said = time.process_time(), time.perf_counter(), [], 0.0
    batches = _batches(len(images), min(method.recipe.batch_size, len(images)))
    while (used := time.process_time() - start) < cpu_seconds:
        chosen = next(batches)
        losses.append(method.step(images[chosen], labels[chosen], used / cpu_seconds))
        if used - said >= every:
            said = used
            recent = np.mean(losses[-100:], axis=0)
            log(f"  {used:.0f} of {cpu_seconds:.0f} CPU s, {len(losses)} steps, loss {np.round(recent, 4).tolist()}")
    steps = len(losses)
    last = np.mean(losses[-max(1, steps // 10) :], axis=0).tolist()
    return Training(steps, steps * method.recipe.batch_size, used, time.perf_counter() - wall, last)


def _batches(count: int, size: int) -> Iterator[Tensor]:
    """Yield indices of shuffled batches for ever."""
    while True:
        yield from torch.randperm(count)[: count - count % size].split(size)
