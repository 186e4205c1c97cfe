"""Custom ops of stencils: the sparse product and the convolution built on it, forward and backward.

Signals are channels last, ``(batch, samples, channels)``. The ops gather chunk by chunk for one batch element at a time
and gather again in the backward pass instead of storing, so that memory does not grow with the batch. Products run in
the dtype of the tables. ``plan`` and ``tables`` are the matrix and its transpose as packed by ``pack_layouts``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from omniconv.nn.stencil.layouts import EmbeddingBagArgs, Layout, table_dtype, transpose_plan, unpack_layouts
from omniconv.nn.stencil.reference import reference_convolution_gradients
from omniconv.nn.torch_private import HAS_ONEDNN_LINEAR, onednn_linear

CHUNK = 400_000
"""Numbers gathered at a time by each thread: 1.6 MB in float32.

They stay in the core's cache, and the default allocator reuses the buffer instead of asking the system for pages.
Counted in numbers rather than outputs, so that narrow networks take fewer steps (icosphere 5, one thread, forward: 1.18
-> 0.97 of Conv2d). Per thread: HEALPix 32 on two threads, forward, 1.76 -> 1.51 of Conv2d.
"""


@torch.library.custom_op("omniconv::stencil_matmul", mutates_args=())
def stencil_matmul(x: Tensor, plan: list[int], tables: list[Tensor]) -> Tensor:
    """Multiply each batch element by a matrix of R rows: ``(B, N, C)`` to ``(B, R, C)``."""
    matrix, _ = unpack_layouts(plan, tables)
    result = x.new_empty(x.shape[0], matrix.rows, x.shape[2])
    for index, rows, gathered in _gather_chunks(matrix, x, 1, table_dtype(tables)):
        result[index, rows] = gathered
    return result


@torch.library.custom_op("omniconv::stencil_convolution", mutates_args=())
def stencil_convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, plan: list[int], tables: list[Tensor]
) -> Tensor:
    """Compute ``Σ_m (S_m x) W_m + bias``: ``(B, N, C)``, weight ``(M · C, O)`` and bias ``(O,)`` to ``(B, N', O)``.

    The transpose in ``plan`` must be by tap: row ``n · M + m`` is tap m of sample n.
    """
    (matrix, _), taps, dtype = unpack_layouts(plan, tables), weight.shape[0] // x.shape[2], table_dtype(tables)
    weight = weight.detach().to(dtype)
    start = weight.new_zeros(weight.shape[1]) if bias is None else bias.detach().to(dtype)
    result = x.new_empty(x.shape[0], matrix.rows // taps, weight.shape[1])
    with autocast_disabled(x):
        for index, outputs, gathered in _gather_chunks(matrix, x, taps, dtype):
            write_addmm(result[index, outputs], gathered, weight, start)
    return result


@torch.library.custom_op("omniconv::stencil_convolution_gradients", mutates_args=())
def _convolution_gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, plan: list[int], tables: list[Tensor], of_x: bool, of_weight: bool
) -> tuple[Tensor, Tensor]:
    """Compute the gradients of ``stencil_convolution`` with respect to input and weight from one gather.

    With ``h_m = S_mᵀ g`` the gradient of the input is ``Σ_m h_m W_mᵀ`` and that of ``W_m`` is ``xᵀ h_m``, so that
    no gathered taps are stored (icosphere 5, one thread, forward / with backward: from 1.47 / 1.52 to 0.86
    / 0.84 of Conv2d). A gradient that is not needed is empty or zero.
    """
    (_, transpose), dtype = unpack_layouts(plan, tables), table_dtype(tables)
    channels, outputs = x.shape[2], weight.shape[1]
    taps = weight.shape[0] // channels
    weight_t = weight.detach().to(dtype).view(taps, channels, outputs).transpose(1, 2).reshape(-1, channels)
    grad_x = x.new_empty(x.shape if of_x else 0)
    grad_weight = weight_t.new_zeros(channels, taps * outputs)
    zero = weight_t.new_zeros(channels)
    with autocast_disabled(x):
        for index, inputs, h in _gather_chunks(transpose, gradient, taps, dtype):
            if of_x:
                write_addmm(grad_x[index, inputs], h, weight_t, zero)
            if of_weight:
                grad_weight.addmm_(x.detach()[index, inputs].to(dtype).T, h)
    grad_weight = grad_weight.view(channels, taps, outputs).transpose(0, 1).reshape(weight.shape)
    return grad_x, grad_weight.to(weight.dtype)


@stencil_matmul.register_fake
def _(x: Tensor, plan: list[int], tables: list[Tensor]) -> Tensor:
    return x.new_empty(x.shape[0], unpack_layouts(plan, tables)[0].rows, x.shape[2])


@stencil_convolution.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None, plan: list[int], tables: list[Tensor]) -> Tensor:
    rows = unpack_layouts(plan, tables)[0].rows
    return x.new_empty(x.shape[0], rows * x.shape[2] // weight.shape[0], weight.shape[1])


@_convolution_gradients.register_fake
def _(gradient: Tensor, x: Tensor, weight: Tensor, *rest: object) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape if rest[-2] else 0), torch.empty_like(weight)


def save_for_backward(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    """Save the tensors of an op whose last arguments are ``plan`` and ``tables``."""
    *tensors, ctx.plan, tables = inputs
    ctx.save_for_backward(*tensors, *tables)


def _matmul_backward(ctx, gradient):  # type: ignore[no-untyped-def]
    _, *tables = ctx.saved_tensors
    return stencil_matmul(gradient, transpose_plan(ctx.plan), tables), None, [None] * len(tables)


def _convolution_backward(ctx, gradient):  # type: ignore[no-untyped-def]
    x, weight, _, *tables = ctx.saved_tensors
    of_x, of_weight, of_bias, *_ = ctx.needs_input_grad
    grad_x = grad_weight = None
    if torch.is_grad_enabled():  # create_graph=True: the gradients must be differentiable themselves
        _, transpose = unpack_layouts(ctx.plan, tables)
        grad_x, grad_weight = reference_convolution_gradients(gradient, x, weight, transpose)
    elif of_x or of_weight:
        grad_x, grad_weight = _convolution_gradients(gradient, x, weight, ctx.plan, tables, of_x, of_weight)
    grad_bias = gradient.sum((0, 1)) if of_bias else None
    gradients = grad_x if of_x else None, grad_weight if of_weight else None, grad_bias
    return *gradients, None, [None] * len(tables)


stencil_matmul.register_autograd(_matmul_backward, setup_context=save_for_backward)
stencil_convolution.register_autograd(_convolution_backward, setup_context=save_for_backward)


def autocast_disabled(x: Tensor) -> AbstractContextManager[Any]:
    """Return a context without autocast: ops compute in the dtype of their tables, whatever calls them."""
    # The meta device, on which summaries trace networks, has no autocast (torch 2.13).
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def write_addmm(out: Tensor, left: Tensor, right: Tensor, bias: Tensor) -> None:
    """Write ``bias + left @ right`` into ``out``: ``(O,)``, ``(n, K)`` and ``(K, O)`` of one dtype into ``(n, O)``.

    On CPUs in float32 oneDNN's kernel of linear layers ran 10 to 13 % faster than ``addmm``, which calls MKL (AMD EPYC,
    n = 1024, K = 256 to 640, O = 64).

    Example:
        >>> out = torch.empty(2, 1)
        >>> write_addmm(out, torch.eye(2), torch.tensor([[3.0], [4.0]]), torch.ones(1))
        >>> out.tolist()
        [[4.0], [5.0]]
    """
    if HAS_ONEDNN_LINEAR and left.dtype == torch.float32 and left.device.type == "cpu":
        out.copy_(onednn_linear(left, right.t(), bias))
    elif out.dtype == right.dtype:
        torch.addmm(bias, left, right, out=out)
    else:
        out.copy_(torch.addmm(bias, left, right))


def _gather_chunks(matrix: Layout, x: Tensor, taps: int, dtype: torch.dtype) -> Iterator[tuple[int, slice, Tensor]]:
    """Yield batch index, outputs and the gathered taps ``(outputs, taps · C)`` of each chunk of each batch element."""
    size, batch = _chunk_rows(x, matrix.rows, taps), list(x.detach())
    if x.dtype == dtype and x.is_contiguous():
        for first, end, args in matrix.chunks(size):  # chunks outside: each is expanded once for the whole batch
            for index, signal in enumerate(batch):
                yield index, slice(first // taps, end // taps), _gather(args, signal, taps)
        return
    for index, signal in enumerate(batch):  # batch outside: only one converted copy of a batch element exists at a time
        converted = signal.to(dtype).contiguous()
        for first, end, args in matrix.chunks(size):
            yield index, slice(first // taps, end // taps), _gather(args, converted, taps)


def _gather(args: EmbeddingBagArgs, signal: Tensor, taps: int) -> Tensor:
    gathered = args.matmul(signal)
    return gathered.view(len(gathered) // taps, taps * signal.shape[1])


def _chunk_rows(x: Tensor, rows: int, taps: int) -> int:
    """Return the rows of a chunk; all of them on a GPU, where slicing CSR rows would wait for the device."""
    if x.device.type != "cpu":
        return max(rows, 1)
    return max(CHUNK * torch.get_num_threads() // (taps * max(x.shape[2], 1)), 1) * taps
