"""Which flat layers have kernels of rows, or need none; all others are refused by name."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from omniconv.errors import InputError

ALLOWED = (
    "nn.Sequential, Conv2d of odd kernels at stride 1, MaxPool2d or AvgPool2d of 2 × 2 at stride 2, activations, "
    "BatchNorm2d and Dropout"
)
POOLING = {
    "kernel_size": 2, "stride": 2, "padding": 0, "dilation": 1, "ceil_mode": False, "return_indices": False,
    "divisor_override": None,
}  # fmt: skip
"""The options of poolings that are taken."""
POINTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish,
    nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Softsign, nn.Identity, nn.BatchNorm2d, nn.Dropout,
    nn.Dropout2d,
)  # fmt: skip
"""Layers that treat every pixel by itself: the same on a panorama as on a view of it."""


def check_layer(name: str, layer: nn.Module) -> None:
    """A layer of a chain is one that is taken, as it is set.

    Raises:
        InputError: it is not.
    """
    check_calls(name, layer)
    where = _where(name, layer)
    if not all(bool(torch.isfinite(values).all()) for values in (*layer.parameters(), *layer.buffers())):
        raise InputError("model", where, "holds NaN or infinity", "train it again")
    if type(layer) in (nn.MaxPool2d, nn.AvgPool2d):
        if any(_pair(getattr(layer, key, usual)) != _pair(usual) for key, usual in POOLING.items()):
            raise InputError("model", where, "must pool 2 × 2 at stride 2 without padding", f"use {ALLOWED}")
    elif type(layer) is nn.Conv2d:
        _check_convolution(where, layer)
    elif type(layer) not in POINTWISE:
        raise InputError("model", where, "is not a layer that has row kernels", f"use {ALLOWED}")
    elif isinstance(layer, nn.BatchNorm2d) and layer.running_mean is None:
        rule = "must keep running statistics: those of a batch are not the same on views and panoramas"
        raise InputError("model", where, rule, "use track_running_stats=True")


def check_calls(name: str, module: nn.Module) -> None:
    """Nothing happens around a module's own forward.

    Raises:
        InputError: it has hooks, or a forward put on the object.
    """
    if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
        rule = "has hooks, or a forward of its own, that kernels of rows would not have"
        raise InputError("model", _where(name, module), rule, "remove them first")


def _check_convolution(where: str, layer: nn.Conv2d) -> None:
    if layer.weight.dtype not in (torch.float32, torch.float64):
        rule = f"must be in single or double precision to be fitted, not {layer.weight.dtype}"
        raise InputError("model", where, rule, "give model.float()")
    reach = tuple((size - 1) * gap for size, gap in zip(layer.kernel_size, layer.dilation, strict=True))
    if layer.stride != (1, 1) or reach[0] != reach[1] or len(set(layer.dilation)) > 1 or layer.kernel_size[0] % 2 == 0:
        raise InputError("model", where, "must have stride 1 and a square, odd kernel", f"use {ALLOWED}")
    if layer.padding != "same" and _pair(layer.padding) != (reach[0] // 2, reach[1] // 2):
        rule = f"must keep the size: padding={reach[0] // 2}"
        raise InputError("model", where, rule, "pad by half of the kernel, as VGG does")


def _where(name: str, module: nn.Module) -> str:
    return f"{name or 'the model'}: {type(module).__name__}"


def _pair(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value, value)
