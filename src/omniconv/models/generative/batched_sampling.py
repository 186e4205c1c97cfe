"""Sampling from generative networks: evaluation mode, noise with a seed for each sample, batches, labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Generator, Tensor, nn

from omniconv.checks import check_integer
from omniconv.errors import InputError
from omniconv.generation.noise import SampleNoise, sample_seeds

BatchCallback = Callable[[int, int, Tensor], object]
"""Callback after a batch: samples done, samples in total, the samples of the batch."""


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode for a block of code, and its modules back into the modes they were in."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@torch.no_grad()
def sample_in_batches(
    network: nn.Module,
    n: int,
    shape: Sequence[int],
    generate: Callable[[Tensor, Tensor | None], Tensor],
    generator: Generator | None,
    batch_size: int,
    step: BatchCallback | None,
    label: int | Sequence[int] | Tensor | None = None,
    classes: int = 0,
) -> Tensor:
    """Return the results of ``generate`` for normal noise and labels, computed in batches in evaluation mode.

    Args:
        network: the network; noise has its device and dtype.
        n: number of samples.
        shape: shape of the noise of one sample.
        generate: function of noise ``(batch, *shape)`` and labels ``(batch,)``.
        generator: source of one seed for each sample, so that noise does not depend on ``batch_size`` and device.
        batch_size: samples computed at once.
        step: called after each batch.
        label: class of each sample, or of all; by default drawn evenly from all classes.
        classes: number of classes; 0: none.

    Returns:
        The samples, on the CPU.

    Raises:
        InputError: an argument out of range.
    """
    n = check_integer("n", n, 1, "use n=16")
    batch_size = check_integer("batch_size", batch_size, 1, "use batch_size=64")
    seeds = sample_seeds(n, generator)
    labels = sample_labels(seeds, label, classes)
    weight = next(network.parameters())
    samples: list[Tensor] = []
    with evaluation_mode(network):
        for start in range(0, n, batch_size):
            part = slice(start, start + batch_size)
            noise = SampleNoise(seeds[part], shape, weight.device, weight.dtype).draw()
            samples.append(generate(noise, None if labels is None else labels[part].to(weight.device)).cpu())
            if step is not None:
                step(min(start + batch_size, n), n, samples[-1])
    return torch.cat(samples)


def check_label(label: Tensor | None, classes: int) -> Tensor | None:
    """Return labels after checking that they are given if and only if a network has classes.

    Raises:
        InputError: labels that are missing or not wanted, or not integers ``(batch,)``.
    """
    if label is None and not classes:
        return None
    if label is None or not classes:
        if classes:
            rule = f"is required, one of {classes} classes for each image"
            raise InputError("label", label, rule, "give a tensor of class numbers")
        raise InputError("label", "a tensor", "must be left out without classes", "build the network with classes=10")
    if label.ndim != 1 or label.is_floating_point():
        raise InputError("label", tuple(label.shape), "must be a tensor of integers, (batch,)", "use label.long()")
    return label


def sample_labels(seeds: list[int], label: int | Sequence[int] | Tensor | None, classes: int) -> Tensor | None:
    """Return the class of each sample, ``None`` without classes; see ``sample_in_batches``.

    Raises:
        InputError: labels that are not wanted, of another number than the samples, or out of range.
    """
    if label is None:
        # By the seed of the sample: its class does not depend on the number of samples.
        return torch.tensor([seed % classes for seed in seeds]) if classes else None
    labels = torch.as_tensor(label).cpu()
    check_label(labels.reshape(-1), classes)
    if labels.ndim > 1 or (labels.ndim == 1 and len(labels) != len(seeds)):
        raise InputError("label", tuple(labels.shape), f"must be one class or {len(seeds)}, one a sample", "repeat it")
    if not bool(((labels >= 0) & (labels < classes)).all()):
        raise InputError("label", labels.tolist(), f"must be from 0 to {classes - 1}", "use the number of a class")
    return labels.long().expand(len(seeds))
