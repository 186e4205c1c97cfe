"""A network in words and numbers, before or after its training."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from omniconv.data.preprocessing import default_size
from omniconv.errors import InputError
from omniconv.models import Model, build
from omniconv.summaries import summary
from omniconv.surfaces import surface
from omniconv.tasks import TASKS
from omniconv.training.settings import RunConfig


def summarise(what: str, classes: int, settings: dict[str, Any]) -> str:
    """The table of layers of a task's network or of a run's.

    Args:
        what: a task or the folder of a run.
        classes: channels that come out of a task's network.
        settings: settings of a task's network.

    Raises:
        InputError: neither a task nor a run, or settings that do not fit.
    """
    if what not in TASKS:
        if not Path(what).exists():
            near = get_close_matches(what, TASKS, n=1)
            cure = f"did you mean {near[0]}?" if near else "check the path for a typing error"
            raise InputError("WHAT", what, f"must be one of {', '.join(TASKS)} or the folder of a run", cure)
        if settings:
            raise InputError(next(iter(settings)), next(iter(settings.values())), "is fixed in a run", "leave it out")
        return _of_run(what)
    config = RunConfig(task=what, **settings)
    config.check_model()
    where = surface(config.surface)
    size = config.size or default_size(where, [])
    return _table(build(config.network, config.network_arguments(classes)), size)


def _of_run(path: str) -> str:
    from omniconv.inference.predictor import Predictor

    predictor = Predictor.open(path, "cpu")
    return _table(predictor.model, predictor.preprocessing.size)


def _table(network: Model, size: tuple[int, ...]) -> str:
    """The table of a network that takes pictures of ``size``; a mesh knows its own."""
    return str(summary(network, (3, *(size if network.surface.any_size else ()))))
