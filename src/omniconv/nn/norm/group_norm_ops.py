"""Group normalization with weights of samples, scale, shift and SiLU, in few passes over memory, and its reference.

``group_norm`` chooses. Signals of equal areas that are contiguous go to torch's kernel, where images and channels form
one axis, so that scale and shift of each image are its weight and bias. Others, panoramas and meshes, go to a function
whose backward pass keeps the input alone and computes the rest again; ``reference_group_norm`` defines it, and computes
second derivatives, forward-mode ones, and what compilers trace.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from omniconv.nn.stencil.ops import autocast_disabled
from omniconv.nn.torch_private import needs_forward_ad


def group_norm(
    x: Tensor,
    groups: int,
    factor: Tensor,
    summand: Tensor,
    weights: Tensor | None = None,
    eps: float = 1e-5,
    silu: bool = False,
) -> Tensor:
    """Normalize each group of channels of each image, multiply, add, and apply SiLU if asked to.

    Args:
        x: signal ``(B, C, *grid)``.
        groups: number of groups.
        factor: ``(C,)``, or ``(B, C)`` for a factor of each image.
        summand: as ``factor``.
        weights: weights of the samples, broadcast to the grid, of sum 1 over it; ``None`` for equal weights.
        eps: number added to the variance.
        silu: whether SiLU follows.

    Returns:
        ``(B, C, *grid)`` in the dtype and memory layout of ``x``.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or needs_forward_ad():  # type: ignore[attr-defined]
        return reference_group_norm(x, groups, factor, summand, weights, eps, silu)
    factor, summand = (part.expand(x.shape[:2]) for part in (factor, summand))
    if weights is None and x.is_contiguous():
        return _by_torch(x, groups, factor, summand, eps, silu)
    with autocast_disabled(x):
        precise = x.to(precise_dtype(x))
        coefficients = factor.to(precise.dtype), summand.to(precise.dtype)
        flat = None if weights is None else weights.to(precise.dtype).expand(x.shape[2:]).flatten()
        return _GroupNorm.apply(precise.flatten(2), *coefficients, flat, groups, eps, silu).to(x.dtype).view_as(x)


def reference_group_norm(
    x: Tensor,
    groups: int,
    factor: Tensor,
    summand: Tensor,
    weights: Tensor | None = None,
    eps: float = 1e-5,
    silu: bool = False,
) -> Tensor:
    """Compute ``group_norm`` in torch's own operators."""
    grouped = x.to(precise_dtype(x)).unflatten(1, (groups, -1))
    axes = tuple(range(2, grouped.ndim))
    if weights is None:
        mean = grouped.mean(axes, keepdim=True)
        centred = grouped - mean
        variance = centred.square().mean(axes, keepdim=True)
    else:
        shares = weights.to(grouped.dtype) / grouped.shape[2]
        mean = (grouped * shares).sum(axes, keepdim=True)
        centred = grouped - mean
        variance = (centred.square() * shares).sum(axes, keepdim=True)
    y = (centred * torch.rsqrt(variance + eps)).flatten(1, 2)
    ones = (1,) * (x.ndim - 2)
    factor, summand = (part.to(y.dtype).reshape(*part.shape, *ones) for part in (factor, summand))
    z = y * factor + summand
    return (F.silu(z) if silu else z).to(x.dtype)


