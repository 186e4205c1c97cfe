"""A layer of PyTorch and one of omniconv on the same signal: outputs and gradients.

Where both hand the same numbers to the same function of the backend, results have to be equal to the last bit, also in
bfloat16; where they add in another order (gradients of padding, means of windows that hang over), nearly so.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

RANKS = (1, 2, 3)
DTYPES = (torch.float32, torch.float64, torch.bfloat16)
LIMITS = {torch.float32: 1e-5, torch.float64: 1e-13, torch.bfloat16: 2e-2}
SIZES = (7, 8, 9)
each_precision = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))
each_rank = pytest.mark.parametrize("rank", RANKS)


def torch_layer(name, rank, *arguments, **options):
    return getattr(nn, f"{name}{rank}d")(*arguments, **options)


def signal(rank, dtype, channels=4, least=-2.0):
    """Return random float64 numbers rounded to ``dtype``, so that a window seldom has two maxima."""
    shape = (2, channels, *SIZES[:rank])
    return (least + 4 * torch.rand(shape, dtype=torch.float64)).to(dtype)


def outcomes(x, *layers):
    """Return for each layer the output and the gradients of input and parameters."""
    found = []
    for layer in layers:
        inner = x.clone().requires_grad_()
        y = layer(inner)
        outgoing = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).view(y.shape).to(y.dtype)
        found.append([y.detach(), *torch.autograd.grad(y, [inner, *layer.parameters()], outgoing)])
    return found


def assert_close(found, wanted):
    limit = LIMITS[wanted.dtype]
    torch.testing.assert_close(found, wanted, rtol=limit, atol=limit * max(float(wanted.abs().max()), 1.0))


def assert_alike(x, theirs, ours, loose=()):
    """Compare output (0), gradient of the input (1) and of the parameters; those in ``loose`` with a tolerance.

    The others come from the same torch function with the same arguments, and are equal to the last bit.
    """
    for number, (wanted, found) in enumerate(zip(*outcomes(x, theirs, ours), strict=True)):
        assert found.dtype == wanted.dtype == x.dtype
        if number in loose:
            assert_close(found, wanted)
        else:
            assert torch.equal(found, wanted), (number, ours)


class AsModule(nn.Module):
    """Module that calls a function."""

    def __init__(self, function):
        super().__init__()
        self.forward = function
