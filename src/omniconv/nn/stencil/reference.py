"""The product of a stencil with a signal in torch's own operators: slow and readable, and with every derivative."""

from __future__ import annotations

import torch
from torch import Tensor

from omniconv.nn.stencil.layouts import Layout


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


def plain_product(x: Tensor, layout: Layout) -> Tensor:
    """What ``stencil_product`` gives, entry by entry: it takes room."""
    ((_, rows, bags),) = layout.chunks(max(layout.rows, 1))
    seen = x.index_select(1, bags.samples)
    if bags.starts is None:
        return seen
    if bags.weights is not None:
        seen = seen * bags.weights[:, None].to(x.dtype)
    ends = torch.cat([bags.starts[1:], bags.starts.new_tensor([len(bags.samples)])])
    owners = torch.repeat_interleave(torch.arange(rows, device=x.device), ends - bags.starts)
    return x.new_zeros(x.shape[0], rows, x.shape[2]).index_add(1, owners, seen)


def plain_convolution(x: Tensor, weight: Tensor, bias: Tensor | None, layout: Layout) -> Tensor:
    """What ``stencil_convolution`` gives."""
    y = plain_product(x, layout).unflatten(1, (-1, weight.shape[0] // x.shape[2])).flatten(2) @ weight
    return y if bias is None else y + bias


def plain_gradients(gradient: Tensor, x: Tensor, weight: Tensor, back: Layout) -> tuple[Tensor, Tensor]:
    """Gradients of a convolution by input and weight; the layout is that of the transpose."""
    by_tap = weight.view(-1, x.shape[2], weight.shape[1])
    spread = plain_product(gradient, back).unflatten(1, (-1, len(by_tap)))  # (B, N, M, O)
    by_weight = torch.einsum("bnc,bnmo->mco", x, spread).reshape(weight.shape)
    return torch.einsum("bnmo,mco->bnc", spread, by_tap), by_weight
