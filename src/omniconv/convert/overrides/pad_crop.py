"""Padding and cropping of panoramas, in the words of torch's functions."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from omniconv.convert.overrides.mode import PanoramaMode
from omniconv.convert.overrides.pad_tracking import (
    NONE,
    Frame,
    Sides,
    added,
    carried,
    core,
    frame_of,
    framed,
    settled,
    total,
)
from omniconv.nn.grid.padding import pad as pad_on
from omniconv.nn.torch_private import C_PAD


def pad(
    panorama: PanoramaMode, input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """``torch.nn.functional.pad``: height and width of pictures go on as the panorama does, whatever the mode.

    Negative numbers crop. What has three axes is a picture without a batch where both height and width are padded,
    else a row of signals or tokens. Those stay as they are, and so does what is padded along other axes too.
    """
    amounts = _amounts(pad)
    padded = [any(sides) for sides in amounts]
    if len(pad) > 4 or not (any(padded) if input.ndim == 4 else all(padded) and input.ndim == 3):
        return carried(F.pad(input, pad, mode, value), (input,))
    more = [(max(before, 0), max(after, 0)) for before, after in amounts]
    if any(map(any, more)):
        panorama.changed("pad", f"mode {mode!r} became the continuation of the panorama")
    ring, around = core(input, frame_of(input)), added(frame_of(input), more)
    x = pad_on(ring, around, replace(panorama.border, value=float(value or 0)))
    x = core(x, tuple((max(-before, 0), max(-after, 0)) for before, after in amounts))  # type: ignore[arg-type]
    rows, columns = added(frame_of(input), amounts)
    if total(columns) < 0:
        panorama.seam("pad", "crops the panorama: what is left is no ring")
    return framed(x, (settled(rows), settled(columns)))


def constant_pad_nd(panorama: PanoramaMode, input: Tensor, pad: Sequence[int], value: float = 0) -> Tensor:
    """``torch.constant_pad_nd``."""
    return _pad(panorama, input, pad, "constant", value)


def getitem(panorama: PanoramaMode, input: Tensor, index: Any) -> Any:
    """``x[index]``: slices may cut off what was padded."""
    result = input[index]
    if frame_of(input) == NONE or not isinstance(result, Tensor) or result.ndim != input.ndim:
        return result
    return framed(result, _sliced(input, index) or NONE)


def unflatten(panorama: PanoramaMode, input: Tensor, dim: Any, sizes: Any) -> Tensor:
    """``x.unflatten``, in the form that the compiler follows within a mode."""
    return torch.unflatten(input, dim, sizes)


def _amounts(pad: Sequence[int]) -> tuple[Sides, Sides]:
    """Before and after rows and columns, from torch's flat list, last axis first."""
    left, right, above, below = (*pad[:4], *[0] * (4 - len(pad[:4])))
    return (above, below), (left, right)


def _sliced(x: Tensor, index: Any) -> Frame | None:
    """The frame after slices of step 1, if they cut it alone."""
    parts = index if isinstance(index, tuple) else (index,)
    rest = next((place for place, part in enumerate(parts) if part is ...), len(parts))
    whole = (slice(None),) * (x.ndim - len(parts) + (rest < len(parts)))
    parts = parts[:rest] + whole + parts[rest + 1 :]
    if not all(isinstance(part, slice) and part.step in (None, 1) for part in parts):
        return None
    bounds = [part.indices(size) for part, size in zip(parts[-2:], x.shape[-2:], strict=True)]
    cut = [(-start, stop - size) for (start, stop, _), size in zip(bounds, x.shape[-2:], strict=True)]
    frame = added(frame_of(x), cut)
    return frame if min(map(min, frame)) >= 0 else None


_pad = pad
EDGE_RULES: dict[Callable[..., Any], Callable[..., Any]] = {
    F.pad: pad,
    C_PAD: pad,
    torch.constant_pad_nd: constant_pad_nd,
    torch.Tensor.__getitem__: getitem,
    operator.getitem: getitem,  # in a strict export
    torch.Tensor.unflatten: unflatten,
}
