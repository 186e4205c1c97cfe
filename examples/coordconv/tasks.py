"""The three tasks: what a network is given, what it is told, and how it is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from examples.coordconv.data import SIZE, labels, one_hots, squares

NETWORKS = ("convolution", "coordconv")
REGRESSION_RANGE = 4.0  # pixels: a position told that far off counts nothing in the figure


@dataclass(frozen=True)
class Task:
    """A task.

    Args:
        name: of the task.
        measure: what ``score`` is called, with its unit.
        level: the mean score of the training set that counts as learnt.
        inputs: what the network is given for positions (n, 2) in pixels; the flag scales them to −1 … 1.
        loss: of an output for positions.
        score: of each output for its position, ``(n,)``.
        quality: of scores, from 0 (wrong) to 1 (right), for the figure.
    """

    name: str
    measure: str
    level: float
    inputs: Callable[[Tensor, bool], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]
    score: Callable[[Tensor, Tensor], Tensor]
    quality: Callable[[Any], Any]

    def learnt(self, mean: float) -> bool:
        """Whether a mean score has come to the level; only regression's gets better as it falls."""
        return mean <= self.level if self.name == "regression" else mean >= self.level


def as_numbers(positions: Tensor, scaled: bool) -> Tensor:
    """Positions as a network is given them: from −1 to 1 as CoordConv's own coordinates, or in pixels as published."""
    return positions.float() * (2 / (SIZE - 1)) - 1 if scaled else positions.float()


def as_pictures(positions: Tensor, scaled: bool) -> Tensor:
    """One-hot pictures; there is nothing to scale."""
    return one_hots(positions)


def right_pixel(output: Tensor, positions: Tensor) -> Tensor:
    """1 where the largest logit is that of the position's pixel, 0 elsewhere."""
    return (output.flatten(1).argmax(1) == labels(positions)).float()


def distance(output: Tensor, positions: Tensor) -> Tensor:
    """How many pixels lie between the position told and the true one."""
    return (SIZE * output - positions).norm(dim=1)


def overlap(output: Tensor, positions: Tensor) -> Tensor:
    """Intersection over union of the square and the pixels painted with a probability above one half."""
    painted, true = (output > 0).flatten(1), (squares(positions) > 0.5).flatten(1)
    return (painted & true).sum(1) / (painted | true).sum(1)


def closeness(pixels: Any) -> Any:
    """1 at a distance of 0, falling to 0 at four pixels."""
    return 1 - (pixels / REGRESSION_RANGE).clip(0, 1)


def _pixel_loss(output: Tensor, positions: Tensor) -> Tensor:
    return F.cross_entropy(output.flatten(1), labels(positions))


def _position_loss(output: Tensor, positions: Tensor) -> Tensor:
    return F.mse_loss(output, positions / SIZE)


def _picture_loss(output: Tensor, positions: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(output, squares(positions))


TASKS = {
    task.name: task
    for task in (
        Task("classification", "accuracy", 1.0, as_numbers, _pixel_loss, right_pixel, lambda hits: hits),
        Task("regression", "distance in pixels", 0.5, as_pictures, _position_loss, distance, closeness),
        Task("rendering", "IoU", 0.99, as_numbers, _picture_loss, overlap, lambda shares: shares),
    )
}