def precise_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype of statistics: float32 at least."""
    return torch.promote_types(x.dtype, torch.float32)


def _by_torch(x: Tensor, groups: int, factor: Tensor, summand: Tensor, eps: float, silu: bool) -> Tensor:
    one_image = x.flatten(0, 1)[None]  # (1, B · C, *grid), whose groups are those of all images
    weight, bias = (part.to(precise_dtype(x)).flatten() for part in (factor, summand))
    z = F.group_norm(one_image, groups * x.shape[0], weight, bias, eps).view_as(x)
    return F.silu(z) if silu else z


class _GroupNorm(torch.autograd.Function):
    """``reference_group_norm`` of ``(B, C, N)`` with coefficients ``(B, C)`` and weights ``(N,)``.

    Channels last or first in memory; torch's broadcasting is fast in both (measured with torch 2.13), its ``var_mean``
    and its ``group_norm`` of channels-last signals are five to thirty times slower than the sums below.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, factor: Tensor, summand: Tensor, weights: Tensor | None, groups: int, eps: float,
        silu: bool,
    ) -> Tensor:  # fmt: skip
        mean = _by_group(_weighted_sum(x, weights), groups)
        centred = x - mean
        variance = _by_group(_weighted_sum(centred.square_(), weights), groups)
        inverse = torch.rsqrt(variance + eps)
        slope = factor[..., None] * inverse
        offset = summand[..., None] - mean * slope
        ctx.save_for_backward(x, factor, summand, weights, mean, inverse)
        ctx.options = groups, eps, silu
        z = _affine(x, slope, offset, out=centred)
        return F.silu(z, inplace=True) if silu else z

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        groups, _, silu = ctx.options
        x, factor, summand, weights, mean, inverse = ctx.saved_tensors
        if torch.is_grad_enabled():  # the backward pass is to be differentiated itself
            return *_reference_gradients(x, factor, summand, weights, ctx.options, gradient), None, None, None, None
        slope = factor[..., None] * inverse
        if silu:
            z = _affine(x, slope, summand[..., None] - mean * slope)
            gradient = torch.ops.aten.silu_backward(gradient, z)
        # With h = gradient · factor: ∂x = inverse · (h − w (Σ h + x̂ Σ h x̂)), w the weight of a sample and channel.
        total = gradient.sum(2, keepdim=True)
        moment = ((gradient * x).sum(2, keepdim=True) - mean * total) * inverse
        first, second = (_by_group(part * factor[..., None], groups) for part in (total, moment))
        linear = -inverse * inverse * second
        constant = -inverse * first - mean * linear
        if weights is None:
            count = x.shape[2]
            correction = _affine(x, linear / count, constant / count)
        else:
            correction = _affine(x, linear, constant).mul_(weights)
        result = (gradient * slope).add_(correction)
        return result, moment[..., 0], total[..., 0], None, None, None, None


def _reference_gradients(
    x: Tensor,
    factor: Tensor,
    summand: Tensor,
    weights: Tensor | None,
    options: tuple[int, float, bool],
    gradient: Tensor,
) -> tuple[Tensor, ...]:
    """Return differentiable gradients with respect to signal and coefficients."""
    groups, eps, silu = options
    inputs = [part if part.requires_grad else part.detach().requires_grad_() for part in (x, factor, summand)]
    y = reference_group_norm(inputs[0], groups, inputs[1], inputs[2], weights, eps, silu)
    return torch.autograd.grad(y, inputs, gradient, create_graph=True)


def _weighted_sum(x: Tensor, weights: Tensor | None) -> Tensor:
    """Return the weighted mean over samples of ``(B, C, N)``, ``(B, C)``."""
    if weights is None:
        return x.mean(2)
    if x.stride(1) == 1:  # channels last: a product with (B, N, C), which copies nothing
        return weights @ x.transpose(1, 2)
    return x @ weights


def _by_group(values: Tensor, groups: int) -> Tensor:
    """Return the mean of ``(B, C)`` or ``(B, C, 1)`` over the channels of each group, ``(B, C, 1)``."""
    by_group = values.reshape(values.shape[0], groups, -1).mean(2, keepdim=True)
    return by_group.expand(-1, -1, values.shape[1] // groups).reshape(values.shape[0], -1, 1)


def _affine(x: Tensor, slope: Tensor, offset: Tensor, out: Tensor | None = None) -> Tensor:
    """Return ``x · slope + offset`` of ``(B, C, N)`` with coefficients ``(B, C, 1)``."""
    if x.stride(1) == 1:
        return torch.addcmul(offset, x, slope, out=out)
    # With two operands broadcast along the inner axis addcmul is not vectorized: half as fast (torch 2.13).
    return torch.mul(x, slope, out=out).add_(offset)
