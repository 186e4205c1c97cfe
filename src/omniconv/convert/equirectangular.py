"""Flat networks on panoramas of any size: Circular CNNs (Schubert et al., IV 2019), over the poles too."""

from __future__ import annotations

import copy as copying
from collections.abc import Sequence
from typing import Any, Literal, overload

from torch import nn

from omniconv.convert.conversion import check_model, convert, example_for, whole
from omniconv.convert.equivariance.report import findings_of
from omniconv.convert.finding import Finding
from omniconv.convert.overrides.table import GridRules
from omniconv.surfaces import Equirectangular
from omniconv.surfaces.equirectangular.surface import Poles

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
    a picture and on the picture turned, and compares after every operation. Activation checkpointing takes whole
    modules: a function that it runs again during the backward pass runs flat.

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
        >>> flat = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.MaxPool2d(3, 2, 1))
        >>> network = to_equirectangular(flat)
        >>> x = torch.rand(1, 3, 16, 32)
        >>> torch.allclose(network(x.roll(6, -1)), network(x).roll(3, -1), atol=1e-6)
        True
        >>> sorted(network.state_dict())
        ['0.bias', '0.weight']
    """
    border: Any = Equirectangular(poles=poles).conv_neighbours()  # of flat kernels
    check_model(model)
    network = copying.deepcopy(model) if copy else model
    convert(network, "Equirectangular", border, GridRules())
    with whole(network):
        return (network, findings_of(network, example_for(network, example, size))) if report else network
