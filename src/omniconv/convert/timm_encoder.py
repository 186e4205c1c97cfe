"""Convolutional networks of timm as encoders on flat images and panoramas."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from omniconv.checks import did_you_mean
from omniconv.convert.own_network import on_surface
from omniconv.errors import InputError, one_line
from omniconv.models.weights.sources import import_timm
from omniconv.surfaces import Equirectangular, Plane, Surface


class TimmEncoder(nn.Module):
    """Network of timm that returns its signals at several sizes, converted to the border of a surface.

    It is built by ``oc.models.make_encoder("timm:NAME", …)`` and has random weights; ``network`` is timm's own
    ``features_only`` network. ``oc.models.load_weights(encoder, "timm")``, or a file in place of ``"timm"``, loads
    weights of the whole network, whose parts after the last signal are left out. Panoramas are
    converted as by ``oc.convert.to_equirectangular`` and, with tangent kernels, ``oc.convert.to_tangent``. Networks
    with attention, position embeddings or signals of channels last (Swin, ViT) are not equivariant or refused.

    Args:
        name: name of the network in timm, such as ``resnet18`` or ``efficientnet_b0``.
        in_channels: channels of the image.
        surface: ``Plane()`` or ``Equirectangular`` with flat or tangent kernels.
        output_stride: total stride; by default the network's own, usually 32. Not all networks can change theirs.
        options: further arguments of ``timm.create_model``.

    Attributes:
        published_name: name of the network in timm.
        channels: channels of each signal, the finest first.
        surfaces: surface of each signal.
        strides: input samples per sample of each signal, along each axis.
        total_stride: input samples per sample of the coarsest signal.

    Raises:
        InputError: timm is not installed or has no such network, the network takes no such argument or has no signals
            at several sizes, or the surface is another one.
    """

    def __init__(
        self, name: str, in_channels: int, surface: Surface, output_stride: int | None = None, **options: Any
    ) -> None:
        super().__init__()
        _check_surface(name, surface)
        timm = import_timm(f"encoder='timm:{name}'")
        if not timm.is_model(name):
            cure = did_you_mean(name, timm.list_models(), "list the names by timm.list_models()")
            raise InputError("encoder", f"timm:{name}", "is no network of timm", cure)
        if output_stride is not None:
            options["output_stride"] = output_stride
        try:
            network = timm.create_model(name, features_only=True, pretrained=False, in_chans=in_channels, **options)
        except (AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            rule = f"cannot be built as an encoder with these arguments ({one_line(error)})"
            raise InputError("encoder", f"timm:{name}", rule, "leave them out, or choose another network") from error
        if str(getattr(network, "output_fmt", "NCHW")).rpartition(".")[2] != "NCHW":
            rule = "returns signals with channels last"
            raise InputError("encoder", f"timm:{name}", rule, "choose a convolutional network, such as timm:resnet18")
        self.published_name = name
        self.channels, self.strides = list(network.feature_info.channels()), list(network.feature_info.reduction())
        self.surfaces = [_at_stride(surface, stride) for stride in self.strides]
        self.total_stride = self.strides[-1]
        poles = surface.poles if isinstance(surface, Equirectangular) else "flat"
        self.network = on_surface(network, surface, poles, in_channels)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the signals of the network, the finest first."""
        return list(self.network(x))


def _check_surface(name: str, surface: Surface) -> None:
    is_flat = surface == Plane()
    if not is_flat and not (isinstance(surface, Equirectangular) and surface.kernels != "rows"):
        rule = f"is not possible on {surface}: networks of timm are flat"
        cure = "use encoder='resnet18', or the surface plane or equirectangular"
        raise InputError("encoder", f"timm:{name}", rule, cure)


def _at_stride(surface: Surface, stride: int) -> Surface:
    for _ in range(stride.bit_length() - 1):
        surface = surface.coarser()
    return surface
