"""Flat networks that can be given row kernels: checked, read as a chain of layers, and built on other surfaces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from omniconv.errors import InputError
from omniconv.nn import AvgPool, Conv, MaxPool
from omniconv.nn.inspection import copy_network
from omniconv.surfaces import Surface

POOLS: dict[type[nn.Module], type[nn.Module]] = {nn.MaxPool2d: MaxPool, nn.AvgPool2d: AvgPool}
POOL_OPTIONS = {
    "kernel_size": 2, "stride": 2, "padding": 0, "dilation": 1, "ceil_mode": False, "return_indices": False,
    "divisor_override": None,
}  # fmt: skip
"""The only supported options of poolings."""
POINTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish,
    nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Softsign, nn.Identity, nn.BatchNorm2d, nn.Dropout,
    nn.Dropout2d,
)  # fmt: skip
"""Layers that give equal results on a panorama and on a view from it, because each pixel is computed on its own."""
SUPPORTED = (
    "nn.Sequential, Conv2d of odd kernels at stride 1, MaxPool2d or AvgPool2d of 2 × 2 at stride 2, activations, "
    "BatchNorm2d and Dropout"
)
"""The supported layers, as error messages list them."""


@dataclass(frozen=True)
class ChainLayer:
    """One layer of a chain."""

    name: str  # qualified name in its network
    layer: nn.Module  # the flat layer; pointwise layers are copies in evaluation mode
    field: int  # receptive field of an output along each axis, in pixels of the image
    stride: int  # pixels of the image between neighbouring outputs

    @property
    def is_conv(self) -> bool:
        """Return whether the layer is a convolution."""
        return isinstance(self.layer, nn.Conv2d)


def chain(model: nn.Module) -> list[ChainLayer]:
    """Check a network and return its layers in the order of execution; a layer that is used twice appears twice."""
    layers: list[ChainLayer] = []
    field = stride = 1
    for name, layer in _leaves(model, ""):
        check_layer(name, layer)
        if isinstance(layer, nn.Conv2d):
            field += (layer.kernel_size[0] - 1) * layer.dilation[0] * stride
        elif type(layer) in POOLS:
            field, stride = field + stride, 2 * stride
        layers.append(ChainLayer(name, frozen_copy(layer) if type(layer) in POINTWISE else layer, field, stride))
    if not any(layer.is_conv for layer in layers):
        raise InputError("model", type(model).__name__, "must have a convolution", f"give a chain of {SUPPORTED}")
    return layers


def check_layer(name: str, layer: nn.Module) -> None:
    """Raise InputError unless a layer of a chain, and its options, are supported."""
    check_no_hooks(name, layer)
    path = _described(name, layer)
    if not all(bool(torch.isfinite(values).all()) for values in (*layer.parameters(), *layer.buffers())):
        raise InputError("model", path, "contains NaN or infinity", "train it again")
    if type(layer) in POOLS:
        if any(_pair(getattr(layer, key, value)) != _pair(value) for key, value in POOL_OPTIONS.items()):
            raise InputError("model", path, "must pool 2 × 2 at stride 2 without padding", f"use {SUPPORTED}")
    elif type(layer) is nn.Conv2d:
        _check_convolution(path, layer)
    elif type(layer) not in POINTWISE:
        raise InputError("model", path, "is not supported with row kernels", f"use {SUPPORTED}")
    elif isinstance(layer, nn.BatchNorm2d) and layer.running_mean is None:
        rule = "must have running statistics: those of a batch differ between views and panoramas"
        raise InputError("model", path, rule, "use track_running_stats=True")


def check_no_hooks(name: str, module: nn.Module) -> None:
    """Raise InputError unless calling a module runs the ``forward`` of its class and nothing else."""
    if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
        rule = "has hooks or an instance attribute 'forward', which the converted layer would not have"
        raise InputError("model", _described(name, module), rule, "remove them first")


def frozen_copy(layer: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode that does not write to its input.

    An in-place activation would overwrite the convolution outputs that the report compares.
    """
    copied: Any = copy_network(layer).eval()
    if hasattr(copied, "inplace"):
        copied.inplace = False
    return copied


def build_on(layers: Sequence[ChainLayer], surfaces: Sequence[Surface]) -> nn.Sequential:
    """Return the chain with omniconv's layers on given surfaces, copying the weights whose shape is the same."""
    return nn.Sequential(*(_layer_on(layer, surface) for layer, surface in zip(layers, surfaces, strict=True)))


def input_surfaces(layers: Sequence[ChainLayer], first: Surface) -> list[Surface]:
    """Return the surface of each layer's input."""
    surfaces = [first]
    for layer in layers[:-1]:
        surfaces.append(surfaces[-1].coarser() if type(layer.layer) in POOLS else surfaces[-1])
    return surfaces


def conv_outputs(network: nn.Sequential, x: Tensor) -> list[Tensor]:
    """Return the output of each convolution of a chain."""
    outputs = []
    for layer in network:
        x = layer(x)
        if isinstance(layer, nn.Conv2d | Conv):
            outputs.append(x)
    return outputs


def _leaves(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """Yield names and layers in the order of execution."""
    if getattr(type(module), "forward", None) is not nn.Sequential.forward:
        yield name, module
        return
    check_no_hooks(name, module)
    # named_modules() would leave out a layer's second use
    for key, child in module._modules.items():
        yield from _leaves(child, f"{name}.{key}" if name else key)  # type: ignore[arg-type]  # never None in Sequential


def _layer_on(chain_layer: ChainLayer, surface: Surface) -> nn.Module:
    layer = chain_layer.layer
    if type(layer) in POOLS:
        return POOLS[type(layer)](2, surface=surface)
    if not isinstance(layer, nn.Conv2d):
        return layer
    # each row kernel is fitted with a bias of its own, even where the flat layer has none
    has_bias = layer.bias is not None or getattr(surface, "kernels", "") == "rows"
    conv = Conv(
        layer.in_channels, layer.out_channels, layer.kernel_size[0], dilation=layer.dilation[0], groups=layer.groups,
        bias=has_bias, surface=surface,
    ).to(layer.weight.device, layer.weight.dtype)  # fmt: skip
    if conv.weight.shape == layer.weight.shape:
        conv.load_state_dict(layer.state_dict())
    return conv


def _check_convolution(path: str, layer: nn.Conv2d) -> None:
    if layer.weight.dtype not in (torch.float32, torch.float64):
        rule = f"must have weights in float32 or float64, got {layer.weight.dtype}"
        raise InputError("model", path, rule, "give model.float()")
    reach = tuple((taps - 1) * step for taps, step in zip(layer.kernel_size, layer.dilation, strict=True))
    if layer.stride != (1, 1) or reach[0] != reach[1] or len(set(layer.dilation)) > 1 or layer.kernel_size[0] % 2 == 0:
        raise InputError("model", path, "must have stride 1 and a square, odd kernel", f"use {SUPPORTED}")
    if layer.padding != "same" and _pair(layer.padding) != (reach[0] // 2, reach[1] // 2):
        rule = f"must keep the size: padding={reach[0] // 2}"
        raise InputError("model", path, rule, "pad by half of the kernel, as VGG does")


def _described(name: str, module: nn.Module) -> str:
    return f"{name or 'the model'}: {type(module).__name__}"


def _pair(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value, value)
