"""Batch normalization and dropout over the whole batch of a training in several processes, on every surface.

``torch.nn.SyncBatchNorm`` runs on GPUs only, and keeps neither the memory layout of mesh signals nor the activation
that some batch norms of timm contain. Here the layers stay what they are: only what they compute in training changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from omniconv.nn.distributed import empty_rows, own_rows, process_count, sum_over_processes

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
"""Layers that multiply each row by random numbers."""


@contextmanager
def synchronized_layers(*networks: nn.Module) -> Iterator[None]:
    """Let batch norms take statistics of the batches of all processes, and dropout draw numbers for all of them.

    For the time of a training step each of these layers gets a subclass of its own class, so that a network that is
    saved, copied or exported is an ordinary one. Nothing changes in a single process.

    Args:
        *networks: the networks, in every process the same.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        >>> with synchronized_layers(network):
        ...     network(torch.randn(2, 3, 8, 8)).shape
        torch.Size([2, 4, 8, 8])
    """
    changed: list[tuple[nn.Module, Any]] = []
    try:
        for layer in chain(*(network.modules() for network in networks)) if process_count() > 1 else ():
            own: Any = type(layer)
            mixin = _mixin(own)
            if mixin is not None:
                changed.append((layer, own))
                layer.__class__ = _subclass(own, mixin)
        yield
    finally:
        for layer, own in changed:
            layer.__class__ = own


def _mixin(layer: type) -> type | None:
    if issubclass(layer, nn.modules.batchnorm._BatchNorm):
        return _SharedNorm
    return _SharedDropout if issubclass(layer, DROPOUTS) else None


@cache
def _subclass(layer: Any, mixin: Any) -> Any:
    return type(f"Shared{layer.__name__}", (mixin, layer), {"__module__": __name__})


class _SharedNorm(nn.Module):
    def forward(self, *arguments: Any) -> Any:
        if not self.training:
            return super().forward(*arguments)
        with _BatchNormMode():  # below the layer's own forward, which may have an activation
            return super().forward(*arguments)


class _SharedDropout(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)

        def factors(rows: int) -> Tensor:
            return super(_SharedDropout, self).forward(empty_rows(x.detach(), rows).fill_(1))

        return x * own_rows(factors, len(x))


class _BatchNormMode(TorchFunctionMode):
    """Replace the batch norm of ``torch.nn.functional`` by that over all processes."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return (sync_batch_norm if func is F.batch_norm else func)(*args, **(kwargs or {}))


def sync_batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Return ``torch.nn.functional.batch_norm`` with the statistics of the tensors of all processes.

    Equal to it in the first process alone, and to that of the concatenated tensors in several ones, up to rounding;
    also the gradients and the running statistics.

    Args:
        x: ``(batch, channels, …)``; the number of rows may differ between the processes.
        running_mean: mean of earlier batches, ``(channels,)``, which is updated; ``None`` without it.
        running_var: variance of earlier batches.
        weight: factor of each channel.
        bias: summand of each channel.
        training: take the statistics of the batch, not the running ones.
        momentum: weight of the new statistics.
        eps: number added to the variance.
    """
    if not training or process_count() == 1:
        return F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
    values = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    axes = [0, *range(2, x.ndim)]
    shape = (1, -1, *[1] * (x.ndim - 2))
    # One more channel of ones: its sum is the number of values of a channel.
    count = values.new_full((1,), x.numel() / x.shape[1])
    *sums, total = sum_over_processes(torch.cat([values.sum(axes), count])).split([x.shape[1], 1])
    mean = sums[0] / total
    # The variance from differences, in a second pass: from sums of squares it would lose all digits of a small one.
    centred = values - mean.view(shape)
    variance = sum_over_processes(centred.square().sum(axes)) / total
    scale = (variance + eps).rsqrt()
    with torch.no_grad():
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((variance * total / (total - 1)).to(running_var.dtype), momentum)
    normalized = centred * (scale if weight is None else scale * weight).view(shape)
    return (normalized if bias is None else normalized + bias.view(shape)).to(x.dtype)
