"""Every function of torch on its way to work: those that look past the edges of a panorama are done by a rule."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch.overrides import TorchFunctionMode

from omniconv.convert.finding import Finding, SeamWarning
from omniconv.convert.overrides.pad_tracking import carried
from omniconv.nn.torch_private import active_function_modes
from omniconv.surfaces.neighbours.border import Border

Table = Mapping[Callable[..., Any], Callable[..., Any]]


class Rules(Protocol):
    """What is done in place of functions: of each a rule that gets the mode, and then the function's own arguments."""

    @property
    def table(self) -> Table:
        """The rule of each function that has one."""
        ...


class PanoramaMode(TorchFunctionMode):
    """While it is entered, layers of torch and calls of its functions alike go on past the edges of a panorama.

    Args:
        border: the continuation of the panorama.
        rules: what is done in place of functions.
    """

    def __init__(self, border: Border, rules: Rules) -> None:
        super().__init__()
        self.border, self.rules = border, rules
        self.path: list[str] = []

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        rule = self.rules.table.get(function)
        if rule is None:
            return carried(function(*args, **(kwargs or {})), args)
        return rule(self, *args, **(kwargs or {}))

    @property
    def module(self) -> str:
        """Qualified name of the module at work."""
        return self.path[-1] if self.path else ""

    def seam(self, operation: str, reason: str) -> None:
        """Say that an operation leaves a seam, and why."""
        if not torch.compiler.is_compiling():
            self.tell(Finding(self.module, operation, reason, seam=True))

    def changed(self, operation: str, reason: str) -> None:
        """Say what was changed; only a report listens."""

    def tell(self, finding: Finding) -> None:
        """Warn; Python says the same only once."""
        warnings.warn(str(finding), SeamWarning, stacklevel=2)


def active_mode() -> PanoramaMode | None:
    """The mode that is entered, if any."""
    for mode in active_function_modes():
        if isinstance(mode, PanoramaMode):
            return mode
    return None
