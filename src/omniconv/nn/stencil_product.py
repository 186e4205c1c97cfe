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

CHUNK = 2048
"""Outputs gathered at a time: the buffer stays in the cache, and what a system charges for new memory stays small."""


class Tables(NamedTuple):
    """A fused stencil and its transpose as compressed sparse rows (int32 indices)."""

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
    matrix = _matrix(pointers, columns, values, x.shape[1])
    result = x.new_empty(x.shape[0], matrix.shape[0], x.shape[2])
    with _own_precision(x):
        for picture, out in zip(x, result, strict=True):
            _write(out, matrix, picture.to(values.dtype))
    return result


@torch.library.custom_op("omniconv::stencil_convolution", mutates_args=())
def stencil_convolution(
    x: Tensor,
    weight: Tensor,
    pointers: Tensor,
    columns: Tensor,
    values: Tensor,
    transposed_pointers: Tensor,
    transposed_columns: Tensor,
    transposed_values: Tensor,
) -> Tensor:
    """Gather, then multiply: ``(B, N, C)`` and weights ``(M · C, O)`` to ``(B, N', O)``."""
    taps = weight.shape[0] // x.shape[2]
    weight = weight.to(values.dtype)
    result = x.new_empty(x.shape[0], (pointers.shape[0] - 1) // taps, weight.shape[1])
    gathered = values.new_empty(_chunk(pointers, result.shape[1]) * taps, x.shape[2])
    with _own_precision(x):
        for first, matrix in _chunks(pointers, columns, values, taps, x.shape[1]):
            rows = gathered[: matrix.shape[0]]
            for picture, out in zip(x, result, strict=True):
                _write(rows, matrix, picture.to(values.dtype))
                by_tap = rows.view(-1, weight.shape[0])
                _write(out[first : first + len(by_tap)], by_tap, weight)
    return result


@torch.library.custom_op("omniconv::stencil_input_gradient", mutates_args=())
def _input_gradient(
    gradient: Tensor, weight: Tensor, pointers: Tensor, columns: Tensor, values: Tensor, rows: int
) -> Tensor:
    """Gradient of ``stencil_convolution`` with respect to its input; the tables are those of the transpose."""
    samples = pointers.shape[0] - 1
    matrix = _matrix(pointers, columns, values, rows)
    channels = weight.shape[0] * gradient.shape[1] // rows
    weight = weight.to(values.dtype)
    result = gradient.new_empty(gradient.shape[0], samples, channels)
    spread = values.new_empty(gradient.shape[1], weight.shape[0])
    with _own_precision(gradient):
        for picture, out in zip(gradient, result, strict=True):
            _write(spread, picture.to(values.dtype), weight.T)
            _write(out, matrix, spread.view(rows, channels))
    return result


@torch.library.custom_op("omniconv::stencil_weight_gradient", mutates_args=())
def _weight_gradient(gradient: Tensor, x: Tensor, pointers: Tensor, columns: Tensor, values: Tensor) -> Tensor:
    """Gradient of ``stencil_convolution`` with respect to its weight, ``(M · C, O)``."""
    taps = (pointers.shape[0] - 1) // gradient.shape[1]
    gathered = values.new_empty(_chunk(pointers, gradient.shape[1]) * taps, x.shape[2])
    result = values.new_zeros(taps * x.shape[2], gradient.shape[2])
    with _own_precision(x):
        for first, matrix in _chunks(pointers, columns, values, taps, x.shape[1]):
            rows = gathered[: matrix.shape[0]]
            for picture, out in zip(x, gradient, strict=True):
                _write(rows, matrix, picture.to(values.dtype))
                by_tap = rows.view(-1, result.shape[0])
                result.addmm_(by_tap.T, out[first : first + len(by_tap)].to(values.dtype))
    return result


@stencil_product.register_fake
def _(x: Tensor, pointers: Tensor, *tables: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], pointers.shape[0] - 1, x.shape[2])


@stencil_convolution.register_fake
def _(x: Tensor, weight: Tensor, pointers: Tensor, *tables: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], (pointers.shape[0] - 1) * x.shape[2] // weight.shape[0], weight.shape[1])


@_input_gradient.register_fake
def _(gradient: Tensor, weight: Tensor, pointers: Tensor, columns: Tensor, values: Tensor, rows: int) -> Tensor:
    channels = weight.shape[0] * gradient.shape[1] // rows
    return gradient.new_empty(gradient.shape[0], pointers.shape[0] - 1, channels)


@_weight_gradient.register_fake
def _(gradient: Tensor, x: Tensor, pointers: Tensor, columns: Tensor, values: Tensor) -> Tensor:
    taps = (pointers.shape[0] - 1) // gradient.shape[1]
    return values.new_empty(taps * x.shape[2], gradient.shape[2])


def _keep_tables(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs)


def _product_backward(ctx, gradient):  # type: ignore[no-untyped-def]
    _, *tables = ctx.saved_tensors
    turned = [*tables[3:], *tables[:3]]
    return (stencil_product(gradient.contiguous(), *turned), *[None] * 6)


def _convolution_backward(ctx, gradient):  # type: ignore[no-untyped-def]
    x, weight, pointers, columns, values, *transposed = ctx.saved_tensors
    gradient = gradient.contiguous()
    input_gradient = weight_gradient = None
    if ctx.needs_input_grad[0]:
        input_gradient = _input_gradient(gradient, weight, *transposed, pointers.shape[0] - 1)
    if ctx.needs_input_grad[1]:
        weight_gradient = _weight_gradient(gradient, x, pointers, columns, values).to(weight.dtype)
    return (input_gradient, weight_gradient, *[None] * 6)


stencil_product.register_autograd(_product_backward, setup_context=_keep_tables)
stencil_convolution.register_autograd(_convolution_backward, setup_context=_keep_tables)


def _own_precision(x: Tensor) -> torch.autocast:
    """Autocast stays outside: sums run in the precision of the tables."""
    return torch.autocast(x.device.type, enabled=False)


def _write(out: Tensor, left: Tensor, right: Tensor) -> None:
    """left · right, without a place of its own where the kinds of number agree."""
    if out.dtype == right.dtype:
        torch.addmm(out, left, right, beta=0, out=out)
    else:
        out.copy_(left @ right)


def _chunk(pointers: Tensor, outputs: int) -> int:
    """Outputs gathered at a time; all at once on an accelerator, which would have to ask for the bounds."""
    return min(CHUNK, outputs) if pointers.device.type == "cpu" else outputs


def _chunks(pointers: Tensor, columns: Tensor, values: Tensor, taps: int, inputs: int) -> Iterator[tuple[int, Tensor]]:
    """The rows of a fused stencil chunk by chunk, and the first output of each."""
    outputs = (pointers.shape[0] - 1) // taps
    size = _chunk(pointers, outputs)
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
