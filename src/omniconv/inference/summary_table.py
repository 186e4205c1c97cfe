"""Table of the layers of a network, before or after its training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omniconv.checks import did_you_mean
from omniconv.data.preprocessing import default_size
from omniconv.errors import InputError
from omniconv.inference.predictor import Predictor
from omniconv.models import Model, build
from omniconv.summaries import summary
from omniconv.surfaces import surface
from omniconv.tasks import TASKS
from omniconv.training.settings import RunConfig


def summary_table(what: str, classes: int, settings: dict[str, Any]) -> str:
    """Return the table of layers of a task's network or of a run's.

    Args:
        what: a task or the folder of a run.
        classes: output channels of a task's network.
        settings: settings of a task's network.

    Raises:
        InputError: neither a task nor a run, or settings that do not fit.
    """
    if what in TASKS:
        config = RunConfig(task=what, **settings)
        config.check_model()
        network = build(config.network, config.network_arguments(classes))
        return _table(network, config.size or default_size(surface(config.surface), []))
    if not Path(what).exists():
        cure = did_you_mean(what, TASKS, "check the path for a typing error")
        raise InputError("WHAT", what, f"must be one of {', '.join(TASKS)} or the folder of a run", cure)
    if settings:
        name, value = next(iter(settings.items()))
        raise InputError(name, value, "cannot be changed for the network of a run", "leave it out")
    predictor = Predictor.open(what, "cpu")
    return _table(predictor.model, predictor.preprocessing.size)


def _table(network: Model, size: tuple[int, ...]) -> str:
    grid = size if network.surface.any_size else ()
    return str(summary(network, (network.arguments["in_channels"], *grid)))
