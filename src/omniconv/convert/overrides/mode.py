"""TorchFunctionMode that replaces the torch functions that read beyond the edges of an image."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch.overrides import TorchFunctionMode

from omniconv.convert.finding import Finding, SeamWarning
from omniconv.convert.overrides.axis_tracking import (
    IMAGE_AXES,
    Axes,
    moved_axes,
    propagate_axes,
    reaches_columns,
    with_axes,
)
from omniconv.convert.overrides.pad_tracking import propagate_offset
from omniconv.errors import InputError
from omniconv.nn.inspection import FunctionObserver
from omniconv.nn.torch_private import active_function_modes
from omniconv.surfaces.neighbours.border import Border

OverrideTable = Mapping[Callable[..., Any], Callable[..., Any]]
"""Override of each torch function; it gets the active mode, then the arguments of the torch function."""

CONTINUED_BY_HAND = (
    "its input has columns of the other side beside it, put there in a way that cannot be followed: the network wraps "
    'by itself, so do not convert it; or use torch.cat of slices, or F.pad(mode="circular")'
)


class Overrides(Protocol):
    """Override table of a conversion, with any state that its overrides share."""

    @property
    def table(self) -> OverrideTable:
        """The override of each torch function that has one."""

    @property
    def pads_rows_as_flat(self) -> bool:
        """Whether ``F.pad`` keeps its own mode above and below the image."""

    @property
    def flat_rows(self) -> tuple[Border, Overrides]:
        """Border and overrides that wrap around the longitude only, and are those of the flat network along rows."""


class PanoramaFunctionMode(TorchFunctionMode):
    """Run torch functions on a panorama: those in the override table by their override, all others unchanged.

    ``border`` gives the values beyond the edges of the panorama.
    """

    def __init__(self, border: Border, overrides: Overrides) -> None:
        super().__init__()
        self.border, self.overrides = border, overrides
        self.module_names: list[str] = []
        self._is_continued_by_hand = False
        self.observer = next((mode for mode in active_function_modes() if isinstance(mode, FunctionObserver)), None)

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        override = self.overrides.table.get(function)
        if override is None:
            # torch.compile (2.13) cannot trace the super() call of Tensor.unflatten inside a mode. It passes an object
            # that is not equal to this method, so the table cannot replace it.
            if getattr(function, "__name__", "") == "unflatten":
                function = torch.unflatten
            result = propagate_offset(function(*args, **(kwargs or {})), args)
            return propagate_axes(function, result, args, kwargs or {})
        axes = moved_axes(args[:1])
        if axes is not None:
            return self._run_moved(function, axes, args, dict(kwargs or {}))
        return with_axes(self._run_override(function, override, args, kwargs), IMAGE_AXES)

    def _run_moved(self, function: Any, axes: Axes, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Run a function of an image whose rows and columns are not its last two axes.

        If the last axis is the longitude, the function wraps around it and is flat along the other axis; else the flat
        function runs, and is reported if it combines samples of different longitudes.
        """
        if axes[1] == IMAGE_AXES[1]:
            flat_rows = copy.copy(self)  # shares the lists of names and reports
            flat_rows.border, flat_rows.overrides = self.overrides.flat_rows
            result = flat_rows._run_override(function, flat_rows.overrides.table[function], args, kwargs)
        else:
            result = function(*args, **kwargs)
            name = getattr(function, "__name__", str(function))
            if reaches_columns(name, args, kwargs, axes[1]):
                reason = f"the network moved the longitude to axis {axes[1]} of its input, so it stays flat"
                self.report_seam(name, reason)
        return with_axes(result, axes)

    def _run_override(
        self, function: Any, override: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any] | None
    ) -> Any:
        if any(isinstance(x, torch.fx.Proxy) for x in (*args, *(kwargs or {}).values())):
            rule = f"is converted, and torch.fx.symbolic_trace cannot record {function.__name__} of a converted network"
            cure = "convert the graph of the flat network, or use torch.export"
            raise InputError("model", self.module or "model", rule, cure)
        if kwargs and "axis" in kwargs:  # torch takes NumPy's name of `dim`, too; the overrides do not
            kwargs = {"dim" if name == "axis" else name: value for name, value in kwargs.items()}
        if self.observer is not None:
            return self.observer.observe(function, args, dict(kwargs or {}), partial(override, self))
        return override(self, *args, **(kwargs or {}))

    @property
    def module(self) -> str:
        """Qualified name of the module whose ``forward`` is running."""
        return self.module_names[-1] if self.module_names else ""

    def report_seam(self, operation: str, reason: str, is_certain: bool = False) -> None:
        """Report an operation that is not equivariant; a compiler cannot trace warnings, so it skips this.

        Args:
            operation: name of the torch function.
            reason: why it leaves a seam.
            is_certain: it is not equivariant to all rolls, though it may be to some.
        """
        if not torch.compiler.is_compiling():
            finding = Finding(self.module, operation, reason, seam=True)
            (self.emit_certain if is_certain else self.emit)(finding)

    def report_continued_by_hand(self, operation: str) -> None:
        """Report, once for the whole network, that it continues its columns in a way that cannot be followed."""
        if not self._is_continued_by_hand:
            self._is_continued_by_hand = True
            self.report_seam(operation, CONTINUED_BY_HAND)

    def report_change(self, operation: str, reason: str) -> None:
        """Report a changed operation; ignored here, kept by the equivariance tracer."""

    def emit_certain(self, finding: Finding) -> None:
        """Warn of a seam that needs no comparison of rolled panoramas."""
        self.emit(finding)

    def emit(self, finding: Finding) -> None:
        """Warn of a seam; Python's default filter shows each text once per location."""
        warnings.warn(str(finding), SeamWarning, stacklevel=2)


def active_mode() -> PanoramaFunctionMode | None:
    """Return the active mode, or ``None``."""
    return next((mode for mode in active_function_modes() if isinstance(mode, PanoramaFunctionMode)), None)
