"""``to_sphconv``: a flat network with one kernel for each row of a panorama (Su & Grauman, SphConv, NIPS 2017)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from omniconv.checks import check_integer, check_number
from omniconv.convert.sphconv.checkpoint import CheckpointFolder, fingerprint
from omniconv.convert.sphconv.finetune import finetune
from omniconv.convert.sphconv.fitting import fit_layer
from omniconv.convert.sphconv.report import SphConvReport, compare
from omniconv.convert.sphconv.source_network import ChainLayer, build_on, chain, input_surfaces
from omniconv.convert.sphconv.targets import TargetCache
from omniconv.errors import InputError
from omniconv.surfaces import Equirectangular, panorama


class SphConv(nn.Sequential):
    """Chain of layers on panoramas of one height; its convolutions after the first have one kernel for each row.

    The first convolution and the poolings are on tangent planes.

    Attributes:
        report: errors relative to the exact projection.
    """

    report: SphConvReport


def to_sphconv(
    model: nn.Module, panoramas: Any, height: int, *, held_out: Any = None, turned: int = 10, ridge: float = 1e-3,
    steps: int = 50, rate: float = 1e-4, batch: int = 4, seed: int = 0, out: str | Path | None = None,
    progress: bool = True,
) -> SphConv:  # fmt: skip
    """Fit one kernel for each row of a panorama, so that its outputs equal those of a flat network on flat views.

    The exact output at a pixel is that of the flat network on a view centred on it: on the plane that is tangent to the
    sphere there, with pixels of the size of the panorama's at the equator. The first convolution is computed in this
    way, by tangent-plane kernels with its own weights. Each other kernel is fitted on its own, from the exact outputs
    of the layer below to its own exact outputs. The objective is the published one (L2 before the activation); it is
    solved as a least-squares problem in closed form instead of by 4,000 to 16,000 gradient steps, with a ridge term
    towards the flat kernel interpolated on the tangent plane. Then all kernels but the first layer's are trained
    together for ``steps`` towards the exact outputs of the last convolution. The paper leaves pooling out; here it
    stays, on tangent planes, since pooling windows on the grid caused most of the error, near the poles (RMSE 0.22
    instead of 0.10 in our trial).

    Args:
        model: ``nn.Sequential`` (also nested) of ``Conv2d`` (odd kernel, stride 1, "same" padding), ``MaxPool2d`` or
            ``AvgPool2d`` (2 × 2, stride 2), and pointwise layers: activations, ``BatchNorm2d`` and ``Dropout``, as in
            evaluation mode. It is not changed.
        panoramas: training images, ``(N, channels, h, 2h)`` or a list of ``(channels, h, 2h)``, arrays or tensors, in
            the range of values that the network takes; resized to ``height`` rows.
        height: rows of the panoramas that the new network takes; a multiple of the total stride.
        held_out: panoramas that the report measures; without them it measures the training images, and says so.
        turned: copies of each panorama, each after a random rotation of the sphere, that are added to the training
            images.
        ridge: weight of the ridge term, relative to the mean square of the inputs. Use a larger one for few panoramas
            and many channels: with three panoramas and 64 channels, 0.1 gave an RMSE of 0.024, and 0.001 one of 0.029
            (tangent-plane kernels 0.028). Errors on ``held_out`` show which is better.
        steps: training steps of all kernels together; 0 for none. With few panoramas they hardly change the error on
            other panoramas.
        rate: initial learning rate, relative to the root mean square of each weight tensor.
        batch: panoramas in each step.
        seed: of the rotations and of the order of training images.
        out: folder that keeps each kernel as soon as it is fitted. If the process is interrupted, even killed, the same
            call continues from there, with the same result.
        progress: show a progress bar with the remaining time on standard error.

    Returns:
        The network, in evaluation mode. Its ``report`` holds the errors of each layer and row, with those of the flat
        network on the panorama and of its circular and tangent-plane conversions.

    Raises:
        InputError: a layer is not supported (the message names it), there is no convolution, weights are in half
            precision, a panorama is not 2:1, the strides do not divide the height, or a setting is out of range.
        FileError: ``out`` holds other files, or cannot be written.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 1, 3, padding=1))
        >>> network = to_sphconv(model, torch.rand(2, 1, 8, 16), 8, steps=0, progress=False)
        >>> network(torch.rand(1, 1, 8, 16)).shape, sorted(network.report.errors)
        (torch.Size([1, 1, 8, 16]), ['circular', 'equirectangular', 'sphconv', 'tangent'])
    """
    settings = {"height": height, "turned": turned, "ridge": ridge, "steps": steps, "rate": rate, "batch": batch,
                "seed": seed}  # fmt: skip
    _check_settings(settings)
    layers = chain(model)
    _check_height(height, layers)
    first: Any = next(layer.layer for layer in layers if layer.is_conv)
    images = parse_panoramas("panoramas", panoramas, first.in_channels)
    measured = images if held_out is None else parse_panoramas("held_out", held_out, first.in_channels)
    inputs = resize_all([*images, *rotated(images, height, turned, seed)], height).to(first.weight)
    folder = CheckpointFolder(out, fingerprint(model, inputs, settings))
    columns = TextColumn("SphConv"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    bar = Progress(*columns, console=Console(stderr=True), disable=not progress)
    with _isolated(inputs.device.type), bar:
        advance = partial(bar.advance, bar.add_task("", total=_amount_of_work(layers, height, steps)))
        network = _unfitted(layers, height)
        targets = TargetCache(layers, inputs, advance)
        convolutions = [index for index, layer in enumerate(layers) if layer.is_conv]
        for below, index in pairwise(convolutions):
            fit_layer(targets, network, below, index, ridge, folder, advance)
        if len(convolutions) > 1 and steps:
            last = convolutions[-1]
            trained = nn.Sequential(*list(network)[: last + 1])
            finetune(trained, inputs, targets.outputs(last), folder, advance, steps=steps, rate=rate, batch=batch,
                     seed=seed)  # fmt: skip
        network.requires_grad_()
        tested = resize_all(measured, height).to(first.weight)
        network.report = compare(model, network, tested, held_out is not None, advance)
    return network


def parse_panoramas(argument: str, panoramas: Any, channels: int) -> list[np.ndarray]:
    """Check panoramas of any size and return them as float32 arrays ``(channels, h, 2h)``."""
    if not isinstance(panoramas, torch.Tensor | np.ndarray | list | tuple) or not len(panoramas):
        raise InputError(argument, type(panoramas).__name__, "must be at least one panorama", "give (N, C, H, 2H)")
    images = []
    for index, value in enumerate(panoramas):
        image = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
        name = f"{argument}[{index}]"
        if image.ndim != 3 or image.shape[0] != channels:
            rule = f"must have the shape ({channels}, h, 2h), as the model takes {channels} channels"
            raise InputError(name, image.shape, rule, "move the channels to the first axis")
        if image.shape[2] != 2 * image.shape[1]:
            cure = "crop or pad it to the full sphere, 360° by 180°"
            raise InputError(name, image.shape, "must be twice as wide as high", cure)
        if not np.isfinite(image).all():
            raise InputError(name, image.shape, "must be finite", "remove NaN and infinity")
        images.append(image.astype(np.float32))
    return images


def resize_all(images: Sequence[np.ndarray], height: int) -> Tensor:
    """Return panoramas resized to ``(N, C, height, 2 · height)``, by area averages where they shrink."""
    return torch.from_numpy(np.stack([panorama.resize(image, height, 2 * height) for image in images]))


def rotated(images: Sequence[np.ndarray], height: int, count: int, seed: int) -> list[np.ndarray]:
    """Return ``count`` copies of each panorama after random rotations, at no more than ``2 · height`` rows."""
    generator, copies = np.random.default_rng(seed), []
    for image in images if count else ():
        rows = min(image.shape[1], 2 * height)  # twice the height: interpolation blurs, and resizing follows
        detailed = panorama.resize(image, rows, 2 * rows)
        copies += [panorama.rotate(detailed, Rotation.random(rng=generator).as_matrix()) for _ in range(count)]
    return copies


@contextmanager
def _isolated(device: str) -> Iterator[None]:
    """Run a block with gradients and without autocast, whatever the caller has set, and keep the caller's RNG state."""
    with (
        torch.inference_mode(False), torch.enable_grad(), torch.autocast(device, enabled=False),
        torch.random.fork_rng(devices=[]),
    ):  # fmt: skip
        yield


