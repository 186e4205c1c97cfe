"""How far networks on a panorama are from the exact projection, layer by layer and row by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.table import Table
from torch import Tensor, nn

from omniconv.convert.sphconv.source_network import chain, flat, flat_kernels, on, outputs_of_convolutions, surfaces_of
from omniconv.convert.sphconv.targets import exact_outputs
from omniconv.surfaces import panorama

METHODS = ("equirectangular", "circular", "tangent", "sphconv")


@dataclass(frozen=True)
class SphConvReport:
    """Errors of networks against the exact projection, before the activations.

    Attributes:
        layers: names of the flat network's convolutions.
        sizes: root mean square of the exact outputs of each convolution.
        errors: by method, for each convolution the root mean square error of every row.
        panoramas: how many were measured.
        is_held_out: whether none of them was learnt from.

    Methods are ``equirectangular`` (the flat network run on the panorama as it is), ``circular`` (the same without a
    seam, Schubert et al., IV 2019), ``tangent`` (SphereNet, ECCV 2018) and ``sphconv``.
    """

    layers: tuple[str, ...]
    sizes: tuple[float, ...]
    errors: Mapping[str, tuple[np.ndarray, ...]]
    panoramas: int
    is_held_out: bool

    def rmse(self, method: str, layer: int = -1) -> float:
        """The error of a layer, all rows alike, as published."""
        return float(np.sqrt(np.mean(np.square(self.errors[method][layer]))))

    def rmse_by_area(self, method: str, layer: int = -1) -> float:
        """The same, rows by the area of their pixels."""
        squares = np.square(self.errors[method][layer])
        areas = panorama.pixel_areas(len(squares), 1)[:, 0]
        return float(np.sqrt(np.average(squares, weights=areas)))

    def table(self) -> Table:
        """The comparison of the paper: a line for each layer, a column for each method."""
        where = "held out" if self.is_held_out else "learnt from"
        made = Table(title=f"RMSE to the exact projection, {self.panoramas} panoramas {where}", title_justify="left")
        made.add_column("layer")
        for name in ("size", *self.errors):
            made.add_column(name, justify="right")
        for place, (name, size) in enumerate(zip(self.layers, self.sizes, strict=True)):
            made.add_row(name, f"{size:.3f}", *(f"{self.rmse(method, place):.3f}" for method in self.errors))
        by_area = (f"{self.rmse_by_area(method):.3f}" for method in self.errors)
        made.add_row(f"{self.layers[-1]}, by area", "", *by_area)
        return made


def compare(
    model: nn.Module,
    network: nn.Sequential,
    panoramas: Tensor,
    is_held_out: bool = True,
    tick: Callable[[], None] = lambda: None,
) -> SphConvReport:
    """Measure a flat network on panoramas, and what was made of it, against the exact projection.

    Args:
        model: the flat network that was converted.
        network: what ``to_sphconv`` made of it.
        panoramas: ``(N, channels, height, 2 · height)``, in the values that the network takes.
        is_held_out: whether they were not learnt from; said in the report.
        tick: called after each row of exact outputs.

    Raises:
        InputError: a network that is no chain of the layers that ``to_sphconv`` takes.
    """
    steps, height = chain(model), panoramas.shape[2]
    networks = {"equirectangular": flat(steps)}
    for name, kernels in (("circular", "grid"), ("tangent", "tangent")):
        networks[name] = on(steps, surfaces_of(steps, flat_kernels(height, kernels)))
    networks["sphconv"] = network
    places = [place for place, step in enumerate(steps) if step.is_conv]
    exact = [exact_outputs(steps, place, panoramas, tick) for place in places]
    with torch.no_grad():
        errors = {name: _errors(outputs_of_convolutions(one, panoramas), exact) for name, one in networks.items()}
    sizes = tuple(float(wanted.square().mean().sqrt()) for wanted in exact)
    return SphConvReport(tuple(steps[place].name for place in places), sizes, errors, len(panoramas), is_held_out)


def _errors(found: Sequence[Tensor], exact: Sequence[Tensor]) -> tuple[np.ndarray, ...]:
    """For each layer the root mean square error of every row."""
    return tuple(
        (one - wanted).square().mean((0, 1, 3)).sqrt().cpu().numpy() for one, wanted in zip(found, exact, strict=True)
    )
