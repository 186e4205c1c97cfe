"""The product of a stencil with a signal, and the convolution built on it, as operators of torch.

Signals here are rows of channels, ``(batch, samples, channels)``. The operators gather samples chunk by chunk for one
picture at a time, and gather again in the backward pass instead of storing them, so that memory does not grow with the
batch; sums run in the precision of the tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from omniconv.nn.skinny_product import write_product
from omniconv.nn.stencil.context import autocast_disabled, keep_tables, kept_tables, precision
from omniconv.nn.stencil.layouts import EmbeddingBagArgs, Layout, Table
from omniconv.nn.stencil.reference import plain_gradients

CHUNK = 400_000
"""Numbers gathered at a time by a thread: they stay in its cache; what a system charges for new memory stays small."""


@torch.library.custom_op("omniconv::stencil_product", mutates_args=())
def stencil_product(
    x: Tensor,
    kind: str,
    sizes: Sequence[int],
    tables: Sequence[Tensor],
    back_kind: str,
    back_sizes: Sequence[int],
    back_tables: Sequence[Tensor],
) -> Tensor:
    """A table of R rows times each picture: ``(B, N, C)`` to ``(B, R, C)``; the second table is its transpose."""
    layout = Table(kind, sizes, tables).layout
    result = x.new_empty(x.shape[0], layout.rows, x.shape[2])
    for index, rows, seen in _gathered(layout, x, 1, precision(tables)):
        result[index, rows] = seen
    return result


@torch.library.custom_op("omniconv::stencil_convolution", mutates_args=())
def stencil_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    kind: str,
    sizes: Sequence[int],
    tables: Sequence[Tensor],
    back_kind: str,
    back_sizes: Sequence[int],
    back_tables: Sequence[Tensor],
) -> Tensor:
    """Gather, then multiply: ``(B, N, C)``, weights ``(M · C, O)`` and a bias ``(O,)`` to ``(B, N', O)``.

    The second table is that of the transposed operators, tap by tap: row ``n · M + m`` is tap m of sample n.
    """
    layout, taps = Table(kind, sizes, tables).layout, weight.shape[0] // x.shape[2]
    dtype = precision(tables)
    weight = weight.detach().to(dtype)
    start = weight.new_zeros(weight.shape[1]) if bias is None else bias.detach().to(dtype)
    result = x.new_empty(x.shape[0], layout.rows // taps, weight.shape[1])
    with autocast_disabled(x):
        for index, outputs, seen in _gathered(layout, x, taps, dtype):
            write_product(result[index, outputs], seen, weight, start)
    return result


@torch.library.custom_op("omniconv::stencil_convolution_gradients", mutates_args=())
def _convolution_gradients(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    kind: str,
    sizes: Sequence[int],
    tables: Sequence[Tensor],
    of_input: bool,
    of_weight: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients of ``stencil_convolution`` by input and weight, from one gather; the table is that of the transpose.

    With ``h_m = S_mᵀ g`` that of the input is ``Σ_m h_m W_m``, and that of ``W_m`` is ``xᵀ h_m``.
    """
    layout, dtype = Table(kind, sizes, tables).layout, precision(tables)
    channels, outputs = x.shape[2], weight.shape[1]
    taps = weight.shape[0] // channels
    back = weight.detach().to(dtype).view(taps, channels, outputs).transpose(1, 2).reshape(-1, channels)
    by_input = x.new_empty(x.shape if of_input else 0)
    by_weight = back.new_zeros(channels, taps * outputs)
    nothing = back.new_zeros(channels)
    with autocast_disabled(x):
        for index, inputs, spread in _gathered(layout, gradient, taps, dtype):
            if of_input:
                write_product(by_input[index, inputs], spread, back, nothing)
            if of_weight:
                by_weight.addmm_(x.detach()[index, inputs].to(dtype).T, spread)
    return by_input, by_weight.view(channels, taps, outputs).transpose(0, 1).reshape(weight.shape).to(weight.dtype)


@stencil_product.register_fake
def _(x: Tensor, kind: str, sizes: Sequence[int], tables: Sequence[Tensor], *back: object) -> Tensor:
    return x.new_empty(x.shape[0], Table(kind, sizes, tables).layout.rows, x.shape[2])


@stencil_convolution.register_fake
def _(
    x: Tensor, weight: Tensor, bias: Tensor | None, kind: str, sizes: Sequence[int], tables: Sequence[Tensor],
    *back: object,
) -> Tensor:  # fmt: skip
    rows = Table(kind, sizes, tables).layout.rows
    return x.new_empty(x.shape[0], rows * x.shape[2] // weight.shape[0], weight.shape[1])


@_convolution_gradients.register_fake
def _(
    gradient: Tensor, x: Tensor, weight: Tensor, kind: str, sizes: Sequence[int], tables: Sequence[Tensor],
    of_input: bool, of_weight: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    return x.new_empty(x.shape if of_input else 0), torch.empty_like(weight)


def _product_backward(ctx, gradient):  # type: ignore[no-untyped-def]
    ahead, back = kept_tables(ctx, ctx.saved_tensors[1:])
    return stencil_product(gradient, *back, *ahead), *ahead.no_gradients, *back.no_gradients


def _convolution_backward(ctx, gradient):  # type: ignore[no-untyped-def]
    x, weight, _, *tensors = ctx.saved_tensors
    ahead, back = kept_tables(ctx, tensors)
    of_input, of_weight, of_bias, *_ = ctx.needs_input_grad
    by_input = by_weight = None
    if torch.is_grad_enabled():  # a second derivative will be asked for
        by_input, by_weight = plain_gradients(gradient, x, weight, back.layout)
    elif of_input or of_weight:
        by_input, by_weight = _convolution_gradients(gradient, x, weight, *back, of_input, of_weight)
    by_bias = gradient.sum((0, 1)) if of_bias else None
    gradients = by_input if of_input else None, by_weight if of_weight else None, by_bias
    return *gradients, *ahead.no_gradients, *back.no_gradients


stencil_product.register_autograd(_product_backward, setup_context=keep_tables)
stencil_convolution.register_autograd(_convolution_backward, setup_context=keep_tables)


def _gathered(layout: Layout, x: Tensor, taps: int, dtype: torch.dtype) -> Iterator[tuple[int, slice, Tensor]]:
    """Of every picture, chunk by chunk: its index, the outputs, and what all their taps see, ``(outputs, taps · C)``.

    Pictures that lie as they are gathered go through each chunk together; others are brought there one by one.
    """
    size, pictures = _size(x, layout.rows, taps), list(x.detach())
    if x.dtype == dtype and x.is_contiguous():
        for first, last, bags in layout.chunks(size):
            for index, picture in enumerate(pictures):
                yield index, slice(first // taps, last // taps), _side_by_side(bags, picture, taps)
        return
    for index, picture in enumerate(pictures):
        rows = picture.to(dtype).contiguous()
        for first, last, bags in layout.chunks(size):
            yield index, slice(first // taps, last // taps), _side_by_side(bags, rows, taps)


def _side_by_side(bags: EmbeddingBagArgs, picture: Tensor, taps: int) -> Tensor:
    seen = bags.of(picture)
    return seen.view(len(seen) // taps, taps * picture.shape[1])


def _size(x: Tensor, rows: int, taps: int = 1) -> int:
    """Rows gathered at a time; all at once on an accelerator, which would have to ask for the bounds."""
    if x.device.type != "cpu":
        return max(rows, 1)
    return max(CHUNK * torch.get_num_threads() // (taps * max(x.shape[2], 1)), 1) * taps
