"""Encoders by name, for models with an argument ``encoder``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import Parameter, signature
from pkgutil import resolve_name
from typing import Any, Protocol

from torch import Tensor

from omniconv.checks import check_choice, to_builtin
from omniconv.errors import InputError
from omniconv.models.encoders.plain import Down, PlainEncoder
from omniconv.models.encoders.resnet import PUBLISHED_WIDTH, ResNetEncoder
from omniconv.surfaces import Surface

PLAIN_DEPTH, RESNET_STRIDE = 3, 32
"""Downsampling steps of a plain encoder and total stride of a ResNet by default."""


class Encoder(Protocol):
    """Members of an encoder, which is a ``torch.nn.Module``."""

    channels: list[int]
    surfaces: list[Surface]
    strides: list[int]
    total_stride: int

    def __call__(self, x: Tensor) -> list[Tensor]:
        """Return a signal for each entry of ``channels``, the finest first."""


def _plain(
    in_channels: int, surface: Surface, output_stride: int | None = None, width: int = 32, depth: int | None = None,
    down: Down = "stride", normalization: str = "batch", activation: str = "relu", stem_stride: int = 1,
    residual: bool = False,
) -> PlainEncoder:  # fmt: skip
    output_stride = to_builtin(output_stride)
    if depth is None:
        if output_stride is not None and (output_stride < 2 or output_stride & (output_stride - 1)):
            raise InputError("output_stride", output_stride, "must be a power of two from 2", "use output_stride=8")
        depth = PLAIN_DEPTH if output_stride is None else output_stride.bit_length() - 1
    encoder = PlainEncoder(in_channels, width, depth, surface, down, normalization, activation, stem_stride, residual)
    if output_stride not in (None, encoder.total_stride):
        rule = f"is not that of depth={depth}, {encoder.total_stride}"
        raise InputError("output_stride", output_stride, rule, "leave one of the two out")
    return encoder


def _resnet(
    layers: int, in_channels: int, surface: Surface, output_stride: int | None = None, width: int = PUBLISHED_WIDTH
) -> ResNetEncoder:
    return ResNetEncoder(in_channels, surface, layers, width, RESNET_STRIDE if output_stride is None else output_stride)


PLAIN = "plain"
ENCODERS: dict[str, Callable[..., Any]] = {
    PLAIN: _plain,
    "resnet18": partial(_resnet, 18),
    "resnet34": partial(_resnet, 34),
    "resnet50": partial(_resnet, 50),
    "resnet101": partial(_resnet, 101),
}
"""Functions ``(in_channels, surface, output_stride, **options)`` by the names of their encoders."""
COMMON_ARGUMENTS = ("in_channels", "surface", "output_stride")
TIMM_PREFIX, TIMM_ENCODER = "timm:", "omniconv.convert.timm_encoder:TimmEncoder"
"""Start of the names of timm's networks, and their class, by name: ``convert`` lies above ``models``."""


def encoder_options(name: str) -> dict[str, Any]:
    """Return the further arguments of an encoder of ``ENCODERS`` with their defaults; of timm's networks none.

    Raises:
        InputError: an unknown name.

    Example:
        >>> encoder_options("resnet18")
        {'width': 64}
    """
    if name.startswith(TIMM_PREFIX):
        return {}
    parameters = signature(ENCODERS[check_choice("encoder", name, ENCODERS)]).parameters
    return {key: entry.default for key, entry in parameters.items() if key not in COMMON_ARGUMENTS}


def default_output_stride(name: str) -> int | None:
    """Return the total stride of an encoder unless another one is chosen; ``None`` for the networks of timm.

    Example:
        >>> default_output_stride("resnet18")
        32
    """
    if name.startswith(TIMM_PREFIX):
        return None
    return 2**PLAIN_DEPTH if name == PLAIN else RESNET_STRIDE


def make_encoder(
    name: str, in_channels: int, surface: Surface, output_stride: int | None = None, **options: Any
) -> Encoder:
    """Build an encoder by its name.

    Args:
        name: ``plain``, ``resnet18``, ``resnet34``, ``resnet50`` or ``resnet101``; or ``timm:NAME``, a convolutional
            network of timm on a plane or a panorama (``pip install omniconv[timm]``).
        in_channels: channels of the image.
        surface: surface of the image.
        output_stride: input samples per sample of the coarsest signal, along each axis; by default 32, with ``plain``
            2 to the power of ``depth``.
        options: further arguments of ``PlainEncoder`` (by default ``width=32``, ``depth=3``), ``ResNetEncoder`` or
            ``timm.create_model``; ``None`` is their default.

    Returns:
        A module whose ``forward`` returns a list of signals, the finest first; ``channels``, ``surfaces`` and
        ``strides`` describe them, ``total_stride`` is the last stride.

    Raises:
        InputError: an unknown name (the cure is the nearest one), or arguments that the encoder does not take.

    Example:
        >>> from omniconv.surfaces import Equirectangular
        >>> make_encoder("resnet18", 3, Equirectangular(), output_stride=8).strides
        [2, 4, 8, 8, 8]
        >>> make_encoder("plain", 3, Equirectangular(), width=8).channels
        [8, 16, 32, 64]
    """
    if isinstance(name, str) and name.startswith(TIMM_PREFIX):
        build: Callable[..., Any] = partial(resolve_name(TIMM_ENCODER), name.removeprefix(TIMM_PREFIX))
    else:
        build = ENCODERS[check_choice("encoder", name, ENCODERS)]
    options = {option: value for option, value in options.items() if value is not None}
    accepted = signature(build).parameters
    takes_any = any(one.kind is Parameter.VAR_KEYWORD for one in accepted.values())  # timm checks its own arguments
    for option, value in options.items():
        if option not in accepted and not takes_any:
            raise InputError(option, value, f"is not an argument of the encoder {name}", "leave it out")
    return build(in_channels, surface, output_stride, **options)
