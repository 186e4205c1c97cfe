"""Conversion of modules by their class: a patched module runs its ``forward`` inside a ``PanoramaFunctionMode``.

A module of class C becomes an instance of a generated subclass of C, as in torch's parametrizations and FSDP. So
``isinstance``, attributes, hooks, methods and ``state_dict`` keys stay, and any part of a network can be called.

Other libraries swap classes too, and take the class that they find for the original one. The order must not matter:

- A parametrization is undone by ``module.__class__.__bases__[0]``, so its class has to stay the first one. A
  parametrized module is therefore patched below it: its class is built again on the patched class.
- ``revert`` removes patched classes from wherever they are among the bases, and builds the classes above them again.
  It also removes the conversion from the module, without which a patched class runs the flat ``forward``.
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
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from omniconv.convert.overrides.mode import Overrides, PanoramaFunctionMode, active_mode
from omniconv.errors import InputError
from omniconv.nn.jit_tracing import SCRIPT_CURE, Traceable
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
    for name, module in named_modules(network):
        patch_class(module, Conversion(name, prefix, border, overrides))


def named_modules(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield each module of a network once, with its qualified name, in the order of ``nn.Module.named_modules``.

    That method and the others of ``nn.Module`` that list modules and tensors may be hidden by attributes of the user's
    network (``self.modules = [...]``).
    """
    seen = set()
    waiting = [("", network)]
    while waiting:
        name, module = waiting.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        yield name, module
        prefix = f"{name}." if name else ""
        children = [(prefix + key, child) for key, child in module._modules.items() if child is not None]
        waiting += reversed(children)


def tensors_of(network: nn.Module) -> Iterator[Tensor]:
    """Yield parameters and buffers of all modules; a tensor that several modules share comes several times."""
    for _, module in named_modules(network):
        yield from (x for x in (*module._parameters.values(), *module._buffers.values()) if x is not None)


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Run a block in evaluation mode, so that BatchNorm statistics stay; then restore each module's own mode."""
    training = [module for _, module in named_modules(network) if module.training]
    try:
        for module in training:
            module.training = False
        yield
    finally:
        for module in training:
            module.training = True


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
    for _, module in named_modules(model):
        if isinstance(module, PatchedModule):
            module.__dict__.pop(_ATTRIBUTE, None)
            module.__class__ = flat_class(type(module))
    return model


@contextmanager
def restore_on_error(network: nn.Module) -> Iterator[None]:
    """Give every module its class and conversion of before the block if the block raises."""
    before = [(module, type(module), conversion_of(module)) for _, module in named_modules(network)]
    try:
        yield
    except BaseException:
        for module, former_class, conversion in before:
            module.__class__ = former_class
            module.__dict__.pop(_ATTRIBUTE, None)
            if conversion is not None:
                module.__dict__[_ATTRIBUTE] = conversion
        raise


class PatchedModule(Traceable, nn.Module):
    """First base of every patched class."""

    original_class: Any

    def _get_name(self) -> str:
        conversion = conversion_of(self)
        return (conversion.prefix if conversion else "") + type(self).__name__

    def __prepare_scriptable__(self) -> Any:
        # torch.jit.script calls this first. It compiles the source text of `forward`, which is that of the flat
        # network, and would silently give a network with seams.
        rule = "is converted, and torch.jit.script would compile the flat network"
        raise InputError("model", type(self).__name__, rule, SCRIPT_CURE)

    def __reduce_ex__(self, protocol: Any) -> Any:
        if "original_class" not in vars(type(self)):  # another library's class: pickled, or refused, as without us
            return super().__reduce_ex__(protocol)
        # A patched class cannot be imported by name, so pickle stores the original class.
        if self.original_class.__reduce__ is object.__reduce__:
            return _new_patched, (self.original_class,), self.__getstate__()
        with _as_flat_class(self):  # a __reduce__ of its own, as torch.fx.GraphModule has, may replace the class
            return _rebuild_patched, (conversion_of(self), *self.__reduce__())


def patch_class(module: nn.Module, conversion: Conversion | None) -> None:
    """Convert one module; a converted one gets the new conversion."""
    if conversion is not None:
        module.__dict__[_ATTRIBUTE] = conversion
    if isinstance(module, PatchedModule):
        return
    flat: Any = type(module)
    if _is_parametrization(flat, module):
        module.__class__ = _built_on(flat, (patched_class(flat.__bases__[0]),))
    else:
        module.__class__ = patched_class(flat)


def flat_class(converted: Any) -> Any:
    """Return the class that a converted module would have if it had not been converted.

    A class that another library put above a patched one is built again on the original class; if its methods call
    ``super()``, which refers to the class itself, it stays, and runs flat without a conversion.
    """
    if not issubclass(converted, PatchedModule):
        return converted
    if "original_class" in vars(converted):
        return converted.original_class
    codes = (getattr(value, "__code__", None) for value in vars(converted).values())
    if any(code and "__class__" in code.co_freevars for code in codes):
        return converted
    return _built_on(converted, tuple(map(flat_class, converted.__bases__)))


def _is_parametrization(swapped: type, module: nn.Module) -> bool:
    """Return whether ``swapped`` is the class that torch's parametrizations made for this module."""
    if not is_parametrized(module):
        return False
    tensors: Any = module.parametrizations
    return len(swapped.__bases__) == 1 and any(isinstance(vars(swapped).get(name), property) for name in tensors)


def _built_on(swapped: Any, bases: tuple[type, ...]) -> Any:
    """Return a class with the name and attributes of ``swapped`` and other bases."""
    namespace = {name: value for name, value in vars(swapped).items() if name not in ("__dict__", "__weakref__")}
    return type(swapped)(swapped.__name__, bases, namespace)


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
        "forward": _forward_in_mode(original_class),
    }  # fmt: skip
    if hasattr(original_class, "__deepcopy__"):
        namespace["__deepcopy__"] = _deepcopy_patched
    if issubclass(original_class, torch.fx.GraphModule):
        namespace["recompile"] = _recompile_patched
    return type(original_class)(original_class.__name__, (PatchedModule, original_class), namespace)


def _forward_in_mode(original_class: Any) -> Callable[..., Any]:
    """Return a ``forward`` of the same signature that enters the mode of its module, unless one is active already."""

    @wraps(original_class.forward)
    def in_mode(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        # looked up at every call: torch.fx replaces the `forward` of a graph's class whenever the graph changes
        forward, conversion = original_class.forward, conversion_of(self)
        if conversion is None:
            return forward(self, *args, **kwargs)
        mode = active_mode()
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
    with _as_flat_class(self):
        duplicate = copy.deepcopy(self, memo)
    patch_class(duplicate, copy.deepcopy(conversion_of(self), memo))
    return duplicate


def _recompile_patched(self: Any) -> Any:
    """Write a graph's code into the class of the graph, not into the patched one, whose ``forward`` would be lost."""
    with _as_flat_class(self):
        return self.recompile()


@contextmanager
def _as_flat_class(module: nn.Module) -> Iterator[None]:
    """Give a converted module its flat class while the block runs."""
    converted: Any = type(module)
    module.__class__ = flat_class(converted)
    try:
        yield
    finally:
        module.__class__ = converted


def _rebuild_patched(
    conversion: Conversion | None, build: Callable[..., nn.Module], arguments: tuple[Any, ...]
) -> nn.Module:
    module = build(*arguments)
    patch_class(module, conversion)
    return module


def _new_patched(original_class: type) -> Any:
    patched = patched_class(original_class)
    return patched.__new__(patched)
