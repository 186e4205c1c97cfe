"""The three tasks: input, loss and score of a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from examples.coordconv.data import SIZE, labels, one_hots, squares

NETWORKS = ("convolution", "coordconv")
REGRESSION_RANGE = 4.0  # pixels; larger errors have the lowest colour in the figure


@dataclass(frozen=True)
class Task:
    """One task.

    Args:
        name: name of the task.
        measure: name and unit of the score.
        level: mean training score at which the training set counts as fitted.
        inputs: network inputs from positions (n, 2) in pixels; the flag scales them to [−1, 1].
        loss: loss from an output and positions.
        score: score of each output, ``(n,)``, from outputs and positions.
        quality: scores mapped to 0 (wrong) … 1 (right), for the figure.
    """

    name: str
    measure: str
    level: float
    inputs: Callable[[Tensor, bool], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]
    score: Callable[[Tensor, Tensor], Tensor]
    quality: Callable[[Any], Any]

    def is_fitted(self, mean: float) -> bool:
        """Return True once a mean score has reached the level; only the score of regression is better when smaller."""
        return mean <= self.level if self.name == "regression" else mean >= self.level


def as_coordinates(positions: Tensor, scaled: bool) -> Tensor:
    """Return positions from −1 to 1, as the coordinates of CoordConv are, or in pixels as published."""
    return positions.float() * (2 / (SIZE - 1)) - 1 if scaled else positions.float()


def as_images(positions: Tensor, scaled: bool) -> Tensor:
    """Return one-hot images; ``scaled`` has no effect."""
    return one_hots(positions)


def is_correct(output: Tensor, positions: Tensor) -> Tensor:
    """Return 1 where the largest logit is that of the position's pixel, else 0."""
    return (output.flatten(1).argmax(1) == labels(positions)).float()


def distance(output: Tensor, positions: Tensor) -> Tensor:
    """Return the distance of predicted and true positions in pixels."""
    return (SIZE * output - positions).norm(dim=1)


def iou(output: Tensor, positions: Tensor) -> Tensor:
    """Return the IoU of the square and the pixels with a probability above one half."""
    predicted, true = (output > 0).flatten(1), (squares(positions) > 0.5).flatten(1)
    return (predicted & true).sum(1) / (predicted | true).sum(1)


def closeness(pixels: Any) -> Any:
    """Return 1 at a distance of 0, falling linearly to 0 at four pixels."""
    return 1 - (pixels / REGRESSION_RANGE).clip(0, 1)


def _pixel_loss(output: Tensor, positions: Tensor) -> Tensor:
    return F.cross_entropy(output.flatten(1), labels(positions))


def _position_loss(output: Tensor, positions: Tensor) -> Tensor:
    return F.mse_loss(output, positions / SIZE)


def _rendering_loss(output: Tensor, positions: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(output, squares(positions))


TASKS = {
    task.name: task
    for task in (
        Task("classification", "accuracy", 1.0, as_coordinates, _pixel_loss, is_correct, lambda hits: hits),
        Task("regression", "distance in pixels", 0.5, as_images, _position_loss, distance, closeness),
        Task("rendering", "IoU", 0.99, as_coordinates, _rendering_loss, iou, lambda shares: shares),
    )
}
