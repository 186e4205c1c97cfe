"""Support for ``torch.jit.trace``, which passes sizes as tensors where the layers need ``int``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_SHAPE = Tensor.shape.__get__  # type: ignore[attr-defined]  # a C property


class Traceable:
    """Mixin of layers that ``torch.jit.trace`` can trace for the sizes of its example, about which torch warns.

    For dynamic sizes use ``torch.export`` or ``omniconv export``.
    """

    def _slow_forward(self, *inputs: Any, **options: Any) -> Any:
        """Run ``forward`` with plain sizes; torch calls this in its place only while it traces (torch 2.13)."""
        with _IntSizes():
            return super()._slow_forward(*inputs, **options)  # type: ignore[misc]  # of torch.nn.Module


class _IntSizes(TorchFunctionMode):
    """Return shapes and counts as ``int``, which a trace records as constants."""

    def __torch_function__(
        self, function: Callable, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        return torch.Size(map(int, result)) if function == _SHAPE else int(result) if function in _COUNTS else result


_COUNTS = (Tensor.numel, Tensor.__len__)
