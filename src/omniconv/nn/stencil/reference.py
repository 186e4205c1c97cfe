"""Slow, readable definitions of the custom ops in torch's own operators, with every derivative.

They store a row of channels for every entry of the matrix. Tests compare the outputs and gradients of the custom ops
with them; they also compute derivatives that the custom ops lack (forward mode, ``torch.func``, second derivatives).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from omniconv.nn.stencil.layouts import Layout


def reference_matmul(x: Tensor, matrix: Layout) -> Tensor:
    """Compute ``stencil_matmul`` entry by entry: ``(B, N, C)`` to ``(B, rows, C)``."""
    ((_, rows, args),) = matrix.chunks(max(matrix.rows, 1))
    gathered = x.index_select(1, args.indices)
    if args.offsets is None:
        return gathered
    if args.weights is not None:
        gathered = gathered * args.weights[:, None].to(x.dtype)
    ends = torch.cat([args.offsets[1:], args.offsets.new_tensor([len(args.indices)])])
    row = torch.repeat_interleave(torch.arange(rows, device=x.device), ends - args.offsets)
    return x.new_zeros(x.shape[0], rows, x.shape[2]).index_add(1, row, gathered)


def reference_convolution(x: Tensor, weight: Tensor, bias: Tensor | None, matrix: Layout) -> Tensor:
    """Compute ``stencil_convolution``."""
    y = reference_matmul(x, matrix).unflatten(1, (-1, weight.shape[0] // x.shape[2])).flatten(2) @ weight
    return y if bias is None else y + bias


def reference_convolution_gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, transpose: Layout
) -> tuple[Tensor, Tensor]:
    """Compute the gradients of ``stencil_convolution`` with respect to input and weight."""
    by_tap = weight.view(-1, x.shape[2], weight.shape[1])
    h = reference_matmul(gradient, transpose).unflatten(1, (-1, len(by_tap)))  # S_mᵀ g, (B, N, M, O)
    grad_weight = torch.einsum("bnc,bnmo->mco", x, h).reshape(weight.shape)
    return torch.einsum("bnmo,mco->bnc", h, by_tap), grad_weight


def reference_halo_convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, faces: Tensor, order: Tensor, halo: Layout
) -> Tensor:
    """Compute ``halo_convolution``."""
    count, size, _ = faces.shape
    padded = reference_matmul(x, halo).view(-1, size + 2, size + 2, x.shape[2]).permute(0, 3, 1, 2)
    y = F.conv2d(padded, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))
    return y.permute(0, 2, 3, 1).reshape(len(x), count * size * size, len(weight)).index_select(1, order)
