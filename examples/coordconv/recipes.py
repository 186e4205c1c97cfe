"""Training settings of each network: ours, a quick one and the published ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from examples.coordconv import networks


@dataclass(frozen=True)
class Recipe:
    """Training settings for Adam.

    Args:
        epochs: largest number; training stops earlier once the training set is fitted.
        batch_size: positions in a step.
        learning_rate: initial learning rate.
        weight_decay: L2 penalty on kernels.
        schedule: ``cosine`` to 0, ``steps`` (factor 0.1 every fifth of the epochs) or ``none``.
        init: ``he`` (the paper's), ``he, zero coordinates`` (weights of coordinates are 0) or ``default`` (as the
            layers initialise themselves).
        scaled: positions are given from −1 to 1, not in pixels.
        eval_every: epochs between evaluations.
        patience: evaluations in a row at the task's level before training stops; 0 never stops it.
        epsilon: epsilon of Adam; gradients through a softmax over the canvas are smaller than the default 1e-8.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.0
    schedule: str = "cosine"
    init: str = "he"
    scaled: bool = True
    eval_every: int = 1
    patience: int = 2
    epsilon: float = 1e-8


OURS = {
    ("classification", "coordconv"): Recipe(epochs=3, batch_size=4, learning_rate=0.005, weight_decay=1e-3, patience=0),
    ("classification", "convolution"): Recipe(epochs=40, batch_size=32, learning_rate=0.01, eval_every=5),
    ("regression", "coordconv"): Recipe(
        epochs=10, batch_size=8, learning_rate=0.001, weight_decay=1e-5, init="he, zero coordinates", patience=0
    ),
    ("regression", "convolution"): Recipe(epochs=20, batch_size=16, learning_rate=0.001, weight_decay=1e-5, patience=0),
    ("rendering", "coordconv"): Recipe(3, 4, 0.005, init="default", patience=0, epsilon=1e-15),
    ("rendering", "convolution"): Recipe(epochs=15, batch_size=32, learning_rate=0.01, eval_every=5),
}
PUBLISHED = {
    ("classification", "coordconv"): Recipe(100, 16, 0.005, 1e-3, "none", scaled=False, patience=0),
    ("classification", "convolution"): Recipe(2000, 16, 0.01, 1e-3, "steps", scaled=False, eval_every=20, patience=0),
    ("regression", "coordconv"): Recipe(100, 256, 0.01, 1e-5, "none", patience=0),
    ("regression", "convolution"): Recipe(100, 256, 0.01, 1e-5, "none", patience=0),
    ("rendering", "coordconv"): Recipe(100, 16, 0.005, 1e-3, "none", scaled=False, patience=0),
    ("rendering", "convolution"): Recipe(2000, 16, 0.01, 1e-3, "steps", scaled=False, eval_every=20, patience=0),
}


QUICK_STEP = 5


def quick(recipe: Recipe) -> Recipe:
    """Return settings for one epoch, to be used with every fifth position; its numbers mean nothing.

    Example:
        >>> quick(OURS["regression", "coordconv"]).epochs
        1
    """
    return replace(recipe, epochs=1)


def network_for(task: str, kind: str, split: str, multiple: int) -> nn.Module:
    """Return the network of a task; only the convolutional regressor differs between the splits."""
    convolutional: Callable[[], nn.Module]
    if task == "regression":
        regressor = networks.dense_regressor if split == "uniform" else networks.convolutional_regressor
        coordinate, convolutional = networks.coordinate_regressor, lambda: regressor(multiple)
    else:
        coordinate = networks.CoordinateClassifier if task == "classification" else networks.CoordinateRenderer
        convolutional = lambda: networks.Deconvolution(3, multiple)  # noqa: E731
    return coordinate() if kind == "coordconv" else convolutional()
