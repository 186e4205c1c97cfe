"""The convolution with a kernel for each row, its way back to the input, and the one to the kernels: fast.

The three are one trilinear form, so that the derivatives of each are the other two, as often as one likes. Work goes
run by run of rows with kernels of one shape, in blocks that stay in a core's cache; nothing as large as the signal is
held beside input and output. Signals are ``(batch, channels, height, width)``, in memory channels last; weights
``(taps, in, out)``, row after row.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from omniconv.nn.row_blocks import Block, Plan, blocks, precise


@torch.library.custom_op("omniconv::row_convolution", mutates_args=())
def row_convolution(x: Tensor, weight: Tensor, bias: Tensor | None, plan: list[int]) -> Tensor:
    """A kernel for each output row: ``(B, C, H, W)``, ``(taps, C, O)`` and ``(O, H')`` to ``(B, O, H', W')``."""
    steps = Plan.read(plan)
    lines, weight = _lines(x), weight.to(precise(x.dtype)).contiguous()
    y = x.new_empty(x.shape[0], x.shape[2] // steps.stride, x.shape[3] // steps.stride, weight.shape[2])
    out, start = y.transpose(0, 1), _start(bias, weight, y.shape[1])
    room = products = None
    for block in _blocks(steps, lines):
        room = block.input_room(weight.new_empty(0, x.shape[1]), room)
        block.fill(room, lines)
        products, kernels = block.output_room(weight, weight.shape[2], products), block.kernels(weight)
        products.copy_(start[None, block.first : block.first + block.rows])
        for taps, matrices in block.windows(room, x.shape[1]):
            kernel = kernels[:, taps]
            for product, seen in zip(products, matrices, strict=True):
                product.baddbmm_(seen, kernel)
        for phase, product in enumerate(products):
            own = block.outputs(out, phase)
            own.copy_(block.by_picture(product, own.shape[2]))
    return y.permute(0, 3, 1, 2)


@torch.library.custom_op("omniconv::row_convolution_back", mutates_args=())
def row_convolution_back(y: Tensor, weight: Tensor, plan: list[int]) -> Tensor:
    """Its adjoint: ``(B, O, H', W')`` and ``(taps, C, O)`` to ``(B, C, H, W)``."""
    steps = Plan.read(plan)
    lines, weight = _lines(y), weight.to(precise(y.dtype)).contiguous()
    height, batch, width, _ = lines.shape
    x = weight.new_zeros(batch, height * steps.stride, width * steps.stride, weight.shape[1])
    room = products = None
    for block in _blocks(steps, x.transpose(0, 1)):
        room = block.input_room(x, room).zero_()
        products, kernels = _by_phase(block, lines, weight, products), block.kernels(weight)
        for taps, matrices in block.windows(room, x.shape[3]):
            kernel = kernels[:, taps].transpose(1, 2)
            for product, seen in zip(products, matrices, strict=True):
                seen.baddbmm_(product, kernel)
        block.send_back(room, x.transpose(0, 1))
    return x.to(y.dtype).permute(0, 3, 1, 2)


@torch.library.custom_op("omniconv::row_correlation", mutates_args=())
def row_correlation(x: Tensor, y: Tensor, plan: list[int], taps: int) -> Tensor:
    """What the weights see: ``(B, C, H, W)`` and ``(B, O, H', W')`` to ``(taps, C, O)``."""
    lines, outputs = _lines(x), _lines(y)
    weight = x.new_zeros(taps, x.shape[1], y.shape[1], dtype=precise(x.dtype))
    room = products = None
    for block in _blocks(Plan.read(plan), lines):
        room = block.input_room(weight.new_empty(0, x.shape[1]), room)
        block.fill(room, lines)
        products, kernels = _by_phase(block, outputs, weight, products), block.kernels(weight)
        for own, matrices in block.windows(room, x.shape[1]):
            kernel = kernels[:, own]
            for product, seen in zip(products, matrices, strict=True):
                kernel.baddbmm_(seen.transpose(1, 2), product)
    return weight.to(x.dtype)


@row_convolution.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None, plan: list[int]) -> Tensor:
    height, width = x.shape[2] // plan[0], x.shape[3] // plan[0]
    return x.new_empty(x.shape[0], height, width, weight.shape[2]).permute(0, 3, 1, 2)


@row_convolution_back.register_fake
def _(y: Tensor, weight: Tensor, plan: list[int]) -> Tensor:
    height, width = y.shape[2] * plan[0], y.shape[3] * plan[0]
    return y.new_empty(y.shape[0], height, width, weight.shape[1]).permute(0, 3, 1, 2)


@row_correlation.register_fake
def _(x: Tensor, y: Tensor, plan: list[int], taps: int) -> Tensor:
    return x.new_empty(taps, x.shape[1], y.shape[1])


def _keep(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    *tensors, ctx.plan = inputs
    ctx.save_for_backward(*tensors)


def _convolution_gradients(ctx, gradient):  # type: ignore[no-untyped-def]
    x, weight, _ = ctx.saved_tensors
    of_input, of_weight, of_bias, _ = ctx.needs_input_grad
    return (
        row_convolution_back(gradient, weight, ctx.plan) if of_input else None,
        row_correlation(x, gradient, ctx.plan, weight.shape[0]) if of_weight else None,
        gradient.sum(3).sum(0) if of_bias else None,
        None,
    )


def _back_gradients(ctx, gradient):  # type: ignore[no-untyped-def]
    y, weight = ctx.saved_tensors
    of_input, of_weight, _ = ctx.needs_input_grad
    return (
        row_convolution(gradient, weight, None, ctx.plan) if of_input else None,
        row_correlation(gradient, y, ctx.plan, weight.shape[0]) if of_weight else None,
        None,
    )


def _keep_signals(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    x, y, ctx.plan, _ = inputs
    ctx.save_for_backward(x, y)


def _correlation_gradients(ctx, gradient):  # type: ignore[no-untyped-def]
    x, y = ctx.saved_tensors
    return row_convolution_back(y, gradient, ctx.plan), row_convolution(x, gradient, None, ctx.plan), None, None


row_convolution.register_autograd(_convolution_gradients, setup_context=_keep)
row_convolution_back.register_autograd(_back_gradients, setup_context=_keep)
row_correlation.register_autograd(_correlation_gradients, setup_context=_keep_signals)


def _lines(x: Tensor) -> Tensor:
    """A signal as ``(height, batch, width, channels)``, in memory channels last."""
    return x.contiguous(memory_format=torch.channels_last).permute(2, 0, 3, 1)


def _start(bias: Tensor | None, weight: Tensor, height: int) -> Tensor:
    """What products are added to, ``(height, 1, out)``."""
    if bias is None:
        return weight.new_zeros(height, 1, weight.shape[2])
    return bias.to(weight.dtype).T[:, None]


def _blocks(plan: Plan, lines: Tensor) -> Iterator[Block]:
    height, batch, width, channels = lines.shape
    pixel = channels * precise(lines.dtype).itemsize
    return blocks(plan, batch, (height, width), pixel, is_small=lines.device.type == "cpu")


def _by_phase(block: Block, lines: Tensor, weight: Tensor, used: Tensor | None) -> Tensor:
    """The outputs of all phases, filled up with zeros: ``(phases, rows, windows, channels)``."""
    products = block.output_room(weight, lines.shape[3], used).zero_()
    for phase, product in enumerate(products):
        own = block.outputs(lines, phase)
        block.by_picture(product, own.shape[2]).copy_(own)
    return products
