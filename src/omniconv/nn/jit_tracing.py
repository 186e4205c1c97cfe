"""Support for ``torch.jit.trace``, which passes sizes as tensors where the layers need ``int``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from omniconv.errors import InputError

_SHAPE = Tensor.shape.__get__  # type: ignore[attr-defined]  # a C property
_COUNTS = (Tensor.numel, Tensor.__len__)
SCRIPT_CURE = "use torch.export.export, torch.compile or torch.jit.trace"


class Traceable:
    """Mixin of layers that ``torch.jit.trace`` can trace for the sizes of its example input, about which torch warns.

    For dynamic sizes use ``torch.export`` or ``omniconv export``.
    """

    def _slow_forward(self, *inputs: Any, **options: Any) -> Any:
        """Run ``forward`` with sizes as ``int``; torch calls this instead of ``forward`` while tracing (torch 2.13)."""
        with _IntSizes():
            return super()._slow_forward(*inputs, **options)  # type: ignore[misc]  # of torch.nn.Module

    def __prepare_scriptable__(self) -> Any:
        """Refuse ``torch.jit.script``, which calls this on every module before it compiles any."""
        rule = "has operators that torch.jit.script cannot compile"
        raise InputError("model", type(self).__name__, rule, SCRIPT_CURE)


class _IntSizes(TorchFunctionMode):
    """Return shapes and counts as ``int``, which a trace records as constants."""

    def __torch_function__(
        self, function: Callable, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if function == _SHAPE or (function == Tensor.size and isinstance(result, tuple)):
            return torch.Size(map(int, result))
        return int(result) if function in _COUNTS or function == Tensor.size else result
