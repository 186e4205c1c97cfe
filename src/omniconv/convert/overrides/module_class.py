"""Modules that enter a mode while they run, and are otherwise what they were: of the same class, with the same state.

A module of class C becomes one of a class derived from C, as torch's own parametrizations and FSDP do it: so
``isinstance``, attributes, hooks, methods and the keys of ``state_dict`` stay, whichever part of a network is called.
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

from omniconv.convert.overrides.mode import PanoramaMode, Rules, active_mode
from omniconv.errors import InputError
from omniconv.surfaces.neighbours.border import Border

_NAME = "_omniconv_conversion"


@dataclass(frozen=True)
class Conversion:
    """What a converted module knows.

    Attributes:
        module: its qualified name in the network that was converted.
        prefix: put before its class where a network is printed.
        border: the continuation of the panorama.
        rules: what is done in place of torch's functions; all modules of a network share it.
    """

    module: str
    prefix: str
    border: Border
    rules: Rules

    def mode(self) -> PanoramaMode:
        """What it enters."""
        return PanoramaMode(self.border, self.rules)


class Converted(nn.Module):
    """Before the class of a module: its ``forward`` runs in the mode of the module's conversion."""

    flat: Any

    def _get_name(self) -> str:
        known = conversion_of(self)
        return (known.prefix if known else "") + self.flat.__name__

    def __prepare_scriptable__(self) -> Any:
        """What torch.jit.script asks for: it reads a forward's text, which is that of the flat network."""
        rule = "is converted, and torch.jit.script would compile the flat network"
        raise InputError("model", self.flat.__name__, rule, "use torch.export or torch.compile")

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.flat.__reduce__ is object.__reduce__:
            return _empty, (self.flat,), self.__getstate__()
        with _as_flat(self):  # whose way may change its class, as torch.fx's does
            return _swapped, (conversion_of(self), *self.__reduce__())


def swap(module: nn.Module, conversion: Conversion | None) -> None:
    """Convert one module, or a converted one anew."""
    if conversion is not None:
        module.__dict__[_NAME] = conversion
    if not isinstance(module, Converted):
        module.__class__ = converted_class(type(module))  # type: ignore[arg-type]  # every class has a hash


def swap_back(module: nn.Module) -> None:
    """Undo it."""
    if isinstance(module, Converted):
        module.__dict__.pop(_NAME, None)
        module.__class__ = module.flat


def conversion_of(module: nn.Module) -> Conversion | None:
    """What a converted module knows; nothing where its class was called to make another, as a slice of layers is."""
    return module.__dict__.get(_NAME)


@cache
def converted_class(flat: Any) -> Any:
    """The class of converted modules of a class; it has its name, for those who write it into files."""
    torch.compiler.allow_in_graph(F.pad)  # else the compiler goes past modes into this one function of torch's
    names = {"__module__": flat.__module__, "__qualname__": flat.__qualname__, "__doc__": flat.__doc__, "flat": flat}
    names["forward"] = _entering(flat.forward)
    if hasattr(flat, "__deepcopy__"):
        names["__deepcopy__"] = _copied
    return type(flat)(flat.__name__, (Converted, flat), names)


def _entering(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A ``forward`` of the same signature that enters the mode of its module, unless a module around it has."""

    @wraps(forward)
    def entering(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        mode, conversion = active_mode(), conversion_of(self)
        if conversion is None:
            return forward(self, *args, **kwargs)
        if mode is not None:
            return _named(mode, conversion.module, forward, self, args, kwargs)
        with conversion.mode() as mode:
            return _named(mode, conversion.module, forward, self, args, kwargs)

    return entering


def _named(
    mode: PanoramaMode, name: str, forward: Callable[..., Any], module: nn.Module, args: Any, kwargs: Any
) -> Any:
    if torch.compiler.is_compiling():
        return forward(module, *args, **kwargs)
    mode.path.append(name)
    try:
        return forward(module, *args, **kwargs)
    finally:
        mode.path.pop()


def _copied(self: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """A copy by the way that the flat class has for it."""
    with _as_flat(self):
        twin = copy.deepcopy(self, memo)
    swap(twin, copy.deepcopy(conversion_of(self), memo))
    return twin


@contextmanager
def _as_flat(module: nn.Module) -> Iterator[None]:
    kind: Any = type(module)
    module.__class__ = kind.flat
    try:
        yield
    finally:
        module.__class__ = kind


def _swapped(conversion: Conversion | None, build: Callable[..., nn.Module], arguments: tuple[Any, ...]) -> nn.Module:
    module = build(*arguments)
    swap(module, conversion)
    return module


def _empty(flat: type) -> Any:
    kind = converted_class(flat)
    return kind.__new__(kind)
