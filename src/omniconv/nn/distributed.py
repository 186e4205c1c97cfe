"""Sums, means and random numbers over a training batch whose samples are shared by several processes.

Each process has some rows of the batch. Within ``shared_batch`` the functions below work on the rows of all processes,
so that a loss made of them is that of the whole batch in every process, and the mean of the gradients of the processes
(as ``DistributedDataParallel`` takes it) is the gradient that one process has with all rows. Outside of it, and in a
single process, they are the ordinary functions, at no cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor


class Share(NamedTuple):
    """Rows of a batch that a process has."""

    first: int
    """Index of its first row in the whole batch."""
    rows: int
    """Number of its rows."""
    total: int
    """Number of rows of the whole batch."""


_current: ContextVar[Share | None] = ContextVar("share", default=None)


def process_count() -> int:
    """Return the number of processes of ``torch.distributed``, 1 without it."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def share_of_batch(total: int, rank: int, processes: int) -> Share:
    """Return the rows of a process: as many for each, the first ones have one more where the number is no multiple.

    Example:
        >>> [tuple(share_of_batch(7, rank, 2)) for rank in range(2)]
        [(0, 4, 7), (4, 3, 7)]
    """
    rows, more = divmod(total, processes)
    return Share(rank * rows + min(rank, more), rows + (rank < more), total)


@contextmanager
def shared_batch(share: Share) -> Iterator[None]:
    """Let sums, means and random numbers be those of all rows of a batch; every process must do the same.

    Args:
        share: the rows that this process has.
    """
    token = _current.set(share if process_count() > 1 else None)
    try:
        yield
    finally:
        _current.reset(token)


def is_shared() -> bool:
    """Return True within ``shared_batch`` in one of several processes."""
    return _current.get() is not None


def total_rows(rows: int) -> int:
    """Return the number of rows of all processes, given that of this one."""
    share = _current.get()
    return rows if share is None else share.total * rows // share.rows


def batch_sum(x: Tensor) -> Tensor:
    """Return the sum of a tensor over the processes, elementwise; the tensor itself if nothing is shared.

    The backward pass sums the gradients over the processes.
    """
    return _SumOverProcesses.apply(x) if is_shared() else x


def batch_mean(x: Tensor) -> Tensor:
    """Return the mean of all elements of the tensors of all processes, which have the same shape but for the rows."""
    share = _current.get()
    return x.mean() if share is None else batch_sum(x.sum()) / (x.numel() / share.rows * share.total)


def all_rows(x: Tensor) -> Tensor:
    """Return the rows of all processes in their order, ``(total, …)``, given those of this one, ``(rows, …)``."""
    share = _current.get()
    if share is None:
        return x
    before, after = share.first, share.total - share.first - share.rows
    rest = x.shape[1:]
    # A sum with zeros, since ``all_gather`` takes tensors of one shape.
    return batch_sum(torch.cat([x.new_zeros(before, *rest), x, x.new_zeros(after, *rest)]))


def own_rows(draw: Callable[[int], Tensor], rows: int) -> Tensor:
    """Draw random numbers for the whole batch, and return those of the rows of this process.

    All processes have the same random numbers before and after it, which are those of a single process.

    Args:
        draw: function of a number of rows to a tensor of as many.
        rows: rows to return: those of the process, or a multiple if several batches are concatenated.

    Example:
        >>> own_rows(lambda rows: torch.zeros(rows, 2), 3).shape
        torch.Size([3, 2])
    """
    share = _current.get()
    if share is None:
        return draw(rows)
    parts = draw(total_rows(rows)).split(share.total)
    return torch.cat([part[share.first : share.first + share.rows] for part in parts])


def normal_like(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return standard normal numbers of the shape and memory layout of a tensor ``(rows, …)``; see ``own_rows``.

    Args:
        x: the tensor.
        generator: source of the numbers, by default torch's global generator.
    """
    return own_rows(lambda rows: empty_rows(x, rows).normal_(generator=generator), len(x))


def empty_rows(x: Tensor, rows: int) -> Tensor:
    """Return an empty tensor ``(rows, …)`` that has the other axes, and the memory layout, of ``x``."""
    if rows == len(x):
        return torch.empty_like(x)
    axes = sorted(range(x.ndim), key=x.stride, reverse=True)
    return torch.empty_permuted((rows, *x.shape[1:]), axes, dtype=x.dtype, device=x.device)


def sum_over_processes(x: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes, also outside of ``shared_batch``."""
    return _SumOverProcesses.apply(x) if process_count() > 1 else x


class _SumOverProcesses(torch.autograd.Function):
    """Differentiable ``all_reduce``; ``torch.distributed.nn.functional`` is deprecated in torch 2.13."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _SumOverProcesses.apply(grad)
