"""Trained flat networks on panoramas: the public functions."""

from __future__ import annotations

import copy as copying
from collections.abc import Sequence
from typing import Any, Literal, overload

import torch
from torch import nn

from omniconv.convert.findings import Finding
from omniconv.convert.rules import GridRules
from omniconv.convert.swapping import Conversion, Converted, Ruler, swap, swap_back
from omniconv.convert.witness import findings_of
from omniconv.errors import InputError
from omniconv.surfaces import Border, Equirectangular
from omniconv.surfaces.equirectangular import Poles

GRID_LAYERS = (
    nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d, nn.AvgPool2d, nn.LPPool2d, nn.MaxUnpool2d, nn.Upsample, nn.Fold,
    nn.Unfold, nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d,
)  # fmt: skip
SIZE = (128, 256)
"""Of the panorama that a report is made on."""


@overload
def to_equirectangular(
    model: nn.Module, *, poles: Poles = ..., copy: bool = ..., report: Literal[False] = ..., example: Any = ...,
    size: Sequence[int] = ...,
) -> nn.Module: ...  # fmt: skip
@overload
def to_equirectangular(
    model: nn.Module, *, poles: Poles = ..., copy: bool = ..., report: Literal[True], example: Any = ...,
    size: Sequence[int] = ...,
) -> tuple[nn.Module, list[Finding]]: ...  # fmt: skip
def to_equirectangular(
    model: nn.Module, *, poles: Poles = "over", copy: bool = False, report: bool = False, example: Any = None,
    size: Sequence[int] = SIZE,
) -> nn.Module | tuple[nn.Module, list[Finding]]:  # fmt: skip
    """Make a trained flat network work on panoramas, with the weights that it has (Schubert et al., IV 2019).

    Convolutions, transposed convolutions, poolings, unpoolings, paddings and resizings, as layers and as calls of
    ``torch.nn.functional`` within a ``forward``, go on past the left and right edge of the picture and over its poles.
    Inside, where nothing past an edge is seen, they give what they gave. The output then turns with the panorama, to
    rounding, by every multiple of the network's total stride; sizes that are no multiples of it leave a seam.

    ``model`` itself is converted and returned: same parameters, same ``state_dict`` keys, same classes, hooks and
    methods; it trains, moves, compiles, exports, is copied and pickled as before. ``revert`` undoes it. To convert what
    is converted changes nothing.

    What cannot turn with the panorama is said as it runs, by a ``SeamWarning`` with the name of the module, where the
    call itself tells it (a convolution without padding, a size that a stride does not divide, ``grid_sample``). A
    report finds the rest too, position embeddings and windows of attention, flattened pictures: it runs the network on
    a picture and on the picture turned, and compares after every operation.

    Args:
        model: any network of pictures (batch, channels, height, width).
        poles: what lies past the first and last row: ``over`` the pole (the mirrored rows turned by half of the
            columns, of which there should be an even number on every level), ``zeros``, ``replicate`` or ``reflect``.
            Any height and width go; ``over`` takes it that the first and last row touch the poles, as they do in a
            panorama of twice as many columns as rows. For a strip around the equator take ``replicate`` or ``zeros``.
        copy: convert a copy, with weights of its own, and leave ``model`` as it is.
        report: also give the list of what was changed and what leaves a seam.
        example: what the network takes, for the report: a tensor, or a tuple of arguments; pictures in it are turned.
            By default noise of ``size`` with as many channels as the first convolution takes.
        size: height and width of that noise.

    Returns:
        The network; with ``report`` a pair of it and a list of ``Finding``.

    Raises:
        InputError: no module, no layer that could be converted, scripted modules, layers of omniconv.

    Example:
        >>> flat = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(3, 2, 1))
        >>> network = to_equirectangular(flat)
        >>> x = torch.rand(1, 3, 16, 32)
        >>> torch.allclose(network(x.roll(6, -1)), network(x).roll(3, -1), atol=1e-6)
        True
        >>> sorted(network.state_dict())
        ['0.bias', '0.weight']
    """
    border = Equirectangular(poles=poles).conv_neighbours()
    check_model(model)
    network = copying.deepcopy(model) if copy else model
    convert(network, "Equirectangular", border, GridRules())
    if not report:
        return network
    return network, findings_of(network, example_for(network, example, size))


def revert(model: nn.Module) -> nn.Module:
    """Undo a conversion: the flat network again, with the weights that it has now.

    Example:
        >>> flat = torch.nn.Conv2d(3, 8, 3, padding=1)
        >>> revert(to_equirectangular(flat)) is flat, flat
        (True, Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1)))
    """
    for module in model.modules():
        swap_back(module)
    return model


def convert(network: nn.Module, prefix: str, border: Border, rules: Ruler) -> None:
    """Have every module of a network enter a mode with these rules while it runs."""
    for name, module in network.named_modules():
        swap(module, Conversion(name, prefix, border, rules))


def check_model(model: nn.Module) -> None:
    """It is a network of pictures that can be converted.

    Raises:
        InputError: it is not.
    """
    if not isinstance(model, nn.Module):
        raise InputError("model", model, "must be a torch.nn.Module", "give the network itself")
    for name, module in model.named_modules():
        where = name or "model"
        if isinstance(module, torch.jit.ScriptModule):
            raise InputError("model", where, "is scripted: its functions cannot be seen", "convert it before scripting")
        if type(module).__module__.startswith("omniconv.") and not isinstance(module, Converted):
            raise InputError(
                "model", where, f"is omniconv's {type(module).__name__}, whose edges are settled when it is built",
                "build it with surface=oc.Equirectangular() and load the same weights",
            )  # fmt: skip
    tensors = [*model.parameters(), *model.buffers()]
    has_kernels = any(tensor.ndim == 4 for tensor in tensors) or not tensors
    if not has_kernels and not any(isinstance(module, GRID_LAYERS) for module in model.modules()):
        raise InputError(
            "model", type(model).__name__, "has no convolution, pooling, padding or resizing of pictures",
            "give a network of pictures (batch, channels, height, width)",
        )  # fmt: skip


def example_for(network: nn.Module, example: Any, size: Sequence[int]) -> tuple[Any, ...]:
    """The arguments to run a network on: those given, or noise of a size."""
    if example is not None:
        return example if isinstance(example, tuple) else (example,)
    kernel = next((layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d)), None)
    if kernel is None:
        raise InputError("example", None, "must be given where a network has no Conv2d", "give what the network takes")
    channels = next(layer.in_channels for layer in network.modules() if isinstance(layer, nn.Conv2d))
    noise = torch.randn(1, channels, *size, generator=torch.Generator().manual_seed(0))
    return (noise.to(kernel.device, kernel.dtype),)
