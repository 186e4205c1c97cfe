"""Not-so-Clevr: one 9×9 square on a canvas of 64×64 pixels, wherever it fits, and which of them are held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

SIZE, RADIUS = 64, 4
SPLITS = ("uniform", "quadrant")
UNIFORM_SEED, UNIFORM_SHARE = 20202, 0.25  # of the published generator: one draw for each position in turn


@dataclass(frozen=True)
class Split:
    """Which of all positions are held out.

    Args:
        name: ``uniform`` or ``quadrant``.
        positions: centres (x, y) of squares in whole pixels, ``(3136, 2)``.
        held_out: whether a position is kept for the test, ``(3136,)``.
    """

    name: str
    positions: Tensor
    held_out: Tensor

    @property
    def train(self) -> Tensor:
        """The positions to learn from."""
        return self.positions[~self.held_out]

    @property
    def test(self) -> Tensor:
        """The positions held out."""
        return self.positions[self.held_out]

    def thinned(self, step: int) -> Split:
        """Every ``step``-th position of it."""
        return Split(self.name, self.positions[::step], self.held_out[::step])


def centres() -> Tensor:
    """All 3,136 centres (x, y), x the slower one, of squares that lie on the canvas."""
    line = torch.arange(RADIUS, SIZE - RADIUS)
    return torch.cartesian_prod(line, line)


def split(name: str) -> Split:
    """The published splits: ``uniform`` holds out about a quarter drawn at random, ``quadrant`` the far corner.

    Example:
        >>> len(split("quadrant").train), len(split("quadrant").test)
        (2407, 729)
    """
    found = centres()
    return Split(name, found, _drawn(len(found)) if name == "uniform" else (found > SIZE // 2).all(1))


def one_hots(positions: Tensor) -> Tensor:
    """Pictures ``(n, 1, 64, 64)`` that are 1 at the position (x, y) and 0 elsewhere."""
    return F.one_hot(labels(positions), SIZE * SIZE).view(-1, 1, SIZE, SIZE).float()


def squares(positions: Tensor) -> Tensor:
    """Pictures ``(n, 1, 64, 64)`` of the square around each position: the one-hot convolved with 9×9 ones."""
    side = 2 * RADIUS + 1
    return F.conv2d(one_hots(positions), torch.ones(1, 1, side, side, device=positions.device), padding=RADIUS)


def labels(positions: Tensor) -> Tensor:
    """The index y · 64 + x of each position's pixel."""
    return positions[:, 1] * SIZE + positions[:, 0]


def _drawn(count: int) -> Tensor:
    """The coins of the published code, from NumPy's legacy generator, whose numbers are frozen for good."""
    coins = np.random.RandomState(UNIFORM_SEED).random_sample(count)  # the one that was used
    return torch.from_numpy(coins < UNIFORM_SHARE)
