"""Image axes: the axes of a tensor that are latitude and longitude, carried through permutations.

Networks exchange axes, for example to mix channels by a convolution over them, or to apply one network to rows and
columns. Only a convolution whose last axis is the longitude may wrap around it. A tensor whose rows and columns are not
its last two axes therefore says where they are; permutations update this, and functions that keep both sizes pass it
on. Reshapes forget it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Axes = tuple[int, int]
"""Axes of the rows (latitude) and columns (longitude) of a tensor with four axes."""
IMAGE_AXES: Axes = (2, 3)
_ATTRIBUTE = "_omniconv_image_axes"
_FROM_CHANNELS_LAST = [0, 3, 1, 2]
"""Permutation of images (batch, height, width, channels) to the axes of torch."""
_ARRANGING = frozenset({
    "cat", "concat", "concatenate", "roll", "narrow", "split", "chunk", "index_select", "__getitem__", "getitem",
})  # fmt: skip
"""Names of functions that only move samples."""
_PADS = ("pad", "constant_pad_nd")


def moved_axes(arguments: Iterable[Any]) -> Axes | None:
    """Return the axes of the first image among arguments if they are not its last two, else ``None``."""
    image = _first_image(arguments)
    axes = IMAGE_AXES if image is None else getattr(image, _ATTRIBUTE)
    return None if axes == IMAGE_AXES else axes


def with_axes(result: Any, axes: Axes) -> Any:
    """Attach image axes to a result that is one tensor with four axes."""
    if isinstance(result, Tensor) and result.ndim == 4:
        setattr(result, _ATTRIBUTE, axes)
    return result


def propagate_axes(function: Callable[..., Any], result: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Attach the axes of a function's first image to its results that have the same size along them."""
    image = args[0] if args and isinstance(args[0], Tensor) else None
    permutation = _PERMUTATIONS.get(function)
    if permutation is not None:
        if image is None or image.ndim != 4:
            return result
        order = [axis % 4 for axis in permutation(*args[1:], **kwargs)]
        # A tensor without the attribute may have got its channels last in a way that is not followed, or be an input
        # of this layout: this permutation then gives an image.
        if not hasattr(image, _ATTRIBUTE) and order == _FROM_CHANNELS_LAST:
            return result
        rows, columns = getattr(image, _ATTRIBUTE, IMAGE_AXES)
        return with_axes(result, (order.index(rows), order.index(columns)))
    image = _first_image(args)
    if image is None:
        return result
    axes = getattr(image, _ATTRIBUTE)
    sizes = [image.shape[axis] for axis in axes]
    if isinstance(result, list | tuple):
        if axes == IMAGE_AXES:
            return result
        # torch.compile (2.13) cannot set attributes on the parts of a chunk or split, but can on new views
        return type(result)([with_axes(y.view(y.shape), axes) if _has_sizes(y, axes, sizes) else y for y in result])
    return with_axes(result, axes) if _has_sizes(result, axes, sizes) else result


def _first_image(arguments: Iterable[Any]) -> Tensor | None:
    for argument in arguments:
        for x in argument if isinstance(argument, list | tuple) else (argument,):
            if isinstance(x, Tensor) and hasattr(x, _ATTRIBUTE):
                return x
    return None


def _has_sizes(y: Any, axes: Axes, sizes: Sequence[Any]) -> bool:
    return isinstance(y, Tensor) and y.ndim == 4 and [y.shape[axis] for axis in axes] == sizes


def reaches_columns(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], columns: int) -> bool:
    """Return False for a function of the flat network that does not combine samples along the columns.

    Args:
        name: name of a function that has an override.
        args: its arguments.
        kwargs: its further arguments.
        columns: axis of the columns, 1 or 2.
    """
    second = args[1] if len(args) > 1 else kwargs.get("weight", kwargs.get("pad"))
    if isinstance(second, Tensor) and second.ndim == 4:  # a convolution, which mixes or weights axis 1, too
        return columns == 1 or second.shape[2] > 1
    if name in _PADS:
        first = 2 * (3 - columns)  # amounts begin at the last axis
        return any(second[first : first + 2])
    return columns == 2 and name not in _ARRANGING


def _permute(*dims: Any) -> Sequence[int]:
    return dims[0] if isinstance(dims[0], Sequence) else dims


def _permute_keyword(*args: Any, dims: Any = None) -> Sequence[int]:
    return _permute(*(args or (dims,)))


def _transpose(*args: int, **options: int) -> Sequence[int]:
    first, second = (*args, *options.values())
    order = [0, 1, 2, 3]
    order[first], order[second] = order[second], order[first]
    return order


def _movedim(*args: Any, **options: Any) -> Sequence[int]:
    source, destination = (*args, *options.values())
    return torch.empty(0, 1, 2, 3).movedim(source, destination).shape  # the sizes are the numbers of the axes


_PERMUTATIONS: dict[Any, Callable[..., Sequence[int]]] = {
    **dict.fromkeys((torch.permute, Tensor.permute), _permute_keyword),
    **dict.fromkeys((torch.transpose, Tensor.transpose, torch.swapaxes, Tensor.swapaxes), _transpose),
    **dict.fromkeys((torch.swapdims, Tensor.swapdims), _transpose),
    **dict.fromkeys((torch.movedim, Tensor.movedim, torch.moveaxis, Tensor.moveaxis), _movedim),
    **dict.fromkeys((torch.adjoint, Tensor.adjoint), lambda: (0, 1, 3, 2)),
    **dict.fromkeys((vars(torch._C.TensorBase)[name].__get__ for name in ("mT", "mH")), lambda *_: (0, 1, 3, 2)),
}
"""New order of the axes of a tensor with four axes, from the arguments after the tensor."""