def _unfitted(layers: Sequence[ChainLayer], height: int) -> SphConv:
    """Return the chain on its surfaces, with initial row kernels, of which only these require gradients."""
    rows = input_surfaces(layers, Equirectangular(height=height, kernels="rows"))
    tangent = input_surfaces(layers, Equirectangular(height=height, kernels="tangent"))
    first = next(index for index, layer in enumerate(layers) if layer.is_conv)
    is_fitted = [layer.is_conv and index != first for index, layer in enumerate(layers)]
    surfaces = [row if fits else plane for row, plane, fits in zip(rows, tangent, is_fitted, strict=True)]
    network = SphConv(*build_on(layers, surfaces)).eval()
    for layer, fits in zip(network, is_fitted, strict=True):
        layer.requires_grad_(fits)
    return network


def _amount_of_work(layers: Sequence[ChainLayer], height: int, steps: int) -> int:
    """Return how often the progress advances: exact rows for fitting and for the report, fitted rows, and steps."""
    rows = [height // layer.stride for layer in layers if layer.is_conv]
    return 2 * sum(rows) + sum(rows[1:]) + (steps if len(rows) > 1 else 0)


def _check_settings(settings: dict[str, Any]) -> None:
    """Check the settings, and make NumPy's numbers Python's, which JSON takes."""
    cure = "leave it out for the default"
    for name, least in (("height", 1), ("turned", 0), ("steps", 0), ("batch", 1)):
        settings[name] = check_integer(name, settings[name], least, cure)
    for name in ("ridge", "rate"):
        rule = "must be a number above 0"
        settings[name] = check_number(name, settings[name], lambda x: 0 < x < math.inf, rule, cure)
    seed = settings["seed"]  # check_integer has an upper limit, which torch.initial_seed() exceeds
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise InputError("seed", seed, "must be an integer from 0", cure)


def _check_height(height: int, layers: Sequence[ChainLayer]) -> None:
    stride = layers[-1].stride
    if height % stride:
        cure = f"use {max(1, round(height / stride)) * stride}"
        raise InputError("height", height, f"must be a multiple of {stride}, the model's total stride", cure)
