"""Backends of sparse operators: omniconv's custom ops, or torch's own operators for networks that are exported.

A backend builds the integers and tensors that it needs of a stencil and computes with them. ``SparseOperator`` finds
them as its tables and can change its backend.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor

from omniconv.nn.stencil.halo_ops import halo_convolution
from omniconv.nn.stencil.layouts import unpack_layouts
from omniconv.nn.stencil.ops import stencil_convolution, stencil_matmul
from omniconv.nn.stencil.reference import reference_convolution, reference_halo_convolution, reference_matmul
from omniconv.nn.stencil.tables import ell_table, packed_layouts
from omniconv.nn.torch_private import needs_forward_ad
from omniconv.surfaces.neighbours.halo_stencil import HaloStencil
from omniconv.surfaces.neighbours.stencil import Stencil


class CustomOps:
    """Custom ops on the smallest layout of the stencil; the reference under forward-mode differentiation."""

    @staticmethod
    def build(stencil: Stencil, by_tap: bool) -> tuple[list[int], list[Tensor]]:
        """Return the integers and tensors of a stencil, ``by_tap`` if they are for ``convolve``."""
        return packed_layouts(stencil, by_tap)

    def matmul(self, x: Tensor, plan: list[int], tables: list[Tensor]) -> Tensor:
        """Multiply by every operator: ``(B, N, C)`` to ``(B, N' · taps, C)``."""
        if needs_forward_ad():
            return reference_matmul(x, unpack_layouts(plan, tables)[0])
        return stencil_matmul(x, plan, tables)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None, plan: list[int], tables: list[Tensor]) -> Tensor:
        """Multiply by every operator, then by a weight ``(taps · C, O)``: ``(B, N, C)`` to ``(B, N', O)``."""
        if needs_forward_ad():
            return reference_convolution(x, weight, bias, unpack_layouts(plan, tables)[0])
        return stencil_convolution(x, weight, bias, plan, tables)


class HaloOps(CustomOps):
    """Dense convolution on padded faces; the tables are those of the halo, preceded by positions on the faces."""

    @staticmethod
    def build(stencil: Stencil, by_tap: bool) -> tuple[list[int], list[Tensor]]:
        windows = cast(HaloStencil, stencil.computed)
        faces = torch.from_numpy(windows.faces.astype(np.int32))
        plan, tables = packed_layouts(windows.halo, by_tap=False)
        return plan, [faces, faces.flatten().argsort().int(), *tables]

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None, plan: list[int], tables: list[Tensor]) -> Tensor:
        faces, order, *halo = tables
        kernel = weight.view(3, 3, -1, weight.shape[1]).permute(3, 2, 0, 1)
        if needs_forward_ad():
            return reference_halo_convolution(x, kernel, bias, faces, order, unpack_layouts(plan, halo)[0])
        return halo_convolution(x, kernel, bias, faces, order, plan, halo)


class StandardOps:
    """Gather and dense matrix product in torch's own operators, for ONNX and programs that run without omniconv.

    Example:
        >>> ring = Stencil.from_table(np.array([[0, 1], [1, 2], [2, 0]]), inputs=3)
        >>> plan, tables = StandardOps().build(ring, by_tap=False)
        >>> x = torch.tensor([[[1.0], [2.0], [3.0]]])
        >>> StandardOps().matmul(x, plan, tables).flatten().tolist()
        [1.0, 2.0, 2.0, 3.0, 3.0, 1.0]
    """

    @staticmethod
    def build(stencil: Stencil, by_tap: bool) -> tuple[list[int], list[Tensor]]:
        """Return indices ``(N' · width,)`` and values ``(N', taps, width)`` of the ELL layout."""
        table = ell_table(stencil)
        return [table.samples.shape[1]], [torch.from_numpy(table.samples.reshape(-1)), torch.from_numpy(table.values)]

    def matmul(self, x: Tensor, plan: list[int], tables: list[Tensor]) -> Tensor:
        return self._gather(x, plan, tables).flatten(1, 2).to(x.dtype)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None, plan: list[int], tables: list[Tensor]) -> Tensor:
        gathered = self._gather(x, plan, tables).flatten(2)
        product = (gathered @ weight.to(gathered.dtype)).to(x.dtype)
        return product if bias is None else product + bias

    def _gather(self, x: Tensor, plan: list[int], tables: list[Tensor]) -> Tensor:
        (width,), (indices, values) = plan, tables
        return values @ x.index_select(1, indices).unflatten(1, (-1, width)).to(values.dtype)  # (B, N', taps, C)


Backend = CustomOps | StandardOps
"""Strategy of a ``SparseOperator``: ``build``, ``matmul`` and ``convolve``."""
