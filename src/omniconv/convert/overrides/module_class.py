"""Conversion of modules by their class: a patched module runs its ``forward`` inside a ``PanoramaFunctionMode``.

A module of class C becomes an instance of a generated subclass of C, as in torch's parametrizations and FSDP. So
``isinstance``, attributes, hooks, methods and ``state_dict`` keys stay, and any part of a network can be called.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from omniconv.convert.overrides.mode import Overrides, PanoramaFunctionMode, active_mode
from omniconv.errors import InputError
from omniconv.surfaces.neighbours.border import Border

_ATTRIBUTE = "_omniconv_conversion"


@dataclass(frozen=True)
class Conversion:
    """Conversion of one module."""

    module: str  # qualified name in the converted network
    prefix: str  # put before the class name where the module is printed
    border: Border  # values beyond the edges of the panorama
    overrides: Overrides  # shared by all modules of a network

    def mode(self) -> PanoramaFunctionMode:
        """Return a new mode for one call of the module."""
        return PanoramaFunctionMode(self.border, self.overrides)


def convert_modules(network: nn.Module, prefix: str, border: Border, overrides: Overrides) -> None:
    """Patch the class of every module of a network."""
    for name, module in network.named_modules():
        patch_class(module, Conversion(name, prefix, border, overrides))


def revert(model: nn.Module) -> nn.Module:
    """Undo a conversion in place: restore the flat network, with the weights that it has now.

    Raises:
        InputError: ``model`` is not a module.

    Example:
        >>> from omniconv.convert import to_equirectangular
        >>> flat = torch.nn.Conv2d(3, 8, 3, padding=1)
        >>> revert(to_equirectangular(flat)) is flat, flat
        (True, Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1)))
    """
    if not isinstance(model, nn.Module):
        raise InputError("model", model, "must be a torch.nn.Module", "give the network that was converted")
    for module in model.modules():
        if isinstance(module, PatchedModule):
            module.__dict__.pop(_ATTRIBUTE, None)
            module.__class__ = module.original_class
    return model


@contextmanager
def revert_on_error(network: nn.Module) -> Iterator[None]:
    """Revert a network if the block raises."""
    try:
        yield
    except Exception:
        revert(network)
        raise


class PatchedModule(nn.Module):
    """First base of every patched class."""

    original_class: Any

    def _get_name(self) -> str:
        conversion = conversion_of(self)
        return (conversion.prefix if conversion else "") + self.original_class.__name__

    def __prepare_scriptable__(self) -> Any:
        # torch.jit.script calls this first. It compiles the source text of `forward`, which is that of the flat
        # network, and would silently give a network with seams.
        rule = "is converted, and torch.jit.script would compile the flat network"
        raise InputError("model", self.original_class.__name__, rule, "use torch.export or torch.compile")

    def __reduce_ex__(self, protocol: Any) -> Any:
        # A patched class cannot be imported by name, so pickle stores the original class.
        if self.original_class.__reduce__ is object.__reduce__:
            return _new_patched, (self.original_class,), self.__getstate__()
        with _original_class(self):  # a __reduce__ of its own, as torch.fx.GraphModule has, may replace the class
            return _rebuild_patched, (conversion_of(self), *self.__reduce__())


def patch_class(module: nn.Module, conversion: Conversion | None) -> None:
    """Convert one module; a converted one gets the new conversion."""
    if conversion is not None:
        module.__dict__[_ATTRIBUTE] = conversion
    if not isinstance(module, PatchedModule):
        module.__class__ = patched_class(type(module))  # type: ignore[arg-type]  # every class has a hash


def conversion_of(module: nn.Module) -> Conversion | None:
    """Return the conversion of a module.

    A patched module has none if its class was called to build it: ``nn.Sequential`` does so to return a slice.
    """
    return module.__dict__.get(_ATTRIBUTE)


@cache
def patched_class(original_class: Any) -> Any:
    """Return the patched subclass of a class; it has the same name, for code that writes class names to files."""
    # torch.compile (2.13) traces F.pad without calling function modes, and would pad as the flat network does; kept as
    # one node of the graph, the call reaches its override.
    torch.compiler.allow_in_graph(F.pad)
    namespace = {
        "__module__": original_class.__module__, "__qualname__": original_class.__qualname__,
        "__doc__": original_class.__doc__, "original_class": original_class,
        "forward": _forward_in_mode(original_class.forward),
    }  # fmt: skip
    if hasattr(original_class, "__deepcopy__"):
        namespace["__deepcopy__"] = _deepcopy_patched
    return type(original_class)(original_class.__name__, (PatchedModule, original_class), namespace)


def _forward_in_mode(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Return a ``forward`` of the same signature that enters the mode of its module, unless one is active already."""

    @wraps(forward)
    def in_mode(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        mode, conversion = active_mode(), conversion_of(self)
        if conversion is None:
            return forward(self, *args, **kwargs)
        if mode is not None:
            return _run_named(mode, conversion.module, forward, self, args, kwargs)
        with conversion.mode() as mode:
            return _run_named(mode, conversion.module, forward, self, args, kwargs)

    return in_mode


def _run_named(
    mode: PanoramaFunctionMode, name: str, forward: Callable[..., Any], module: nn.Module, args: Any, kwargs: Any
) -> Any:
    """Run ``forward`` while the mode knows the module's name, which is only needed for reports."""
    if torch.compiler.is_compiling():
        return forward(module, *args, **kwargs)
    mode.module_names.append(name)
    try:
        return forward(module, *args, **kwargs)
    finally:
        mode.module_names.pop()


def _deepcopy_patched(self: nn.Module, memo: dict[int, Any]) -> nn.Module:
    with _original_class(self):
        duplicate = copy.deepcopy(self, memo)
    patch_class(duplicate, copy.deepcopy(conversion_of(self), memo))
    return duplicate


@contextmanager
def _original_class(module: nn.Module) -> Iterator[None]:
    """Give a patched module its original class while the block runs."""
    patched: Any = type(module)
    module.__class__ = patched.original_class
    try:
        yield
    finally:
        module.__class__ = patched


def _rebuild_patched(
    conversion: Conversion | None, build: Callable[..., nn.Module], arguments: tuple[Any, ...]
) -> nn.Module:
    module = build(*arguments)
    patch_class(module, conversion)
    return module


def _new_patched(original_class: type) -> Any:
    patched = patched_class(original_class)
    return patched.__new__(patched)
