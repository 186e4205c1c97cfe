"""Total stride of a network in columns of the panorama."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from omniconv.audit.model_adapter import panorama_function
from omniconv.convert.network_output import OutputKey
from omniconv.inference.predictor import Predictor
from omniconv.models import Model
from omniconv.summaries.tracing import traced_stride
from omniconv.surfaces import Plane, Surface

RESIZING = ("conv", "pool", "upsample")
"""Parts of the names of operators with a stride. Adaptive pooling is left out: its windows depend on the input size, so
that no roll smaller than a window keeps them."""
RESHAPING = ("unflatten", "view", "reshape")
"""Parts of the names of operators that reshape a list of samples to an image, as after tangent kernels."""


def total_stride(model: Any, panorama: np.ndarray, output: OutputKey = None) -> int | None:
    """Return the distance in panorama columns between samples of the coarsest signal inside a network.

    Networks of omniconv define it. For modules of the user's own it is computed from the layers' receptive fields; if
    these cannot be traced (compiled programs, custom reshaping), it is measured from the sizes of one run. ``None`` on
    surfaces whose samples are not panorama columns.

    Example:
        >>> from torch import nn
        >>> total_stride(nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.MaxPool2d(2)), np.zeros((3, 16, 32), np.float32))
        4
    """
    inner = model.model if isinstance(model, Predictor) else model
    if isinstance(inner, Model) and inner.code is None:
        return inner.total_stride if _has_columns(inner.surface) else None
    traced = traced_stride(inner, panorama.shape) if isinstance(inner, nn.Module) else None
    if traced is None or traced > panorama.shape[-1]:  # no roll shows a stride above the width
        return _measured_stride(model, panorama, output)
    return traced


def _has_columns(surface: Surface) -> bool:
    return surface.ndim == 2 and (isinstance(surface, Plane) or surface.latitude_axis == 0)


def _measured_stride(model: Any, panorama: np.ndarray, output: OutputKey) -> int:
    observer = _SizeObserver(panorama.shape[-2:])
    with panorama_function(model, output) as function, observer:
        function(panorama)
    return observer.stride


class _SizeObserver(TorchDispatchMode):
    """Observe the sizes of all operators' results, also in programs that contain no modules."""

    def __init__(self, size: Sequence[int]) -> None:
        super().__init__()
        self.size, self.stride = size, 1

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        first = result[0] if isinstance(result, list | tuple) and result else result
        if isinstance(first, Tensor):
            self._observe(str(function), first.shape[2:])
        return result

    def _observe(self, name: str, grid: Sequence[int]) -> None:
        if len(grid) != 2 or min(grid) < 2 or "adaptive" in name:
            return
        resizes = any(part in name for part in RESIZING)
        divides = self.size[0] % grid[0] == self.size[1] % grid[1] == 0
        reshapes = any(part in name for part in RESHAPING) and divides
        down, across = (round(full / coarse) for full, coarse in zip(self.size, grid, strict=True))
        # Equal factors in both axes tell a coarser image from a matrix that a layer uses inside.
        if (resizes or reshapes) and down == across:
            self.stride = max(self.stride, across)
