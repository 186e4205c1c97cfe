"""Samples of generative networks in batches, and as pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from inspect import signature
from math import isfinite
from typing import Any

import numpy as np
import torch
from torch import Tensor

from omniconv.checks import check_integer, check_number, did_you_mean
from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import InputError
from omniconv.generation.edm import check_steps
from omniconv.generation.noise import sample_seeds
from omniconv.models import Model
from omniconv.models.roles import SupportsSample, as_role
from omniconv.tasks.pixels import denormalize

MAX_SAMPLES = 100_000
"""Largest number of samples of one call."""
BATCH_SIZE = 64
"""Default number of samples that are drawn at once."""
Progress = Callable[[int], object]
"""Callback with the number of samples that are done."""


def check_network(network: Model, name: object) -> None:
    """Check that a network draws samples.

    Args:
        network: the network.
        name: name of its run, for the error.

    Raises:
        InputError: it does not.
    """
    if not isinstance(network, SupportsSample):
        rule = f"has a network that draws no images: it was trained for the task {network.preprocessing.get('task')}"
        raise InputError("run", str(name), rule, "give a run of the task generate")


def has_option(network: Model, name: str) -> bool:
    """Return True if ``network.sample`` has this argument, such as ``steps``; see ``check_network``."""
    return name in signature(as_role(network, SupportsSample).sample).parameters


def check_count(n: Any) -> int:
    """Return a number of samples after checking it.

    Raises:
        InputError: it is no integer from 1 to ``MAX_SAMPLES``.
    """
    n = check_integer("n", n, 1, "use n=16")
    if n > MAX_SAMPLES:
        raise InputError("n", n, f"must be at most {MAX_SAMPLES:,}", "draw them in several calls with other seeds")
    return n


def sampler_options(network: Model, **options: Any) -> dict[str, Any]:
    """Return the arguments of ``network.sample`` that are given, after checking them.

    Args:
        network: the network.
        **options: ``steps`` and ``guidance``; ``None`` stands for the network's own.

    Raises:
        InputError: one is out of range, or the network draws a sample in one step and takes none.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        if not has_option(network, name):
            rule = "is not used by this network, which draws a sample in one step"
            raise InputError(name, value, rule, "leave it out")
    if "steps" in given:
        check_steps(given["steps"])
    if "guidance" in given:
        rule, cure = "must be a finite number", "use guidance=2"
        if check_number("guidance", given["guidance"], isfinite, rule, cure) != 1 and not network.arguments["classes"]:
            rule = "is given, but the network was trained without classes"
            raise InputError("guidance", given["guidance"], rule, "leave it out")
    return given


def sample_labels(classes: Sequence[str], n: int, name: str | None = None) -> tuple[int, ...] | None:
    """Return the class of each of ``n`` samples, ``None`` for a network without classes.

    Args:
        classes: the classes of the network.
        n: number of samples.
        name: class of all samples; by default each class in turn.

    Raises:
        InputError: the network does not know the class, or has no classes.
    """
    if name is None:
        return tuple(index % len(classes) for index in range(n)) if classes else None
    if not classes:
        rule = "is given, but the network was trained without classes"
        raise InputError("class_name", name, rule, "leave it out")
    if name not in classes:
        known = f"{', '.join(classes[:20])}{', …' if len(classes) > 20 else ''}"
        cure = did_you_mean(name, classes, f"use class_name={classes[0]!r}")
        raise InputError("class_name", name, f"must be one of the classes of the network, {known}", cure)
    return (list(classes).index(name),) * n


def sample_batches(
    network: Model,
    n: int,
    labels: Sequence[int] | None = None,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    step: Progress = lambda done: None,
    skip: Callable[[range], bool] = lambda part: False,
    **options: Any,
) -> Iterator[tuple[range, Tensor]]:
    """Draw samples batch by batch, so that the memory is that of one batch.

    Args:
        network: the network, in evaluation mode.
        n: number of samples.
        labels: class of each sample, ``None`` for a network without classes.
        seed: seed of the samples; the numbers of a sample depend on it and the sample's index only.
        batch_size: number of samples drawn at once.
        step: called with the number of samples that are done, also within a batch.
        skip: returns True for the indices of a batch that is not wanted.
        **options: further arguments of ``network.sample``, such as ``steps``.

    Yields:
        The indices of the samples of a batch, and their signals ``(batch, channels, *grid)`` on the CPU.

    Raises:
        InputError: a sample has NaN or infinity.
    """
    sampler = as_role(network, SupportsSample)
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, n, batch_size):
        part = range(start, min(start + batch_size, n))
        if skip(part):
            sample_seeds(len(part), generator)  # as `network.sample` draws them
            step(part.stop)
            continue

        def advance(done: int, total: int, signals: Tensor, part: range = part) -> None:
            step(part.start + len(part) * done // max(1, total))

        label = None if labels is None else torch.tensor(labels[part.start : part.stop])
        signals = sampler.sample(len(part), label, generator=generator, batch_size=len(part), step=advance, **options)
        signals = signals.float().cpu()
        if not signals.isfinite().all():
            rule = "draws samples with NaN or infinity"
            raise InputError("model", type(network).__name__, rule, "train it again, with a smaller learning rate")
        yield part, signals
        step(part.stop)


def pictures(signals: Tensor, preprocessing: Preprocessing) -> np.ndarray:
    """Convert normalized signals ``(n, channels, *grid)`` to images, uint8 ``(n, height, width, 3)``.

    On a sphere they are panoramas, of the size of the training images. Where the training images were grey, the
    channels are averaged.
    """
    images = denormalize(signals.detach().float().cpu(), preprocessing).numpy()
    values = np.stack([to_panorama(values, preprocessing) for values in images])
    if preprocessing.is_grey:
        values = np.broadcast_to(values.mean(axis=1, keepdims=True), values.shape)
    return np.moveaxis(np.round(values.clip(0, 1) * 255).astype(np.uint8), 1, -1)


def to_panorama(values: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Return a signal ``(channels, *grid)`` as an image ``(channels, height, width)``."""
    if is_image_grid(preprocessing):
        return values
    return preprocessing.surface.to_equirectangular(values, preprocessing.size[0]).astype(np.float32)


def is_image_grid(preprocessing: Preprocessing) -> bool:
    """Return True if the samples of the surface are the pixels of an image: on a plane, or of a panorama."""
    return not preprocessing.surface.spherical or preprocessing.surface.latitude_axis is not None
