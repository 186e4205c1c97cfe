"""Flat networks with kernels on the planes that touch the sphere: SphereNet (Coors et al., ECCV 2018)."""

from __future__ import annotations

import copy as copying
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, overload

import torch
from torch import nn

from omniconv.convert.conversion import check_model, convert, example_for, whole
from omniconv.convert.equivariance.report import findings_of
from omniconv.convert.finding import Finding
from omniconv.convert.overrides.tangent import TangentRules
from omniconv.surfaces import Equirectangular


@overload
def to_tangent(
    model: nn.Module, height: int, *, copy: bool = ..., report: Literal[False] = ..., example: Any = ...
) -> nn.Module: ...
@overload
def to_tangent(
    model: nn.Module, height: int, *, copy: bool = ..., report: Literal[True], example: Any = ...
) -> tuple[nn.Module, list[Finding]]: ...
def to_tangent(
    model: nn.Module, height: int, *, copy: bool = False, report: bool = False, example: Any = None
) -> nn.Module | tuple[nn.Module, list[Finding]]:
    """Put the kernels of a trained flat network on the planes that touch the sphere, with the weights that it has.

    Convolutions and max poolings of odd windows, and poolings by 2, of stride 1 or 2 sample the panorama on the plane
    that touches the sphere at each pixel (Coors et al., SphereNet, ECCV 2018): near the equator they give what they
    gave, to second order in the spacing of pixels; towards the poles they see what they see at the equator. All the
    rest is done as by ``to_equirectangular``, and what is said there of the network, of ``revert``, of warnings and of
    reports holds here too.

    The network runs once on noise of this height, to find the heights of its layers and build their tables. Other
    heights build theirs when they first come; compile and export at the height, device and precision of a run before.

    Args:
        model: any network of pictures (batch, channels, height, width).
        height: rows of the panoramas that it takes, which have twice as many columns.
        copy: convert a copy, with weights of its own, and leave ``model`` as it is.
        report: also give the list of what was changed and what leaves a seam.
        example: what the network takes, a tensor or a tuple of arguments; by default noise with as many channels as
            the first convolution takes.

    Returns:
        The network; with ``report`` a pair of it and a list of ``Finding``.

    Raises:
        InputError: no module, no layer that could be converted, scripted modules, layers of omniconv; a height that
            the strides of the network do not divide, or a layer whose signal is no panorama.

    Example:
        >>> flat = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.MaxPool2d(2))
        >>> to_tangent(flat, height=16)(torch.rand(1, 3, 16, 32)).shape
        torch.Size([1, 8, 4, 8])
    """
    rules = TangentRules(height)
    check_model(model)
    network = copying.deepcopy(model) if copy else model
    border: Any = Equirectangular().conv_neighbours()  # of flat kernels
    arguments = example_for(network, example, (height, 2 * height))
    convert(network, "Tangent", border, rules)
    with whole(network):
        with _at_rest(network), torch.no_grad():
            network(*arguments)
        return (network, findings_of(network, arguments)) if report else network


@contextmanager
def _at_rest(network: nn.Module) -> Iterator[None]:
    """A network that learns nothing from what it sees meanwhile."""
    learning = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in learning:
            module.training = True
