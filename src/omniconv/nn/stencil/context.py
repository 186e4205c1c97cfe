"""What operators on tables share: their precision, and what they keep for the backward pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from omniconv.nn.stencil.layouts import Table


def keep_tables(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    """Save an operator's signals and the tensors of its two tables, which stand last among its arguments."""
    *signals, kind, sizes, tables, back_kind, back_sizes, back_tables = inputs
    ctx.ahead, ctx.back = Table(kind, sizes, ()), Table(back_kind, back_sizes, ())
    ctx.count = len(tables)
    ctx.save_for_backward(*signals, *tables, *back_tables)


def kept_tables(ctx, tensors: Sequence[Tensor]) -> tuple[Table, Table]:  # type: ignore[no-untyped-def]
    """The table and its transpose, with what was saved for the backward pass."""
    return ctx.ahead._replace(tensors=tensors[: ctx.count]), ctx.back._replace(tensors=tensors[ctx.count :])


def autocast_disabled(x: Tensor) -> torch.autocast:
    """Autocast stays outside: sums run in the precision of the tables."""
    return torch.autocast(x.device.type, enabled=False)


def precision(tables: Sequence[Tensor]) -> torch.dtype:
    """Of the values, which come last in every layout."""
    return tables[-1].dtype
