"""Overrides of the functions by which networks continue the columns of a panorama themselves.

A network that puts columns of the other side beside an image (``torch.cat([x[..., -1:], x, x[..., :1]], -1)``, index
lists, ``roll`` and slices) pads it as ``F.pad(mode="circular")`` does. A tensor whose columns are consecutive columns
of a panorama, modulo its width, therefore says which: slices, rolls and concatenations pass that on, and a tensor that
is wider than the panorama gets the pad offset that ``F.pad`` would have given it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from omniconv.convert.overrides.mode import PanoramaFunctionMode
from omniconv.convert.overrides.pad_tracking import NO_OFFSET, offset_of, propagate_offset, with_offset
from omniconv.errors import InputError
from omniconv.nn.symbolic import is_symbolic, statically_true, to_int_if_static

_ATTRIBUTE = "_omniconv_columns"
_numbers = itertools.count()


class Columns(NamedTuple):
    """Consecutive columns of a panorama, modulo its width."""

    panorama: Any  # a number for each panorama; while compiling the panorama itself
    start: int
    width: int


def columns_of(x: Tensor) -> Columns:
    """Return the columns of a tensor; those of a tensor that is no part of another are its own."""
    known = getattr(x, _ATTRIBUTE, None)
    if known is not None:
        return known
    if torch.compiler.is_compiling():  # a compiler cannot count; the tensor lives only as long as the program is traced
        return Columns(x, 0, x.shape[-1])
    own = Columns(next(_numbers), 0, x.shape[-1])
    setattr(x, _ATTRIBUTE, own)
    return own


def with_columns(y: Tensor, columns: Columns) -> Tensor:
    """Attach its columns to a tensor, and the pad offset of a tensor that is wider than the panorama."""
    setattr(y, _ATTRIBUTE, columns)
    extra, before = map(to_int_if_static, (y.shape[-1] - columns.width, _columns_before(columns)))
    if is_symbolic(extra, before) or extra <= 0:
        return y
    if before > extra:  # a rolled panorama, continued on the right
        before = 0
    return with_offset(y, (offset_of(y)[0], (before, extra - before)))


def with_slice(x: Tensor, y: Tensor, start: int) -> Tensor:
    """Attach the columns of a slice ``y`` of ``x`` that begins at column ``start``."""
    columns = columns_of(x)
    return with_columns(y, columns._replace(start=columns.start + start))


def cat(context: PanoramaFunctionMode, tensors: Any, dim: Any = 0, **options: Any) -> Tensor:
    """Override ``torch.cat``: recognise columns of one panorama that follow on one another."""
    result = propagate_offset(torch.cat(tensors, dim, **options), (tensors,))
    if not isinstance(dim, int) or not _is_image(result):
        return result
    axis = dim % result.ndim - result.ndim
    if axis == -1:
        joined = _joined(tensors)
        rows = offset_of(tensors[0])[0]
        return result if joined is None else with_columns(with_offset(result, (rows, (0, 0))), joined)
    sides = {offset_of(part)[1] for part in tensors}
    if axis == -2 and len(sides) == 1:  # rows put on above or below: of the poles' own making
        return with_offset(result, (NO_OFFSET[0], sides.pop()))
    return result


def roll(context: PanoramaFunctionMode, input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Override ``torch.roll``: a panorama rolled along its columns begins at another one."""
    result = propagate_offset(torch.roll(input, shifts, () if dims is None else dims), (input,))
    (shift, *more), (axis, *others) = _as_tuple(shifts), _as_tuple(dims)
    is_along_columns = axis is not None and not more and not others and axis % input.ndim == input.ndim - 1
    if is_along_columns and _is_image(input) and offset_of(input) == NO_OFFSET:
        return with_slice(input, result, -shift)
    return result


def narrow(context: PanoramaFunctionMode, input: Tensor, dim: int, start: Any, length: Any) -> Tensor:
    """Override ``torch.narrow``: a slice."""
    index: list[Any] = [slice(None)] * input.ndim
    if not isinstance(start, int | torch.SymInt):
        return torch.narrow(input, dim, start, length)
    # a start below 0 counts from the end, where `start + length` may be 0
    first = start + input.shape[dim] if start < 0 else start
    index[dim] = slice(first, first + length)
    return context.overrides.table[Tensor.__getitem__](context, input, tuple(index))


