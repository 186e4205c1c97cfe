"""Layers of other libraries that do what ours do, where they are installed."""

from __future__ import annotations

import importlib.util
import warnings
from importlib.metadata import PackageNotFoundError, version

from torch import nn

BASES = ("piecewise linear", "morlet")
"""Filters of torch-harmonics: four functions and nine, as ours have four operators on an icosphere and nine taps."""


def of_the_sphere(channels: int, grid: tuple[int, int]) -> dict[str, nn.Module]:
    """Convolutions on a panorama of one size: the discrete-continuous ones of torch-harmonics, with its own kernels."""
    if importlib.util.find_spec("torch_harmonics") is None:
        return {}
    from torch_harmonics import DiscreteContinuousConvS2

    layers = {}
    for basis in BASES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            layer = DiscreteContinuousConvS2(channels, channels, grid, grid, kernel_shape=(3, 3), basis_type=basis)
        layers[f"torch-harmonics DISCO, {basis}, {layer.weight.shape[-1]} functions"] = layer
    return layers


def versions() -> dict[str, str]:
    """Of the libraries that are measured beside ours."""
    try:
        return {"torch-harmonics": version("torch-harmonics")}
    except PackageNotFoundError:
        return {}
