"""Base class of the training tasks."""

from __future__ import annotations

from abc import ABC
from typing import Literal

Output = Literal["dense", "global"]
"""Output of a network: a vector per sample of the surface, or one vector per image."""


class Task(ABC):
    """A task that networks are trained for; one object serves every run.

    Attributes:
        name: name on the command line and in the files of a run.
        output: output that the task needs of a network.
        default_model: name in ``omniconv.models.MODELS`` of the network used unless another one is chosen.
        best_metric: validation metric that selects the best epoch.
        maximize: whether a larger ``best_metric`` is better.
    """

    name: str
    output: Output
    default_model: str
    best_metric: str
    maximize: bool = True
