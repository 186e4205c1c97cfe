"""The formulas for open sizes hold for numbers too: there they are held against the layers' own."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from omniconv.nn.grid.padding import pad, pad_adjoint
from omniconv.nn.grid.resize import resize
from omniconv.nn.grid.symbolic_padding import pad_axis, pad_axis_adjoint
from omniconv.nn.grid.symbolic_resize import resize_symbolic
from omniconv.surfaces import Border

MODES = ("zeros", "reflect", "replicate", "circular")
PAIRS = [*product(MODES, MODES), ("pole", "pole"), ("pole", "zeros")]
AMOUNTS = [(0, 0), (2, 1), (0, 4), (3, 0), (23, 17)]
PADDED = [(modes, amounts) for modes in PAIRS for amounts in AMOUNTS if "reflect" not in modes or max(amounts) < 5]
BORDERS = [Border.of(mode, 2) for mode in ("zeros", "circular")] + [Border.of(("pole", "circular"), 2)]


def bordered(modes):
    return Border((modes, ("circular", "circular")), 2.5)


@pytest.mark.parametrize(("modes", "amounts"), PADDED, ids=str)
def test_padding_by_index_is_padding_by_strips(modes, amounts):
    x = torch.randn(2, 3, 5, 8, dtype=torch.float64)
    sides = [amounts, (0, 0)]
    padded = pad(x, sides, bordered(modes))
    assert torch.equal(pad_axis(x, 2, amounts, modes, 2.5), padded)
    y = torch.randn_like(padded)
    torch.testing.assert_close(pad_axis_adjoint(y, 2, amounts, modes), pad_adjoint(y.clone(), sides, bordered(modes)))


@pytest.mark.parametrize("border", BORDERS, ids=str)
@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("size", [(3, 4), (2, 3), (5, 7), (6, 8), (12, 16), (7, 11), (9, 20), (1, 1)], ids=str)
def test_resizing_by_weights_is_resizing(border, mode, size):
    x = torch.randn(2, 3, 6, 8, dtype=torch.float64)
    right = resize(x, size, border, mode)
    torch.testing.assert_close(resize_symbolic(x, size, border, mode, grows=False), right, rtol=1e-6, atol=1e-6)


def test_nearest_rounds_as_torch_does():
    for old, new in product(range(1, 40), range(1, 40)):
        x = torch.arange(float(old)).view(1, 1, 1, old)
        right = resize(x, (1, new), BORDERS[0], "nearest")
        assert torch.equal(resize_symbolic(x, (1, new), BORDERS[0], "nearest", grows=False), right)
