"""Convolution on a stencil by dense matrices, tap by tap: the definition that the layers are compared to."""

import torch


def dense_matmul(x, operators):
    """Compute ``S_m x`` for M dense operators (N', N): ``(B, N, C)`` to ``(B, N', M, C)``."""
    return torch.stack([torch.einsum("pn,bnc->bpc", operator.to(x), x) for operator in operators], dim=2)


def dense_convolution(x, weight, operators):
    """Compute ``Σ_m W_m (S_m x)``: weight ``(O, C, M)``, result ``(B, N', O)``."""
    return torch.einsum("bpmc,ocm->bpo", dense_matmul(x, operators), weight)
