"""A flat network read as a chain of layers, each with the field that it sees, and put on other kernels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from omniconv.convert.sphconv.allowed import ALLOWED, POINTWISE, check_calls, check_layer
from omniconv.errors import InputError
from omniconv.nn import AvgPool, Conv, MaxPool
from omniconv.surfaces import Equirectangular, Surface

POOLS: dict[type[nn.Module], type[nn.Module]] = {nn.MaxPool2d: MaxPool, nn.AvgPool2d: AvgPool}


@dataclass(frozen=True)
class Step:
    """One layer of a chain.

    Attributes:
        name: where it lies in its network.
        layer: the flat layer; of one that treats every pixel by itself a copy in evaluation mode.
        field: pixels of the picture, along each axis, that an output of it sees.
        stride: pixels from one of its outputs to the next.
    """

    name: str
    layer: nn.Module
    field: int
    stride: int

    @property
    def is_conv(self) -> bool:
        """Whether it is a convolution."""
        return isinstance(self.layer, nn.Conv2d)


def chain(model: nn.Module) -> list[Step]:
    """The layers of a network one after the other.

    Raises:
        InputError: a layer that is not allowed, named; no convolution.
    """
    steps: list[Step] = []
    field = stride = 1
    for name, layer in _leaves(model, ""):
        check_layer(name, layer)
        if isinstance(layer, nn.Conv2d):
            field += (layer.kernel_size[0] - 1) * layer.dilation[0] * stride
        elif type(layer) in POOLS:
            field, stride = field + stride, 2 * stride
        steps.append(Step(name, _still(layer) if type(layer) in POINTWISE else layer, field, stride))
    if not any(step.is_conv for step in steps):
        raise InputError("model", type(model).__name__, "must have a convolution", f"give a chain of {ALLOWED}")
    return steps


def on(steps: Sequence[Step], surfaces: Sequence[Surface]) -> nn.Sequential:
    """The same chain with the convolutions and poolings of omniconv, weights copied where they fit.

    Args:
        steps: of the flat network.
        surfaces: where the input of each step lies.
    """
    return nn.Sequential(*(_layer_on(step, surface) for step, surface in zip(steps, surfaces, strict=True)))


def surfaces_of(steps: Sequence[Step], first: Surface) -> list[Surface]:
    """Where the input of each step lies."""
    found = [first]
    for step in steps[:-1]:
        found.append(found[-1].coarser() if type(step.layer) in POOLS else found[-1])
    return found


def flat_kernels(height: int, kernels: str) -> Surface:
    """The panorama with kernels that flat weights fit: of the grid, or of touching planes."""
    return Equirectangular() if kernels == "grid" else Equirectangular(height=height, kernels="tangent")


def outputs_of_convolutions(network: nn.Sequential, x: Tensor) -> list[Tensor]:
    """What each convolution of a chain gives, before what follows it."""
    found = []
    for layer in network:
        x = layer(x)
        if isinstance(layer, nn.Conv2d | Conv):
            found.append(x)
    return found


def flat(steps: Sequence[Step]) -> nn.Sequential:
    """The flat layers themselves, as one chain."""
    return nn.Sequential(*(step.layer for step in steps))


def total_stride(steps: Sequence[Step]) -> int:
    """Pixels from one output of the last layer to the next."""
    return steps[-1].stride


def _leaves(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """Layers in the order of their work; one that stands twice works twice."""
    if getattr(type(module), "forward", None) is not nn.Sequential.forward:
        yield name, module
        return
    check_calls(name, module)
    for key, child in module._modules.items():
        yield from _leaves(child, f"{name}.{key}" if name else key)  # type: ignore[arg-type]  # none is left out


def _still(layer: nn.Module) -> nn.Module:
    """A copy that gives always the same, into a tensor of its own."""
    copied: Any = deepcopy(layer).eval()
    if hasattr(copied, "inplace"):
        copied.inplace = False
    return copied


def _layer_on(step: Step, surface: Surface) -> nn.Module:
    layer = step.layer
    if type(layer) in POOLS:
        return POOLS[type(layer)](2, surface=surface)
    if not isinstance(layer, nn.Conv2d):
        return layer
    has_bias = layer.bias is not None or getattr(surface, "kernels", "") == "rows"
    gap, size = layer.dilation[0], layer.kernel_size[0]
    twin = Conv(
        layer.in_channels, layer.out_channels, size, dilation=gap, groups=layer.groups, bias=has_bias, surface=surface
    ).to(layer.weight.device, layer.weight.dtype)
    if twin.weight.shape == layer.weight.shape:
        twin.load_state_dict(layer.state_dict())
    return twin
