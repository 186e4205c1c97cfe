"""``to_tangent``: flat networks with kernels on the tangent planes of the sphere (SphereNet, ECCV 2018)."""

from __future__ import annotations

from typing import Any, Literal, overload

import torch
from torch import nn

from omniconv.convert.equirectangular import check_model, example_input
from omniconv.convert.equivariance.report import equivariance_report
from omniconv.convert.equivariance.tracer import is_image
from omniconv.convert.finding import ConversionReport
from omniconv.convert.overrides.module_class import convert_modules, evaluation_mode, restore_on_error
from omniconv.convert.overrides.tangent import TangentOverrides
from omniconv.nn.inspection import copy_network, preserved_random_state
from omniconv.surfaces import Equirectangular


@overload
def to_tangent(
    model: nn.Module, height: int, *, copy: bool = ..., report: Literal[False] = ..., example: Any = ...
) -> nn.Module: ...
@overload
def to_tangent(
    model: nn.Module, height: int, *, copy: bool = ..., report: Literal[True], example: Any = ...
) -> tuple[nn.Module, ConversionReport]: ...
def to_tangent(
    model: nn.Module, height: int, *, copy: bool = False, report: bool = False, example: Any = None
) -> nn.Module | tuple[nn.Module, ConversionReport]:
    """Move the kernels of a trained flat network to the tangent planes of the sphere, keeping its weights.

    Convolutions and max poolings with odd windows, and max poolings of size 2, at stride 1 or 2, sample the panorama on
    the plane that is tangent to the sphere at each output pixel (Coors et al., SphereNet, ECCV 2018). Near the equator
    the outputs agree with the flat ones to second order in the pixel spacing; near the poles a kernel covers the same
    solid angle as at the equator. Layers whose input is no 2:1 panorama in the first run, as in the branches of a
    pyramid pooling, stay flat, and the report names them. All other operations are converted as by
    ``to_equirectangular(poles="over")``, whose notes on the network, on ``revert``, on warnings and on reports apply
    here too.

    The network runs once on an image of this height, to find the heights of its layers and to build their tables. For
    other heights, the tables are built at the first call. Compile and export at a height, device and dtype that the
    network has already run at.

    Args:
        model: network for images (batch, channels, height, width).
        height: rows of the panoramas that it takes, which have twice as many columns.
        copy: convert a copy with weights of its own, and leave ``model`` unchanged.
        report: also return the list of changed operations and of seams.
        example: input of the network, a tensor or a tuple of arguments; by default noise with as many channels as the
            first convolution takes.

    Returns:
        The network; with ``report`` a pair of the network and a ``ConversionReport``: a list of ``Finding`` that
        prints as a table.

    Raises:
        InputError: ``model`` is not a module, has no layer that could be converted, or contains a scripted module or a
            layer of omniconv; the strides do not divide ``height``; the input is not a 2:1 panorama.

    Example:
        >>> flat = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.MaxPool2d(2))
        >>> to_tangent(flat, height=16)(torch.rand(1, 3, 16, 32)).shape
        torch.Size([1, 8, 4, 8])
    """
    overrides = TangentOverrides(height)
    check_model(model)
    network = copy_network(model, cure="use copy=False") if copy else model
    border: Any = Equirectangular().conv_neighbours()
    arguments = example_input(network, example, (height, 2 * height))
    with restore_on_error(network):
        convert_modules(network, "Tangent", border, overrides)
        with preserved_random_state(), evaluation_mode(network), torch.no_grad():
            # layers may be on other signals, as after a pyramid pooling, if the network itself is on a panorama
            overrides.records = any(is_image(x) and x.shape[3] == 2 * x.shape[2] for x in arguments)
            network(*arguments)
            overrides.records = False
        return (network, equivariance_report(network, arguments)) if report else network
