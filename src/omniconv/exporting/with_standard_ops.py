"""A network of standard operators only: mesh layers gather and multiply in place of omniconv's own operators."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from omniconv.nn.rows.modules import RowConvolution
from omniconv.nn.stencil.modules import SparseOperator
from omniconv.nn.stencil.tables import patch_of
from omniconv.surfaces import Stencil


class GatheredStencil(nn.Module):
    """A stencil as the samples that each output sees, and the weight of each of them at each tap.

    Args:
        stencil: neighbours and fixed weights.
        dtype: of the weights.

    Example:
        >>> import numpy as np
        >>> ring = Stencil.from_table(np.array([[0, 1], [1, 2], [2, 0]]), inputs=3)
        >>> GatheredStencil(ring, torch.float32).times(torch.tensor([[[1.0], [2.0], [3.0]]])).flatten().tolist()
        [1.0, 2.0, 2.0, 3.0, 3.0, 1.0]
    """

    columns: Tensor
    weights: Tensor

    def __init__(self, stencil: Stencil, dtype: torch.dtype) -> None:
        super().__init__()
        patch = patch_of(stencil)
        self.seen = patch.samples.shape[1]
        self.register_buffer("columns", torch.from_numpy(patch.samples.reshape(-1)))
        self.register_buffer("weights", torch.from_numpy(patch.values).to(dtype))

    def times(self, rows: Tensor) -> Tensor:
        """``(B, N, C)`` to ``(B, N' · taps, C)``."""
        return self._gathered(rows).flatten(1, 2).to(rows.dtype)

    def convolve(self, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """``(B, N, C)``, ``(taps · C, O)`` and ``(O,)`` to ``(B, N\', O)``."""
        product = (self._gathered(rows).flatten(2) @ weight.to(self.weights.dtype)).to(rows.dtype)
        return product if bias is None else product + bias

    def _gathered(self, rows: Tensor) -> Tensor:
        seen = rows.index_select(1, self.columns).unflatten(1, (-1, self.seen))  # (B, N', seen, C)
        return self.weights @ seen.to(self.weights.dtype)


def with_standard_ops(network: nn.Module) -> nn.Module:
    """A copy of a network, in evaluation mode, that calls no operator but torch's own."""
    twin = copy.deepcopy(network).eval()
    for module in [part for part in twin.modules() if isinstance(part, SparseOperator)]:
        gathered = GatheredStencil(module.stencil, module.pair.dtype).to(module.pair.device)
        for place in range(len(module.tables)):
            delattr(module, f"table_{place}")
        module.gathered = gathered
        module.times, module.convolve = gathered.times, gathered.convolve  # type: ignore[method-assign]
    for part in twin.modules():
        if isinstance(part, RowConvolution):
            part.fast = part.plain  # type: ignore[method-assign]
    return twin
