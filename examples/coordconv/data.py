"""Not-so-Clevr data: one 9×9 square at each possible position of 64×64 pixels, and its two splits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

SIZE, RADIUS = 64, 4
SPLITS = ("uniform", "quadrant")
UNIFORM_SEED, UNIFORM_SHARE = 20202, 0.25  # as published: one random number for each position in order


@dataclass(frozen=True)
class Split:
    """Split of all positions into training and test.

    Args:
        name: ``uniform`` or ``quadrant``.
        positions: centres (x, y) of the squares in pixels, ``(3136, 2)``.
        held_out: True for test positions, ``(3136,)``.
    """

    name: str
    positions: Tensor
    held_out: Tensor

    @property
    def train(self) -> Tensor:
        """Training positions."""
        return self.positions[~self.held_out]

    @property
    def test(self) -> Tensor:
        """Test positions."""
        return self.positions[self.held_out]

    def thinned(self, step: int) -> Split:
        """Return a split of every ``step``-th position."""
        return Split(self.name, self.positions[::step], self.held_out[::step])


def centres() -> Tensor:
    """Return all 3,136 centres (x, y) of squares inside the canvas; x varies slowest."""
    line = torch.arange(RADIUS, SIZE - RADIUS)
    return torch.cartesian_prod(line, line)


def split(name: str) -> Split:
    """Return a published split: ``uniform`` holds out about a random quarter, ``quadrant`` the lower right corner.

    Example:
        >>> len(split("quadrant").train), len(split("quadrant").test)
        (2407, 729)
    """
    positions = centres()
    held_out = _random_quarter(len(positions)) if name == "uniform" else (positions > SIZE // 2).all(1)
    return Split(name, positions, held_out)


def one_hots(positions: Tensor) -> Tensor:
    """Return images ``(n, 1, 64, 64)`` that are 1 at the position (x, y) and 0 elsewhere."""
    return F.one_hot(labels(positions), SIZE * SIZE).view(-1, 1, SIZE, SIZE).float()


def squares(positions: Tensor) -> Tensor:
    """Return images ``(n, 1, 64, 64)`` of the square around each position: one-hot images convolved with 9×9 ones."""
    side = 2 * RADIUS + 1
    return F.conv2d(one_hots(positions), torch.ones(1, 1, side, side, device=positions.device), padding=RADIUS)


def labels(positions: Tensor) -> Tensor:
    """Return the index y · 64 + x of each position's pixel."""
    return positions[:, 1] * SIZE + positions[:, 0]


def _random_quarter(count: int) -> Tensor:
    # NumPy's legacy generator, which the published code used; its stream is frozen.
    return torch.from_numpy(np.random.RandomState(UNIFORM_SEED).random_sample(count) < UNIFORM_SHARE)