def split(context: PanoramaFunctionMode, input: Tensor, *sizes_dim: Any, **options: Any) -> Any:
    """Override ``torch.split``: slices."""
    # the sizes are `split_size_or_sections` of the function, and `split_size` of the method
    sizes, dim, *_ = (*options.values(), 0) if not sizes_dim else (*sizes_dim, options.get("dim", 0))
    return _with_parts(input, propagate_offset(torch.split(input, sizes, dim), (input,)), dim)


def chunk(context: PanoramaFunctionMode, input: Tensor, chunks: int, dim: int = 0) -> Any:
    """Override ``torch.chunk``: slices."""
    return _with_parts(input, propagate_offset(torch.chunk(input, chunks, dim), (input,)), dim)


def index_select(context: PanoramaFunctionMode, input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Override ``torch.index_select``."""
    result = torch.index_select(input, dim, index)
    return (
        with_index(input, result, index) if dim % input.ndim == input.ndim - 1 else propagate_offset(result, (input,))
    )


def with_index(x: Tensor, y: Tensor, index: Any) -> Tensor:
    """Attach the columns of ``y``, the columns ``index`` of ``x``, if they are consecutive."""
    if not _is_image(x) or y.shape[:-1] != x.shape[:-1]:
        return y
    if isinstance(index, Tensor):
        if torch.compiler.is_compiling():
            if is_symbolic(x.shape[-1], y.shape[-1]) or y.shape[-1] > x.shape[-1]:
                rule = "picks columns of an image by a tensor, whose values are unknown while compiling"
                raise InputError("index", tuple(index.shape), rule, 'use torch.cat or F.pad(x, ..., mode="circular")')
            return y
        index = index.tolist()
    width = x.shape[-1]
    if not index or any((after - before - 1) % width for before, after in itertools.pairwise(index)):
        return y
    return with_slice(x, y, index[0])


def is_continued_by_hand(x: Tensor, missing: int) -> bool:
    """Return whether the last ``missing`` columns of an image are its first ones, as a network may have put them on.

    It compares numbers, which a compiler does not know; False while compiling.
    """
    width = x.shape[-1]
    if torch.compiler.is_compiling() or is_symbolic(width) or not 0 < missing <= width - missing:
        return False
    beside, inside = x[..., :missing], x[..., width - missing :]
    return bool(torch.equal(beside, inside)) and bool((x[..., 1:] != x[..., :-1]).any())


def _joined(parts: Sequence[Tensor]) -> Columns | None:
    """Return the columns of parts that are put beside one another; ``None`` if they do not follow on one another."""
    first = columns_of(parts[0])
    end = first.start
    for part in parts:
        columns = columns_of(part)
        if columns.panorama is not first.panorama and columns.panorama != first.panorama:
            return None
        if not _same_column(columns.start, end, first.width):
            return None
        end = columns.start + part.shape[-1]
    return first


def _same_column(one: int, other: int, width: int) -> bool:
    difference = one - other
    if not is_symbolic(difference, width):
        return difference % width == 0
    return any(statically_true(difference == turns * width) for turns in (0, 1, -1))


def _columns_before(columns: Columns) -> int:
    """Return the columns before the first one of the panorama."""
    if not is_symbolic(columns.start, columns.width):
        return -columns.start % columns.width
    return -columns.start if statically_true(columns.start <= 0) else columns.width - columns.start


def _with_parts(x: Tensor, parts: Any, dim: int) -> Any:
    if not _is_image(x) or dim % x.ndim != x.ndim - 1 or offset_of(x) != NO_OFFSET:
        return parts
    starts = itertools.accumulate((part.shape[-1] for part in parts), initial=0)
    # torch.compile (2.13) cannot set attributes on the parts of a split, but can on new views
    return type(parts)(
        [with_slice(x, part.view(part.shape), start) for part, start in zip(parts, starts, strict=False)]
    )


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _is_image(x: Any) -> bool:
    return isinstance(x, Tensor) and x.ndim in (3, 4) and x.is_floating_point()


COLUMN_OVERRIDES: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.cat: cat,
    torch.concat: cat,
    torch.concatenate: cat,
    torch.roll: roll,
    Tensor.roll: roll,
    torch.narrow: narrow,
    Tensor.narrow: narrow,
    torch.split: split,
    Tensor.split: split,
    torch.chunk: chunk,
    Tensor.chunk: chunk,
    torch.index_select: index_select,
    Tensor.index_select: index_select,
}
