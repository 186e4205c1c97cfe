"""Errors of networks on panoramas relative to the exact projection, for each layer and row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.table import Table
from torch import Tensor, nn

from omniconv.convert.sphconv.source_network import build_on, chain, conv_outputs, input_surfaces
from omniconv.convert.sphconv.targets import all_exact_outputs
from omniconv.surfaces import Equirectangular, panorama


@dataclass(frozen=True)
class SphConvReport:
    """Errors of networks relative to the exact projection, before the activations.

    The methods are ``equirectangular`` (the flat network run on the panorama), ``circular`` (the same without a seam,
    Schubert et al., IV 2019), ``tangent`` (SphereNet, ECCV 2018) and ``sphconv``.

    Attributes:
        layers: names of the flat network's convolutions.
        sizes: root mean square of the exact outputs of each convolution.
        errors: for each method and convolution, the root mean square error of every row.
        panoramas: number of measured panoramas.
        is_held_out: whether none of them was used for training.
    """

    layers: tuple[str, ...]
    sizes: tuple[float, ...]
    errors: Mapping[str, tuple[np.ndarray, ...]]
    panoramas: int
    is_held_out: bool

    def rmse(self, method: str, layer: int = -1) -> float:
        """Return the root mean square error of a layer, with equal weights for all rows as in the paper."""
        return float(np.sqrt(np.mean(np.square(self.errors[method][layer]))))

    def rmse_by_area(self, method: str, layer: int = -1) -> float:
        """Return the root mean square error of a layer, with rows weighted by the area of their pixels."""
        squares = np.square(self.errors[method][layer])
        areas = panorama.pixel_areas(len(squares), 1)[:, 0]
        return float(np.sqrt(np.average(squares, weights=areas)))

    def table(self) -> Table:
        """Return the paper's comparison as a table, with one row for each layer and one column for each method."""
        part = "held-out panoramas" if self.is_held_out else "panoramas used for training"
        table = Table(title=f"RMSE relative to the exact projection, {self.panoramas} {part}", title_justify="left")
        table.add_column("layer")
        for name in ("RMS of outputs", *self.errors):
            table.add_column(name, justify="right")
        for index, (name, size) in enumerate(zip(self.layers, self.sizes, strict=True)):
            table.add_row(name, f"{size:.3f}", *(f"{self.rmse(method, index):.3f}" for method in self.errors))
        by_area = (f"{self.rmse_by_area(method):.3f}" for method in self.errors)
        table.add_row(f"{self.layers[-1]}, weighted by area", "", *by_area)
        return table


def compare(
    model: nn.Module, network: nn.Sequential, panoramas: Tensor, is_held_out: bool, advance: Callable[[], None]
) -> SphConvReport:  # fmt: skip
    """Measure a flat network and its conversions on panoramas ``(N, channels, height, 2 · height)``.

    ``network`` is the result of ``to_sphconv``; ``advance`` is called after each row of exact outputs.
    """
    layers, height = chain(model), panoramas.shape[2]
    circular, tangent = Equirectangular(), Equirectangular(height=height, kernels="tangent")
    networks = {
        "equirectangular": nn.Sequential(*(layer.layer for layer in layers)),
        "circular": build_on(layers, input_surfaces(layers, circular)),
        "tangent": build_on(layers, input_surfaces(layers, tangent)),
        "sphconv": network,
    }
    convolutions = [index for index, layer in enumerate(layers) if layer.is_conv]
    by_index = all_exact_outputs(layers, panoramas, advance)
    exact = [by_index[index] for index in convolutions]
    with torch.no_grad():
        errors = {method: _rmse_by_row(conv_outputs(one, panoramas), exact) for method, one in networks.items()}
    sizes = tuple(float(outputs.square().mean().sqrt()) for outputs in exact)
    names = tuple(layers[index].name for index in convolutions)
    return SphConvReport(names, sizes, errors, len(panoramas), is_held_out)


def _rmse_by_row(outputs: Sequence[Tensor], exact: Sequence[Tensor]) -> tuple[np.ndarray, ...]:
    """Return the root mean square error of every row for each layer."""
    return tuple(
        (one - target).square().mean((0, 1, 3)).sqrt().cpu().numpy() for one, target in zip(outputs, exact, strict=True)
    )
