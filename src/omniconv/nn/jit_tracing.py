"""What ``torch.jit.trace`` needs: sizes as plain numbers, where it hands out tensors in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_SHAPE = Tensor.shape.__get__  # type: ignore[attr-defined]  # a property of C


class Traceable:
    """A layer that ``torch.jit.trace`` can follow, for the sizes of its example: others need a trace of their own.

    Torch warns so itself, once. To leave sizes open, use ``torch.export`` or ``omniconv export``.
    """

    def _slow_forward(self, *inputs: Any, **options: Any) -> Any:
        """What torch calls in place of ``forward`` while it traces, and only then."""
        with _PlainSizes():
            return super()._slow_forward(*inputs, **options)  # type: ignore[misc]  # of torch.nn.Module


class _PlainSizes(TorchFunctionMode):
    """Shapes are asked as ever; their numbers leave the trace."""

    def __torch_function__(
        self, function: Callable, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        return torch.Size(map(int, result)) if function == _SHAPE else int(result) if function in _COUNTS else result


_COUNTS = (Tensor.numel, Tensor.__len__)
