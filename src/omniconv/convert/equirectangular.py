"""``to_equirectangular``: flat networks on panoramas of any size (Schubert et al., IV 2019), poles included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args, overload

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from omniconv.checks import check_choice
from omniconv.convert.equivariance.report import equivariance_report
from omniconv.convert.finding import ConversionReport
from omniconv.convert.overrides.mode import Overrides
from omniconv.convert.overrides.module_class import convert_modules, named_modules, restore_on_error, tensors_of
from omniconv.convert.overrides.table import GridOverrides, flat_rows
from omniconv.errors import InputError
from omniconv.nn.inspection import copy_network
from omniconv.surfaces import Equirectangular
from omniconv.surfaces.equirectangular.surface import Poles

PoleRows = Poles | Literal["flat"]
"""Values beyond the first and last row; ``flat`` are those of the flat network."""
REPORT_SIZE = (128, 256)
"""Default height and width of the noise that a report is made on."""
GRID_LAYERS = (
    nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d, nn.AvgPool2d, nn.LPPool2d, nn.MaxUnpool2d, nn.Upsample, nn.Fold,
    nn.Unfold, nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d,
)  # fmt: skip
"""A network with one of these layers takes images."""


@overload
def to_equirectangular(
    model: nn.Module, *, poles: PoleRows = ..., copy: bool = ..., report: Literal[False] = ..., example: Any = ...,
    size: Sequence[int] = ...,
) -> nn.Module: ...  # fmt: skip
@overload
def to_equirectangular(
    model: nn.Module, *, poles: PoleRows = ..., copy: bool = ..., report: Literal[True], example: Any = ...,
    size: Sequence[int] = ...,
) -> tuple[nn.Module, ConversionReport]: ...  # fmt: skip
def to_equirectangular(
    model: nn.Module, *, poles: PoleRows = "flat", copy: bool = False, report: bool = False, example: Any = None,
    size: Sequence[int] = REPORT_SIZE,
) -> nn.Module | tuple[nn.Module, ConversionReport]:  # fmt: skip
    """Convert a trained flat network to panoramas, keeping its weights (Schubert et al., IV 2019).

    Convolutions, transposed convolutions, poolings, unpoolings, paddings and resizings wrap around the left and right
    edge, in layers and in calls of ``torch.nn.functional`` in a ``forward``. Above the first and below the last row
    they read what the flat network reads there, its own padding, unless ``poles`` says otherwise. Outputs that do not
    depend on samples beyond the left and right edge are unchanged, except those of ``align_corners=True`` (see below).
    The network becomes equivariant, to rounding, to rolling the panorama by any multiple of its total stride; a width
    that is not a multiple of it leaves a seam.

    The choice of ``poles`` matters for networks that were trained with padding of zeros: they recognise the edge of the
    image by it, and read other values there as content, with a large receptive field down to the equator. No default is
    best for all of them: ``oc.convert.choose`` measures all conversions on panoramas of your own.

    A full circle has no corners, so resizing with ``align_corners=True`` becomes ``False``: outputs move, by nothing in
    the middle of the image to half an input sample at its edges. The report measures the change of the middle.

    ``model`` itself is converted and returned: parameters, ``state_dict`` keys, classes, hooks and methods stay, and it
    can be trained, moved, compiled, exported, copied and pickled as before. ``revert`` undoes the conversion.
    Converting a converted network changes nothing.

    Axes that the network exchanges are followed through permutations: where the last axis of a convolution is the
    longitude and the other one is not the latitude, it wraps around and is flat along the other axis; where the last
    axis is not the longitude, it stays as it is, and is named.

    Operations that are not equivariant raise a ``SeamWarning`` with the name of the module when the call itself shows
    it (a convolution without padding, a stride that does not divide the width, ``grid_sample``). A report also finds
    those that a call does not show (position embeddings, attention windows, flattened images): it runs the network on
    an image and on the image rolled along its columns, and compares both after every operation. Activation
    checkpointing must wrap modules: a function that it runs again in the backward pass runs as in the flat network.

    Args:
        model: network for images (batch, channels, height, width).
        poles: values beyond the first and last row: ``flat``, those of the flat network (its zeros, or the mode of its
            ``F.pad``); ``over`` the pole (mirrored rows, rolled by half of the columns, of which every level of the
            network should have an even number); ``zeros``, ``replicate`` or ``reflect``. Any height and width are
            accepted; ``over`` assumes that the first and last row are at the poles, as in a panorama with twice as many
            columns as rows.
        copy: convert a copy with weights of its own, and leave ``model`` unchanged.
        report: also return the list of changed operations and of seams.
        example: input for the report: a tensor or a tuple of arguments, whose images are rolled. By default noise of
            ``size`` with as many channels as the first convolution takes.
        size: height and width of that noise.

    Returns:
        The network; with ``report`` a pair of the network and a ``ConversionReport``: a list of ``Finding`` that
        prints as a table.

    Raises:
        InputError: ``model`` is not a module, has no layer that could be converted, or contains a scripted module or a
            layer of omniconv.

    Example:
        >>> flat = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.MaxPool2d(3, 2, 1))
        >>> network = to_equirectangular(flat)
        >>> x = torch.rand(1, 3, 16, 32)
        >>> torch.allclose(network(x.roll(6, -1)), network(x).roll(3, -1), atol=1e-6)
        True
        >>> sorted(network.state_dict())
        ['0.bias', '0.weight']
    """
    check_choice("poles", poles, ("flat", *get_args(Poles)), "use poles='flat'")
    check_model(model)
    network = copy_network(model, cure="use copy=False") if copy else model
    border: Any
    overrides: Overrides
    if poles == "flat":
        border, overrides = flat_rows()
    else:
        border, overrides = Equirectangular(poles=poles).conv_neighbours(), GridOverrides()
    with restore_on_error(network):
        convert_modules(network, "Equirectangular", border, overrides)
        return (network, equivariance_report(network, example_input(network, example, size))) if report else network


def check_model(model: nn.Module) -> None:
    """Raise InputError unless a model is a network for images that can be converted."""
    if not isinstance(model, nn.Module):
        raise InputError("model", model, "must be a torch.nn.Module", "give the network itself")
    for name, module in named_modules(model):
        path = name or "model"
        if isinstance(module, torch.jit.ScriptModule):
            rule = "is scripted, so its function calls cannot be replaced"
            raise InputError("model", path, rule, "convert it before scripting")
        if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():
            # a lazy module changes its class when it is initialized, which would drop the patched class
            raise InputError("model", path, "is a lazy module without parameters", "run it once on a flat image first")
        if type(module).__module__.startswith("omniconv."):
            rule = f"is omniconv's {type(module).__name__}, whose padding is fixed at construction"
            cure = "build it with surface=oc.Equirectangular() and load the same weights"
            raise InputError("model", path, rule, cure)
    if "forward" in vars(model):
        rule = "has an instance attribute 'forward', which hides that of the converted class"
        raise InputError("model", type(model).__name__, rule, "convert it before it is wrapped")
    tensors = list(tensors_of(model))
    # networks without any layer of GRID_LAYERS may still call torch.nn.functional with kernels of their own
    has_kernels = any(tensor.ndim == 4 for tensor in tensors) or not tensors
    if not has_kernels and not any(isinstance(module, GRID_LAYERS) for _, module in named_modules(model)):
        rule = "has no 2-d convolution, pooling, padding or resizing layer"
        cure = "give a network for images (batch, channels, height, width)"
        raise InputError("model", type(model).__name__, rule, cure)


def example_input(network: nn.Module, example: Any, size: Sequence[int]) -> tuple[Any, ...]:
    """Return the arguments to run a network on: ``example``, or noise of height and width ``size``."""
    if example is not None:
        return example if isinstance(example, tuple) else (example,)
    layers = (layer for _, layer in named_modules(network))
    first = next((layer for layer in layers if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)), None)
    if first is None:
        rule = "must be given, as the network has no Conv2d that tells the number of channels"
        raise InputError("example", None, rule, "give an input of the network")
    noise = torch.randn(1, first.in_channels, *size, generator=torch.Generator().manual_seed(0))
    stored = next(tensors_of(first))  # reading `first.weight` would run its parametrization
    return (noise.to(stored.device, stored.dtype),)
