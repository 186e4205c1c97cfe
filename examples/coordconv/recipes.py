"""How long and how fast each network learns: our schedule, a quick one, and the published one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from examples.coordconv import networks


@dataclass(frozen=True)
class Recipe:
    """How a network is trained with Adam.

    Args:
        epochs: at most; a network that has learnt its training set stops before.
        batch: positions in a step.
        rate: learning rate at the beginning.
        decay: L2 on kernels.
        fall: ``cosine`` to 0, ``steps`` (a tenth every fifth of the epochs) or ``none``.
        drawn: first weights by ``he`` (the paper's), by he but ``blind`` (those of coordinates begin at 0), or as the
            ``layers`` draw them.
        scaled: positions are given from −1 to 1, not in pixels.
        every: epochs from one measurement to the next.
        patience: measurements in a row at the task's level before a training stops; 0 never stops it.
        epsilon: Adam's; gradients that come through a softmax over the canvas are smaller than the usual 1e-8.
    """

    epochs: int
    batch: int
    rate: float
    decay: float = 0.0
    fall: str = "cosine"
    drawn: str = "he"
    scaled: bool = True
    every: int = 1
    patience: int = 2
    epsilon: float = 1e-8


OURS = {
    ("classification", "coordconv"): Recipe(epochs=3, batch=4, rate=0.005, decay=1e-3, patience=0),
    ("classification", "convolution"): Recipe(epochs=40, batch=32, rate=0.01, every=5),
    ("regression", "coordconv"): Recipe(epochs=10, batch=8, rate=0.001, decay=1e-5, drawn="blind", patience=0),
    ("regression", "convolution"): Recipe(epochs=20, batch=16, rate=0.001, decay=1e-5, patience=0),
    ("rendering", "coordconv"): Recipe(3, 4, 0.005, drawn="layers", patience=0, epsilon=1e-15),
    ("rendering", "convolution"): Recipe(epochs=15, batch=32, rate=0.01, every=5),
}
PUBLISHED = {
    ("classification", "coordconv"): Recipe(100, 16, 0.005, 1e-3, "none", scaled=False, patience=0),
    ("classification", "convolution"): Recipe(2000, 16, 0.01, 1e-3, "steps", scaled=False, every=20, patience=0),
    ("regression", "coordconv"): Recipe(100, 256, 0.01, 1e-5, "none", patience=0),
    ("regression", "convolution"): Recipe(100, 256, 0.01, 1e-5, "none", patience=0),
    ("rendering", "coordconv"): Recipe(100, 16, 0.005, 1e-3, "none", scaled=False, patience=0),
    ("rendering", "convolution"): Recipe(2000, 16, 0.01, 1e-3, "steps", scaled=False, every=20, patience=0),
}


QUICK_STEP = 5


def quick(recipe: Recipe) -> Recipe:
    """One epoch of it, for every fifth position: a look, no result.

    Example:
        >>> quick(OURS["regression", "coordconv"]).epochs
        1
    """
    return replace(recipe, epochs=1)


def network_for(task: str, kind: str, split: str, multiple: int) -> nn.Module:
    """The network of a task: CoordConv's is the same on both splits, the regression by convolution is not."""
    plain: Callable[[], nn.Module]
    if task == "regression":
        of_split = networks.dense_regressor if split == "uniform" else networks.convolutional_regressor
        own, plain = networks.coordinate_regressor, lambda: of_split(multiple)
    else:
        own = networks.CoordinatePainter if task == "classification" else networks.CoordinateRenderer
        plain = lambda: networks.Deconvolution(3, multiple)  # noqa: E731
    return own() if kind == "coordconv" else plain()
