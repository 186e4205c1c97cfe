"""A network of standard operators only."""

from __future__ import annotations

import copy

from torch import nn

from omniconv.nn.rows.modules import RowConvolution
from omniconv.nn.stencil.modules import SparseOperator


def with_standard_ops(network: nn.Module) -> nn.Module:
    """Return a copy of a network, in evaluation mode, that calls no custom op of omniconv."""
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        if isinstance(module, SparseOperator | RowConvolution):
            module.use_standard_ops()
    return network
