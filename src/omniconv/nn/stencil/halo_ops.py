"""A convolution on framed faces as an operator of torch: the frame is filled, the backend's convolution does the rest.

One picture goes through at a time, and its frame is filled again in the backward pass instead of being kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from omniconv.nn.stencil.context import autocast_disabled, keep_tables, kept_tables, precision
from omniconv.nn.stencil.layouts import Layout, Table
from omniconv.nn.stencil.reference import plain_product


@torch.library.custom_op("omniconv::halo_convolution", mutates_args=())
def halo_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    places: Tensor,
    order: Tensor,
    kind: str,
    sizes: Sequence[int],
    tables: Sequence[Tensor],
    back_kind: str,
    back_sizes: Sequence[int],
    back_tables: Sequence[Tensor],
) -> Tensor:
    """``(B, N, C)`` and weights ``(O, C, 3, 3)`` to ``(B, N, O)``.

    Args:
        x: rows of channels.
        weight: of the convolution.
        bias: ``(O,)``.
        places: the sample at each place of the faces, int32 ``(faces, size, size)``.
        order: the place of each sample, int32 ``(N,)``.
        kind: layout of the table that fills the frame; ``sizes`` and ``tables`` belong to it, the others are those of
            its transpose.
        sizes: its numbers.
        tables: its tensors.
        back_kind: layout of the transpose.
        back_sizes: its numbers.
        back_tables: its tensors.
    """
    layout, dtype = Table(kind, sizes, tables).layout, precision(tables)
    kernel = weight.detach().to(dtype)
    start = None if bias is None else bias.detach().to(dtype)
    result = x.new_empty(*x.shape[:2], len(weight))
    with autocast_disabled(x):
        for picture, out in zip(x.detach(), result, strict=True):
            y = F.conv2d(_framed(layout, picture.to(dtype), places), kernel, start)
            out.copy_(_as_rows(y).index_select(0, order))
    return result


@torch.library.custom_op("omniconv::halo_convolution_gradients", mutates_args=())
def _gradients(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    places: Tensor,
    kind: str,
    sizes: Sequence[int],
    tables: Sequence[Tensor],
    back_kind: str,
    back_sizes: Sequence[int],
    back_tables: Sequence[Tensor],
    of_input: bool,
    of_weight: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients by input and weight."""
    layout, back = Table(kind, sizes, tables).layout, Table(back_kind, back_sizes, back_tables).layout
    dtype = precision(tables)
    kernel = weight.detach().to(dtype)
    by_input, by_weight = x.new_empty(x.shape if of_input else 0), torch.zeros_like(kernel)
    with autocast_disabled(x):
        for index, (picture, given) in enumerate(zip(x.detach(), gradient.detach(), strict=True)):
            framed = _framed(layout, picture.to(dtype), places)
            faces = _as_faces(given.to(dtype).index_select(0, places.flatten()), places.shape)
            wanted = [of_input, of_weight, False]
            by_frame, share, _ = torch.ops.aten.convolution_backward(
                faces, framed, kernel, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, wanted
            )
            if of_input:
                ((_, _, bags),) = back.chunks(back.rows)
                by_input[index] = bags.of(_as_rows(by_frame))
            if of_weight:
                by_weight += share
    return by_input, by_weight.to(weight.dtype)


def reference_halo_convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, places: Tensor, order: Tensor, layout: Layout
) -> Tensor:
    """What ``halo_convolution`` gives, in torch's own operators, with every derivative."""
    count, size, _ = places.shape
    framed = plain_product(x, layout).view(-1, size + 2, size + 2, x.shape[2]).permute(0, 3, 1, 2)
    y = F.conv2d(framed, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))
    return y.permute(0, 2, 3, 1).reshape(len(x), count * size * size, len(weight)).index_select(1, order)


@halo_convolution.register_fake
def _(x: Tensor, weight: Tensor, *rest: object) -> Tensor:
    return x.new_empty(*x.shape[:2], weight.shape[0])


@_gradients.register_fake
def _(gradient: Tensor, x: Tensor, weight: Tensor, places: Tensor, *rest: object) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape if rest[-2] else 0), torch.empty_like(weight)


def _backward(ctx, gradient):  # type: ignore[no-untyped-def]
    x, weight, _, places, order, *tensors = ctx.saved_tensors
    ahead, back = kept_tables(ctx, tensors)
    of_input, of_weight, of_bias, *_ = ctx.needs_input_grad
    by_input = by_weight = None
    if torch.is_grad_enabled():  # a second derivative will be asked for
        y = reference_halo_convolution(x, weight, None, places, order, ahead.layout)
        asked = [tensor for tensor, wanted in ((x, of_input), (weight, of_weight)) if wanted]
        found = iter(torch.autograd.grad(y, asked, gradient, create_graph=True) if asked else ())
        by_input, by_weight = (next(found) if wanted else None for wanted in (of_input, of_weight))
    elif of_input or of_weight:
        both = _gradients(gradient, x, weight, places, *ahead, *back, of_input, of_weight)
        by_input, by_weight = both[0] if of_input else None, both[1] if of_weight else None
    by_bias = gradient.sum((0, 1)) if of_bias else None
    return by_input, by_weight, by_bias, None, None, *ahead.no_gradients, *back.no_gradients


halo_convolution.register_autograd(_backward, setup_context=keep_tables)


def _framed(layout: Layout, picture: Tensor, places: Tensor) -> Tensor:
    """One picture's faces with their frames, in memory channels last."""
    ((_, _, bags),) = layout.chunks(layout.rows)
    size = places.shape[-1] + 2
    return _as_faces(bags.of(picture.contiguous()), (len(places), size, size))


def _as_faces(rows: Tensor, shape: Sequence[int]) -> Tensor:
    return rows.view(*shape, -1).permute(0, 3, 1, 2)


def _as_rows(faces: Tensor) -> Tensor:
    return faces.permute(0, 2, 3, 1).reshape(-1, faces.shape[1])
