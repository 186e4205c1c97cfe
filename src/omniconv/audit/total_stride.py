"""The total stride of a network: a turn by fewer columns than that moves samples between the steps it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from omniconv.audit.model_adapter import Output, answering
from omniconv.inference.predictor import Predictor
from omniconv.models import Model
from omniconv.surfaces import Plane, Surface

STEPPING = ("conv", "pool", "upsample")
"""In the names of what goes down in size; ``adaptive`` poolings share a picture out instead."""
LAYING_OUT = ("unflatten", "view", "reshape")
"""In the names of what makes a picture of samples in a row, as kernels on the sphere give them."""


def total_stride(model: Any, panorama: np.ndarray, output: Output = None) -> int | None:
    """Columns of the panorama that the coarsest signal inside a network steps over.

    Networks of omniconv know it; of others one run tells, by the narrowest result of a convolution, pooling or resizing
    that shrinks height and width alike.

    Args:
        model: a network, as every function of this room takes.
        panorama: one that the network takes, ``(C, H, W)``.
        output: which of several outputs.

    Returns:
        The stride, or ``None`` on surfaces whose samples are not columns of the panorama.

    Example:
        >>> from torch import nn
        >>> total_stride(nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.MaxPool2d(2)), np.zeros((3, 16, 32), np.float32))
        4
    """
    inner = model.model if isinstance(model, Predictor) else model
    if isinstance(inner, Model):
        return inner.total_stride if _has_columns(inner.surface) else None
    sizes = _Sizes(panorama.shape[-2:])
    with answering(model, output) as answer, sizes:
        answer(panorama)
    return sizes.stride


class _Sizes(TorchDispatchMode):
    """Sees the result of every operator, also in programs that hold no modules."""

    def __init__(self, size: Sequence[int]) -> None:
        super().__init__()
        self.size, self.stride = size, 1

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        first = result[0] if isinstance(result, list | tuple) and result else result
        if isinstance(first, Tensor):
            self._note(str(function), first.shape[2:])
        return result

    def _note(self, name: str, grid: Sequence[int]) -> None:
        """Take a picture that an operator of a name made, where it may be a coarser one."""
        if len(grid) != 2 or min(grid) < 2 or "adaptive" in name:
            return
        is_step = any(part in name for part in STEPPING)
        is_laid_out = any(part in name for part in LAYING_OUT) and self.size[0] % grid[0] == self.size[1] % grid[1] == 0
        down, across = (round(whole / part) for whole, part in zip(self.size, grid, strict=True))
        if (is_step or is_laid_out) and down == across:
            self.stride = max(self.stride, across)


def _has_columns(where: Surface) -> bool:
    return where.ndim == 2 and (isinstance(where, Plane) or where.latitude_axis == 0)
