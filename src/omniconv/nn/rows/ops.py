"""The convolution with a kernel for each row, its way back to the input, and the one to the kernels: fast.

The three are one trilinear form, so that the derivatives of each are the other two, as often as one likes. Work goes
run by run of rows with kernels of one shape, in tiles of a few rows, each a grouped convolution of the backend;
nothing as large as the signal is held beside input and output. Signals are ``(batch, channels, height, width)``, in
memory channels last; weights ``(taps, out, in)``, row after row.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from omniconv.nn.rows.tiles import Plan, RowTile, row_tiles


@torch.library.custom_op("omniconv::row_convolution", mutates_args=())
def row_convolution(x: Tensor, weight: Tensor, bias: Tensor | None, plan: list[int], groups: int) -> Tensor:
    """A kernel for each output row: ``(B, C, H, W)``, ``(taps, O, C / groups)``, ``(O, H')`` to ``(B, O, H', W')``."""
    steps, lines, weight = Plan.read(plan), _lines(x), weight.to(x.dtype)
    y = x.new_empty(x.shape[0], x.shape[2] // steps.stride, x.shape[3] // steps.stride, weight.shape[1])
    by_row = None if bias is None else bias.to(x.dtype).T
    for block, seen in _blocks(steps, lines, lines):
        start = None if by_row is None else by_row[block.own].flatten()
        block.gather(seen, lines)
        with torch.autocast(x.device.type, enabled=False):  # in the precision of the signal, as its gradients
            found = F.conv2d(_picture(seen), _kernels(block, weight), start, *_steps(block, groups))
        outputs = block.outputs(y.transpose(0, 1))
        outputs.copy_(found.permute(0, 2, 3, 1).reshape(outputs.shape))
    return y.permute(0, 3, 1, 2)


@torch.library.custom_op("omniconv::row_convolution_back", mutates_args=())
def row_convolution_back(y: Tensor, weight: Tensor, plan: list[int], groups: int) -> Tensor:
    """Its adjoint: ``(B, O, H', W')`` and ``(taps, O, C / groups)`` to ``(B, C, H, W)``."""
    steps, lines, weight = Plan.read(plan), _lines(y), weight.to(y.dtype)
    size = y.shape[0], y.shape[2] * steps.stride, y.shape[3] * steps.stride, groups * weight.shape[2]
    x, done = y.new_empty(size, dtype=precise(y.dtype)), 0
    for block, seen in _blocks(steps, lines, x.transpose(0, 1)):
        x[:, done : block.reach].zero_()  # just before it is added to, while it is near
        done, kernels = max(done, block.reach), _kernels(block, weight)
        found = _gradients(block, lines, _picture(seen), kernels, groups, (True, False))[0]
        block.scatter(found.permute(0, 2, 3, 1).reshape(seen.shape), x.transpose(0, 1))
    x[:, done:].zero_()
    return x.to(y.dtype).permute(0, 3, 1, 2)


@torch.library.custom_op("omniconv::row_correlation", mutates_args=())
def row_correlation(x: Tensor, y: Tensor, plan: list[int], taps: int, groups: int) -> Tensor:
    """What the weights see: ``(B, C, H, W)`` and ``(B, O, H', W')`` to ``(taps, O, C / groups)``."""
    lines, outputs = _lines(x), _lines(y)
    weight = x.new_empty(taps, y.shape[1], x.shape[1] // groups, dtype=precise(x.dtype))
    for block, seen in _blocks(Plan.read(plan), lines, lines):
        block.gather(seen, lines)
        if block.is_first:
            weight[block.taps].zero_()
        own = block.kernels(weight)
        kernels = _channels_last(x.new_empty(own.shape).flatten(0, 1))
        found = _gradients(block, outputs, _picture(seen), kernels, groups, (False, True))[1]
        own.add_(found.permute(0, 2, 3, 1).reshape(own.shape))
    return weight.to(x.dtype)


@row_convolution.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None, plan: list[int], groups: int) -> Tensor:
    height, width = x.shape[2] // plan[0], x.shape[3] // plan[0]
    return x.new_empty(x.shape[0], height, width, weight.shape[1]).permute(0, 3, 1, 2)


@row_convolution_back.register_fake
def _(y: Tensor, weight: Tensor, plan: list[int], groups: int) -> Tensor:
    height, width = y.shape[2] * plan[0], y.shape[3] * plan[0]
    return y.new_empty(y.shape[0], height, width, groups * weight.shape[2]).permute(0, 3, 1, 2)


@row_correlation.register_fake
def _(x: Tensor, y: Tensor, plan: list[int], taps: int, groups: int) -> Tensor:
    return x.new_empty(taps, y.shape[1], x.shape[1] // groups)


def _keep(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    *tensors, ctx.plan, ctx.groups = inputs
    ctx.save_for_backward(*tensors)


def _convolution_gradients(ctx, gradient):  # type: ignore[no-untyped-def]
    x, weight, _ = ctx.saved_tensors
    of_input, of_weight, of_bias, *_ = ctx.needs_input_grad
    return (
        row_convolution_back(gradient, weight, ctx.plan, ctx.groups) if of_input else None,
        row_correlation(x, gradient, ctx.plan, weight.shape[0], ctx.groups) if of_weight else None,
        gradient.permute(0, 2, 3, 1).sum(2).sum(0).T if of_bias else None,  # as it lies: ten times as fast
        None,
        None,
    )


def _back_gradients(ctx, gradient):  # type: ignore[no-untyped-def]
    y, weight = ctx.saved_tensors
    of_input, of_weight, *_ = ctx.needs_input_grad
    return (
        row_convolution(gradient, weight, None, ctx.plan, ctx.groups) if of_input else None,
        row_correlation(gradient, y, ctx.plan, weight.shape[0], ctx.groups) if of_weight else None,
        None,
        None,
    )


def _keep_signals(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    x, y, ctx.plan, _, ctx.groups = inputs
    ctx.save_for_backward(x, y)


def _correlation_gradients(ctx, gradient):  # type: ignore[no-untyped-def]
    x, y = ctx.saved_tensors
    of_input = row_convolution_back(y, gradient, ctx.plan, ctx.groups)
    return of_input, row_convolution(x, gradient, None, ctx.plan, ctx.groups), None, None, None


row_convolution.register_autograd(_convolution_gradients, setup_context=_keep)
row_convolution_back.register_autograd(_back_gradients, setup_context=_keep)
row_correlation.register_autograd(_correlation_gradients, setup_context=_keep_signals)


def _lines(x: Tensor) -> Tensor:
    """A signal as ``(height, batch, width, channels)``, in memory channels last."""
    return x.contiguous(memory_format=torch.channels_last).permute(2, 0, 3, 1)


def _blocks(plan: Plan, lines: Tensor, panorama: Tensor) -> Iterator[tuple[RowTile, Tensor]]:
    """Blocks, and a tensor for what each sees, of the kind of ``lines``; its memory serves one after the other."""
    height, batch, width, channels = panorama.shape
    room = lines.new_empty(0)
    pixel, is_small = channels * lines.dtype.itemsize, lines.device.type == "cpu"
    for block in row_tiles(plan, batch, (height, width), pixel, is_small):
        size = block.size(channels)
        if prod(size) > len(room):
            room = room.new_empty(prod(size))
        yield block, room[: prod(size)].view(size)


def _picture(seen: Tensor) -> Tensor:
    """What a block sees, rows as channels: ``(pictures, rows · channels, rows of taps, columns)``."""
    return _channels_last(seen.flatten(3))


def _kernels(block: RowTile, weight: Tensor) -> Tensor:
    """The kernels of its rows, ``(rows · out, in / groups, rows of taps, columns of taps)``."""
    return _channels_last(block.kernels(weight).contiguous().flatten(0, 1))


def _channels_last(x: Tensor) -> Tensor:
    """Pixels of channels as channels of pixels, in the same memory."""
    return x.permute(0, 3, 1, 2)


def _steps(block: RowTile, groups: int) -> tuple[Any, ...]:
    """Stride, padding, dilation and groups of its convolution."""
    return (1, block.plan.stride), (0, 0), (1, block.plan.space), groups * len(block.rows)


def _gradients(
    block: RowTile, y: Tensor, picture: Tensor, kernels: Tensor, groups: int, wanted: tuple[bool, bool]
) -> tuple[Tensor, ...]:
    """Of its convolution, from outputs ``(height, batch, width, out)``, to what it sees and its kernels, if wanted."""
    outputs = _channels_last(block.outputs(y).contiguous().flatten(2)[:, None])
    *steps, parts = _steps(block, groups)
    backward = torch.ops.aten.convolution_backward
    return backward(outputs, picture, kernels, None, *steps, False, (0, 0), parts, (*wanted, False))


def precise(dtype: torch.dtype) -> torch.dtype:
    """What sums run in: single precision at least."""
    return torch.promote_types(dtype, torch.float32)
