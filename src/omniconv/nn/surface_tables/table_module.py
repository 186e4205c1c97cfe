"""Tensors that are derived from a surface: neither parameters nor buffers, shared by all layers, computed when needed.

Sparse matrices, windows, areas and coordinates follow from the surface alone. As buffers they would be filled with
garbage by ``to_empty``, left on the meta device by ``load_state_dict(assign=True)``, and stacked by
``torch.func.stack_module_state``. A ``TableModule`` therefore stores how its tables are computed, and finds them by the
device and precision of the signal: a process has one copy for each. Copies and pickles of a module hold no tables.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from copy import copy
from threading import RLock
from typing import Any, NamedTuple, Self
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from omniconv.nn.torch_private import fake_copies, without_dispatch_modes

Plan = list[int]
Builder = Callable[..., tuple[Plan, list[Tensor]]]
"""Function at the top level of a module that returns integers, and float64 or integer tensors on the CPU."""


class Recipe(NamedTuple):
    """Function that computes tables, and its hashable arguments."""

    build: Builder
    arguments: tuple[Hashable, ...]


class Tables:
    """Tensors on one device and in one precision, and the integers that describe them."""

    def __init__(self, recipe: Recipe, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype, self.device = dtype, device
        # Tensors made in inference mode or in the fake mode of a tracer could not be used outside of it later.
        with without_dispatch_modes(), torch.inference_mode(False):
            self.plan, tensors = recipe.build(*recipe.arguments)
            self.tensors = [tensor.to(device, dtype if tensor.is_floating_point() else None) for tensor in tensors]

    def for_subclass(self, x: Tensor) -> Tables:
        """Return tables that compute with ``x``: fake ones for a tensor of a ``FakeTensorMode``."""
        fakes = fake_copies(self.tensors, x)
        if fakes is self.tensors:
            return self
        tables = copy(self)
        tables.tensors = fakes
        return tables


_cache: WeakValueDictionary[tuple[Recipe, torch.dtype, torch.device], Tables] = WeakValueDictionary()
_lock = RLock()


def find_tables(recipe: Recipe, dtype: torch.dtype, device: torch.device) -> Tables:
    """Return the tables of a recipe, the same object for equal arguments while a module refers to it."""
    with _lock:
        tables = _cache.get((recipe, dtype, device))
        if tables is None:
            tables = _cache[recipe, dtype, device] = Tables(recipe, dtype, device)
        return tables


class TableModule(nn.Module):
    """Base of modules that compute with tables.

    Tables are loaded for the module's own device and dtype when it is built or moved, except on the meta device, and
    for other devices and dtypes at the first signal there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.recipes: dict[str, Recipe] = {}
        self._loaded: dict[tuple[str, torch.dtype, torch.device], Tables] = {}
        self._place = torch.get_default_dtype(), torch.empty(0).device

    def set_table(self, name: str, build: Builder, *arguments: Hashable) -> None:
        """Define or replace a table."""
        self.recipes[name] = Recipe(build, arguments)
        self._load_here()

    def table(self, name: str, x: Tensor) -> Tables:
        """Return a table on the device of a signal: in float64 for float64 signals, else in float32.

        A Laplacian rounded to bfloat16 would no longer map a constant to zero.
        """
        key = name, torch.float64 if x.dtype == torch.float64 else torch.float32, x.device
        tables = self._loaded.get(key)
        tables = self._load(*key) if tables is None else tables
        return tables if type(x) is Tensor else tables.for_subclass(x)

    def own_table(self, name: str) -> Tables:
        """Return a table for the module's own device and dtype."""
        dtype, device = self._place
        return self.table(name, torch.empty(0, dtype=dtype, device=device))

    def _load(self, name: str, dtype: torch.dtype, device: torch.device) -> Tables:
        if torch.compiler.is_compiling():
            from omniconv.nn.surface_tables.table_tracing import (
                find_tables_untraced as find,  # its decorator imports torch._dynamo
            )
        else:
            find = find_tables
        tables = self._loaded[name, dtype, device] = find(self.recipes[name], dtype, device)
        return tables

    def _load_here(self) -> None:
        self._loaded = {}
        if self._place[1].type != "meta":  # tables of a network on the meta device might not fit into memory
            for name in self.recipes:
                self.own_table(name)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        dtype, device = self._place
        probe = fn(torch.empty(0, dtype=dtype, device=device))
        self._place = probe.dtype, probe.device
        self._load_here()
        return self

    def __getstate__(self) -> dict[str, Any]:
        dtype, device = self._place
        place = torch.empty(0, dtype=dtype, device=device)  # a tensor, which torch.load maps to another device
        return self.__dict__ | {"_loaded": {}, "_place": place}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        place: Any = self._place
        self._place = place.dtype, place.device
        self._load_here()
