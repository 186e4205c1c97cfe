"""Formulas for symbolic sizes, applied to numbers, equal the operators for known sizes."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from omniconv.nn.grid.resize import resize
from omniconv.nn.grid.symbolic_resize import resize_symbolic
from omniconv.surfaces import Border

BORDERS = [Border.of(mode, 2) for mode in ("zeros", "circular")] + [Border.of(("pole", "circular"), 2)]


@pytest.mark.parametrize("border", BORDERS, ids=str)
@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("size", [(3, 4), (2, 3), (5, 7), (6, 8), (12, 16), (7, 11), (9, 20), (1, 1)], ids=str)
def test_symbolic_resize_equals_resize(border, mode, size):
    x = torch.randn(2, 3, 6, 8, dtype=torch.float64)
    right = resize(x, size, border, mode)
    torch.testing.assert_close(resize_symbolic(x, size, border, mode, grows=False), right, rtol=1e-6, atol=1e-6)


def test_symbolic_nearest_rounds_as_torch():
    for old, new in product(range(1, 40), range(1, 40)):
        x = torch.arange(float(old)).view(1, 1, 1, old)
        right = resize(x, (1, new), BORDERS[0], "nearest")
        assert torch.equal(resize_symbolic(x, (1, new), BORDERS[0], "nearest", grows=False), right)
