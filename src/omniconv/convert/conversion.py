"""What every conversion of a network shares: which networks there are, how they are converted, and how it is undone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from omniconv.convert.overrides.mode import Rules
from omniconv.convert.overrides.module_class import Conversion, swap, swap_back
from omniconv.errors import InputError
from omniconv.surfaces import Border

GRID_LAYERS = (
    nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d, nn.AvgPool2d, nn.LPPool2d, nn.MaxUnpool2d, nn.Upsample, nn.Fold,
    nn.Unfold, nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d,
)  # fmt: skip


def revert(model: nn.Module) -> nn.Module:
    """Undo a conversion: the flat network again, with the weights that it has now.

    Example:
        >>> from omniconv.convert import to_equirectangular
        >>> flat = torch.nn.Conv2d(3, 8, 3, padding=1)
        >>> revert(to_equirectangular(flat)) is flat, flat
        (True, Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1)))
    """
    if not isinstance(model, nn.Module):
        raise InputError("model", model, "must be a torch.nn.Module", "give the network that was converted")
    for module in model.modules():
        swap_back(module)
    return model


def convert(network: nn.Module, prefix: str, border: Border, rules: Rules) -> None:
    """Have every module of a network enter a mode with these rules while it runs."""
    for name, module in network.named_modules():
        swap(module, Conversion(name, prefix, border, rules))


@contextmanager
def whole(network: nn.Module) -> Iterator[None]:
    """What fails within leaves the network flat."""
    try:
        yield
    except Exception:
        revert(network)
        raise


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
        if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():  # type: ignore[misc]
            rule = "does not know its sizes yet, and becomes another class when it does"
            raise InputError("model", where, rule, "run it once on a flat picture first")
        if type(module).__module__.startswith("omniconv."):
            raise InputError(
                "model", where, f"is omniconv's {type(module).__name__}, whose edges are settled when it is built",
                "build it with surface=oc.Equirectangular() and load the same weights",
            )  # fmt: skip
    if "forward" in vars(model):
        raise InputError("model", type(model).__name__, "has a forward put on the object, which others may replace",
                         "convert it before it is wrapped")  # fmt: skip
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
    first = next((layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)), None)
    if first is None:
        raise InputError("example", None, "must be given where a network has no Conv2d", "give what the network takes")
    noise = torch.randn(1, first.in_channels, *size, generator=torch.Generator().manual_seed(0))
    return (noise.to(first.weight.device, first.weight.dtype),)
