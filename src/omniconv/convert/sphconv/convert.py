"""A trained flat network on panoramas with a kernel for each row (Su & Grauman, SphConv, NIPS 2017)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from omniconv.convert.sphconv.checkpoint import Folder, fingerprint
from omniconv.convert.sphconv.finetune import tune
from omniconv.convert.sphconv.layers import Exact, fit_layer
from omniconv.convert.sphconv.panoramas import checked, sized, turned_copies
from omniconv.convert.sphconv.progress import shown
from omniconv.convert.sphconv.report import SphConvReport, compare
from omniconv.convert.sphconv.settings import Settings
from omniconv.convert.sphconv.source_network import Step, chain, flat_kernels, on, surfaces_of, total_stride
from omniconv.errors import InputError
from omniconv.surfaces import Equirectangular

Tick = Callable[[], None]


class SphConv(nn.Sequential):
    """A chain of layers on panoramas of one height: the first convolution and pooling on tangent planes, rows beside.

    Attributes:
        report: its errors against the exact projection.
    """

    report: SphConvReport


def to_sphconv(
    model: nn.Module,
    panoramas: Any,
    height: int,
    *,
    held_out: Any = None,
    turned: int = 10,
    ridge: float = 1e-3,
    steps: int = 50,
    rate: float = 1e-4,
    batch: int = 4,
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool = True,
) -> SphConv:
    """Give a flat network a kernel for each row of a panorama, so that it sees there what it saw in flat pictures.

    The exact output at a pixel is that of the flat network on the view whose middle it is: on the plane that touches
    the sphere there, with pixels as large as those of the panorama's equator. The first convolution is computed so, by
    tangent kernels with its own weights. Every other kernel is fitted by itself, from the exact outputs of the layer
    below to its own exact outputs: the published objective (L2 before the activation), solved as least squares in
    closed form instead of by 4,000 to 16,000 gradient steps, and drawn by ``ridge`` towards the flat kernel
    interpolated on the touching plane. Then all kernels but the first layer's are trained for ``steps`` towards the
    exact outputs of the last convolution. Where the paper leaves pooling out, it stays here, on touching planes:
    windows of the grid cost more at the poles than all the rest (RMSE 0.22 instead of 0.10 in our trial).

    Args:
        model: ``nn.Sequential`` (also nested) of ``Conv2d`` (odd kernel, stride 1, size kept), ``MaxPool2d`` or
            ``AvgPool2d`` (2 × 2, stride 2), and what treats every pixel by itself: activations, ``BatchNorm2d`` and
            ``Dropout``, as in evaluation. It is not changed.
        panoramas: to learn from, ``(N, channels, h, 2h)`` or a list of ``(channels, h, 2h)``, arrays or tensors in the
            values that the network takes; brought to ``height`` rows.
        height: rows of the panoramas that the new network takes; a multiple of the total stride.
        held_out: panoramas to measure on; without them the report measures those that were learnt from, and says so.
        turned: copies of each panorama after a random rotation of its sphere, to learn from too.
        ridge: how strongly the projected flat kernel draws, as a share of the inputs' mean square. More of it where
            panoramas are few and channels many: with three panoramas and 64 channels 0.1 gave an RMSE of 0.024, 0.001
            one of 0.029 (tangent kernels 0.028); ``held_out`` tells.
        steps: of the training of the whole; 0 for none. From few panoramas it hardly changes the error on others.
        rate: of its first step, as a share of the root mean square of each weight tensor.
        batch: panoramas in each of its steps.
        seed: of rotations and order.
        out: a folder that keeps every row's kernel as it is found. Interrupted, even killed, the same call goes on from
            there, and gives what it would have given.
        progress: show a bar with the time that is left.

    Returns:
        The network, in evaluation mode; its ``report`` holds the errors, layer by layer and row by row, beside those
        of the flat network on the panorama, and of its circular and tangent conversions.

    Raises:
        InputError: a layer that has no row kernels (named), no convolution, weights in half precision, a panorama that
            is not 2 : 1, a height that the strides do not fit, a setting out of range.
        FileError: ``out`` holds something else, or cannot be written.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 1, 3, padding=1))
        >>> network = to_sphconv(model, torch.rand(2, 1, 8, 16), 8, steps=0, progress=False)
        >>> network(torch.rand(1, 1, 8, 16)).shape, sorted(network.report.errors)
        (torch.Size([1, 1, 8, 16]), ['circular', 'equirectangular', 'sphconv', 'tangent'])
    """
    chosen = Settings(height, turned, ridge, steps, rate, batch, seed)
    layers = chain(model)
    _check_height(height, layers)
    like = next(step.layer for step in layers if isinstance(step.layer, nn.Conv2d))
    images = checked("panoramas", panoramas, like.in_channels)
    measured = images if held_out is None else checked("held_out", held_out, like.in_channels)
    learnt = sized([*images, *turned_copies(images, height, turned, seed)], height).to(like.weight)
    tested = sized(measured, height).to(like.weight)
    folder = Folder(out, fingerprint(model, learnt, asdict(chosen)))
    with _undisturbed(learnt.device.type), shown(_work(layers, chosen), progress) as tick:
        network = _empty(layers, height)
        _fit(layers, network, learnt, chosen, folder, tick)
        network.report = compare(model, network, tested, held_out is not None, tick)
    return network


@contextmanager
def _undisturbed(device: str) -> Iterator[None]:
    """Whatever the caller has set: with gradients, in the precision of the weights, random numbers left as they are."""
    with (
        torch.inference_mode(False), torch.enable_grad(), torch.autocast(device, enabled=False),
        torch.random.fork_rng(devices=[]),
    ):  # fmt: skip
        yield


def _empty(layers: Sequence[Step], height: int) -> SphConv:
    """The chain on its surfaces, kernels of rows still to be found."""
    rows = surfaces_of(layers, Equirectangular(height=height, kernels="rows"))
    tangent = surfaces_of(layers, flat_kernels(height, "tangent"))
    first = next(place for place, step in enumerate(layers) if step.is_conv)
    is_fitted = [step.is_conv and place != first for place, step in enumerate(layers)]
    surfaces = [own if fits else plane for own, plane, fits in zip(rows, tangent, is_fitted, strict=True)]
    network = SphConv(*on(layers, surfaces)).eval()
    for layer, fits in zip(network, is_fitted, strict=True):
        layer.requires_grad_(fits)
    return network


def _fit(
    layers: Sequence[Step], network: SphConv, panoramas: Tensor, chosen: Settings, folder: Folder, tick: Tick
) -> None:
    """Kernel by kernel, then the whole."""
    exact = Exact(layers, panoramas, tick)
    places = [place for place, step in enumerate(layers) if step.is_conv]
    for below, place in pairwise(places):
        fit_layer(exact, network, (below, place), chosen.ridge, folder, tick)
    if len(places) > 1 and chosen.steps:
        wanted, until = exact.outputs(places[-1]), list(network)[: places[-1] + 1]
        tune(nn.Sequential(*until), panoramas, wanted, chosen, folder, tick)
    network.requires_grad_()


def _work(layers: Sequence[Step], chosen: Settings) -> int:
    """Ticks of the whole: exact rows, twice, kernels, steps."""
    rows = [chosen.height // step.stride for step in layers if step.is_conv]
    return 2 * sum(rows) + sum(rows[1:]) + (chosen.steps if len(rows) > 1 else 0)


def _check_height(height: int, layers: Sequence[Step]) -> None:
    stride = total_stride(layers)
    if height % stride:
        cure = f"use {max(1, round(height / stride)) * stride}"
        raise InputError("height", height, f"must be a multiple of {stride}, the model's total stride", cure)
