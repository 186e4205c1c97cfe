"""Comparable layers of other libraries, if they are installed."""

from __future__ import annotations

import importlib.util
import warnings
from importlib.metadata import PackageNotFoundError, version

from torch import nn

BASES = ("piecewise linear", "morlet")
"""Filter bases of torch-harmonics: of four functions, as an icosphere has operators, and of nine, as HEALPix taps."""


def sphere_layers(channels: int, grid: tuple[int, int]) -> dict[str, nn.Module]:
    """Return the discrete-continuous convolutions of torch-harmonics on a panorama, by name."""
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
    """Return the versions of the libraries that are compared."""
    try:
        return {"torch-harmonics": version("torch-harmonics")}
    except PackageNotFoundError:
        return {}
