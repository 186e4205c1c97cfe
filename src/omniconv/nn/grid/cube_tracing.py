"""Index tables of cube padding for traced programs.

A module of its own, imported only while torch traces: ``allow_in_graph`` imports ``torch._dynamo``, which took 1.4 s of
the 1.8 s that ``import omniconv.nn`` needed beside torch (torch 2.13, one core of an AMD EPYC).
"""

import torch
from torch import Tensor

from omniconv.nn.grid.cube_padding import Sides, cube_indices


@torch.compiler.allow_in_graph
def indices_in_graph(x: Tensor, *strip: Sides) -> Tensor:
    """Return the indices as a new tensor: a graph may not keep the cached one, which other programs share."""
    # With dynamic=True sizes are SymInt, which is not hashable, although those of a cube are known.
    sides = [(int(first), int(last)) for first, last in strip]
    return torch.tensor(cube_indices(int(x.shape[-1]), *sides), device=x.device)
