"""The product of a stencil with a signal, and the convolution built on it: slow and readable, and fast.

Signals here are rows of channels, ``(batch, samples, channels)``. The fast operators hold one buffer of gathered
samples for one picture at a time and gather again in the backward pass instead of storing it, so that memory does not
grow with the batch; sums run in the precision of ``values``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

CHUNK = 1024
"""Outputs gathered at a time: the buffer stays in the cache, and what a system charges for new memory stays small."""


class Tables(NamedTuple):
    """A fused stencil and its transpose as compressed sparse rows (int32 indices).

    Where every row picks one sample, columns alone say it all: pointers and values are empty.
    """

    pointers: Tensor
    columns: Tensor
    values: Tensor
    transposed_pointers: Tensor
    transposed_columns: Tensor
    transposed_values: Tensor


def reference_product(x: Tensor, operators: list[Tensor]) -> Tensor:
    """``S_m x`` for every tap, one after the other: ``(B, N, C)`` and M dense (N', N) to ``(B, N', M, C)``."""
    return torch.stack([torch.einsum("pn,bnc->bpc", operator.to(x), x) for operator in operators], dim=2)


def reference_convolution(x: Tensor, weight: Tensor, operators: list[Tensor]) -> Tensor:
    """``y = Σ_m W_m (S_m x)``, one tap after the other: weight ``(O, C, M)``, result ``(B, N', O)``."""
    gathered = reference_product(x, operators)
    return sum(
        (torch.einsum("bpc,oc->bpo", gathered[:, :, tap], weight[:, :, tap]) for tap in range(len(operators))),
        start=x.new_zeros(()),
    )


@torch.library.custom_op("omniconv::stencil_product", mutates_args=())
def stencil_product(
    x: Tensor,
    pointers: Tensor,
    columns: Tensor,
    values: Tensor,
    transposed_pointers: Tensor,
    transposed_columns: Tensor,
    transposed_values: Tensor,
) -> Tensor:
    """A sparse matrix of R rows times each picture: ``(B, N, C)`` to ``(B, R, C)``."""
    result = x.new_empty(x.shape[0], _rows(pointers, columns), x.shape[2])
    if not len(pointers):
        return torch.index_select(x, 1, columns, out=result)
    matrix = _matrix(pointers, columns, values, x.shape[1])
    with _own_precision(x):
        for picture, out in zip(x, result, strict=True):
            if out.dtype == values.dtype:
                torch.addmm(out, matrix, picture, beta=0, out=out)
            else:
                out.copy_(matrix @ picture.to(values.dtype))
    return result


@torch.library.custom_op("omniconv::stencil_convolution", mutates_args=())
def stencil_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pointers: Tensor,
    columns: Tensor,
    values: Tensor,
    transposed_pointers: Tensor,
    transposed_columns: Tensor,
    transposed_values: Tensor,
) -> Tensor:
    """Gather, then multiply: ``(B, N, C)``, weights ``(M · C, O)`` and a bias ``(O,)`` to ``(B, N', O)``.

    The transposed tables are those of the transposed operators, tap by tap: row ``n · M + m`` is tap m of sample n.
    """
    taps = weight.shape[0] // x.shape[2]
    weight = weight.to(values.dtype)
    start = values.new_zeros(weight.shape[1]) if bias is None else bias.to(values.dtype)
    result = x.new_empty(x.shape[0], _rows(pointers, columns) // taps, weight.shape[1])
    with _own_precision(x):
        for first, picture, by_tap in _gathered(x, pointers, columns, values, taps):
            _write(result[picture, first : first + len(by_tap)], by_tap, weight, start)
    return result


@torch.library.custom_op("omniconv::stencil_convolution_gradients", mutates_args=())
def _convolution_gradients(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    pointers: Tensor,
    columns: Tensor,
    values: Tensor,
    of_input: bool,
    of_weight: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients of ``stencil_convolution`` by input and weight, from one gather; the tables are those of the transpose.

    With ``h_m = S_mᵀ g`` that of the input is ``Σ_m h_m W_m``, and that of ``W_m`` is ``xᵀ h_m``.
    """
    channels, outputs = x.shape[2], weight.shape[1]
    taps = weight.shape[0] // channels
    back = weight.to(values.dtype).view(taps, channels, outputs).transpose(1, 2).reshape(-1, channels)
    by_input = x.new_empty(x.shape if of_input else 0)
    by_weight = values.new_zeros(channels, taps * outputs)
    nothing = values.new_zeros(channels)
    with _own_precision(x):
        for first, picture, by_tap in _gathered(gradient, pointers, columns, values, taps):
            place = picture, slice(first, first + len(by_tap))
            if of_input:
                _write(by_input[place], by_tap, back, nothing)
            if of_weight:
                by_weight.addmm_(x[place].to(values.dtype).T, by_tap)
    return by_input, by_weight.view(channels, taps, outputs).transpose(0, 1).reshape(weight.shape).to(weight.dtype)


def plain_product(x: Tensor, pointers: Tensor, columns: Tensor, values: Tensor) -> Tensor:
    """``stencil_product`` in torch's own operators, with derivatives of every kind; entry by entry: it takes room."""
    if not len(pointers):
        return x.index_select(1, columns)
    counts = pointers.diff()
    rows = torch.repeat_interleave(torch.arange(len(counts), device=x.device), counts)
    seen = x.index_select(1, columns) * values[:, None].to(x.dtype)
    return x.new_zeros(x.shape[0], len(counts), x.shape[2]).index_add(1, rows, seen)


def plain_convolution(x: Tensor, weight: Tensor, bias: Tensor | None, *tables: Tensor) -> Tensor:
    """``stencil_convolution`` in torch's own operators."""
    y = plain_product(x, *tables).unflatten(1, (-1, weight.shape[0] // x.shape[2])).flatten(2) @ weight
    return y if bias is None else y + bias


@stencil_product.register_fake
def _(x: Tensor, pointers: Tensor, columns: Tensor, *tables: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], _rows(pointers, columns), x.shape[2])


@stencil_convolution.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None, pointers: Tensor, columns: Tensor, *tables: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], _rows(pointers, columns) * x.shape[2] // weight.shape[0], weight.shape[1])


@_convolution_gradients.register_fake
def _(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    pointers: Tensor,
    columns: Tensor,
    values: Tensor,
    of_input: bool,
    of_weight: bool,
) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape if of_input else 0), torch.empty_like(weight)


def _keep_tables(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs)


def _product_backward(ctx, gradient):  # type: ignore[no-untyped-def]
    _, *tables = ctx.saved_tensors
    turned = [*tables[3:], *tables[:3]]
    return (stencil_product(gradient.contiguous(), *turned), *[None] * 6)


def _convolution_backward(ctx, gradient):  # type: ignore[no-untyped-def]
    x, weight, _, _, _, _, *transposed = ctx.saved_tensors
    gradient = gradient.contiguous()
    of_input, of_weight, of_bias, *_ = ctx.needs_input_grad
    by_input = by_weight = None
    if torch.is_grad_enabled():  # a second derivative will be asked for
        by_input, by_weight = _plain_gradients(gradient, x, weight, transposed)
    elif of_input or of_weight:
        by_input, by_weight = _convolution_gradients(gradient, x, weight, *transposed, of_input, of_weight)
    by_bias = gradient.sum((0, 1)) if of_bias else None
    return (by_input if of_input else None, by_weight if of_weight else None, by_bias, *[None] * 6)


def _plain_gradients(gradient: Tensor, x: Tensor, weight: Tensor, transposed: list[Tensor]) -> tuple[Tensor, Tensor]:
    """What ``_convolution_gradients`` gives, in torch's own operators."""
    by_tap = weight.view(-1, x.shape[2], weight.shape[1])
    spread = plain_product(gradient, *transposed).unflatten(1, (-1, len(by_tap)))  # (B, N, M, O)
    by_weight = torch.einsum("bnc,bnmo->mco", x, spread).reshape(weight.shape)
    return torch.einsum("bnmo,mco->bnc", spread, by_tap), by_weight


stencil_product.register_autograd(_product_backward, setup_context=_keep_tables)
stencil_convolution.register_autograd(_convolution_backward, setup_context=_keep_tables)


def _own_precision(x: Tensor) -> torch.autocast:
    """Autocast stays outside: sums run in the precision of the tables."""
    return torch.autocast(x.device.type, enabled=False)


def _write(out: Tensor, left: Tensor, right: Tensor, start: Tensor) -> None:
    """start + left · right, without a place of its own where the kinds of number agree."""
    if out.dtype == right.dtype:
        torch.addmm(start, left, right, out=out)
    else:
        out.copy_(torch.addmm(start, left, right))


def _gathered(
    x: Tensor, pointers: Tensor, columns: Tensor, values: Tensor, taps: int
) -> Iterator[tuple[int, int, Tensor]]:
    """Chunk by chunk what the outputs of each picture see: first output, picture, ``(outputs, taps · C)``.

    All in one buffer, which the next chunk overwrites.
    """
    outputs = _rows(pointers, columns) // taps
    size = _chunk(columns, outputs)
    buffer = values.new_empty(size * taps, x.shape[2])
    if not len(pointers):
        for first in range(0, outputs, size):
            places = columns[first * taps : (first + size) * taps]
            for picture, samples in enumerate(x):
                rows = torch.index_select(samples.to(values.dtype), 0, places, out=buffer[: len(places)])
                yield first, picture, rows.view(-1, taps * x.shape[2])
        return
    for first, matrix in _chunks(pointers, columns, values, taps, x.shape[1]):
        rows = buffer[: matrix.shape[0]]
        for picture, samples in enumerate(x):
            torch.addmm(rows, matrix, samples.to(values.dtype), beta=0, out=rows)
            yield first, picture, rows.view(-1, taps * x.shape[2])


def _rows(pointers: Tensor, columns: Tensor) -> int:
    return pointers.shape[0] - 1 if len(pointers) else columns.shape[0]


def _chunk(columns: Tensor, outputs: int) -> int:
    """Outputs gathered at a time; all at once on an accelerator, which would have to ask for the bounds."""
    return max(min(CHUNK, outputs), 1) if columns.device.type == "cpu" else outputs


def _chunks(pointers: Tensor, columns: Tensor, values: Tensor, taps: int, inputs: int) -> Iterator[tuple[int, Tensor]]:
    """The rows of a fused stencil chunk by chunk, and the first output of each."""
    outputs = (pointers.shape[0] - 1) // taps
    size = _chunk(columns, outputs)
    if size == outputs:
        yield 0, _matrix(pointers, columns, values, inputs)
        return
    bounds = [*range(0, outputs, size), outputs]
    places = pointers[torch.tensor(bounds) * taps].tolist()
    for first, last, start, stop in zip(bounds, bounds[1:], places, places[1:], strict=False):
        own = pointers[first * taps : last * taps + 1] - start
        yield first, _matrix(own, columns[start:stop], values[start:stop], inputs)


def _matrix(pointers: Tensor, columns: Tensor, values: Tensor, inputs: int) -> Tensor:
    shape = (pointers.shape[0] - 1, inputs)
    return torch.sparse_csr_tensor(pointers, columns, values, shape, check_invariants=False)


def _hear_beta_warning() -> None:
    """Torch says once in a process that its sparse rows are in beta: here, where no user listens."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        _matrix(torch.tensor([0, 1], dtype=torch.int32), torch.tensor([0], dtype=torch.int32), torch.ones(1), 1)


_hear_beta_warning()
