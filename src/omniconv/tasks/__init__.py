"""Training tasks: everything that depends on what a network is trained for, one file a task.

A [`Task`][omniconv.tasks.base.Task] defines how targets are found and read, the default network, the loss and the
metrics, and how predictions are computed, written, drawn and tabulated. ``training``, ``inference``, ``runs``,
``exporting`` and the command line call the task object and never compare its name.

To add a task, write a subclass of ``Task`` in a file of this package and add a line to ``TASKS``; a program that uses
omniconv calls ``register_task``. ``get_task`` imports a task when it is first used, since tasks import torch.
"""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, NamedTuple

from omniconv.checks import check_choice
from omniconv.errors import InputError

if TYPE_CHECKING:
    from omniconv.tasks.base import Task

__all__ = ["TASKS", "TaskEntry", "get_task", "register_task"]


class TaskEntry(NamedTuple):
    """Entry of the registry.

    Attributes:
        data: short description of the folder layout that the task expects, for ``--help``.
        predictions: the files that ``omniconv predict`` writes, for ``--help``.
        task: the task, or where to import its class from, ``module:Class``.
    """

    data: str
    predictions: str
    task: Task | str


TASKS: dict[str, TaskEntry] = {
    "classify": TaskEntry(
        "a folder of images per class", "predictions.csv and overview.png", "omniconv.tasks.classify:Classify"
    ),
    "segment": TaskEntry(
        "images/ and masks/, whose pixels are class indices or 255, which is ignored",
        "labels/ (PNG, the class index of each pixel) and overlays/ (the classes in colour over the image)",
        "omniconv.tasks.segment:Segment",
    ),
}
"""The known tasks by name."""


def get_task(name: str) -> Task:
    """Return the task of a name.

    Raises:
        InputError: no task has that name.

    Example:
        >>> get_task("segment").default_model
        'unet'
    """
    entry = TASKS[check_choice("task", name, TASKS)]
    if isinstance(entry.task, str):
        entry = TASKS[name] = entry._replace(task=resolve_name(entry.task)())
    return entry.task  # type: ignore[return-value]  # no longer a string


def register_task(task: Task, data: str, predictions: str = "its own files") -> None:
    """Add a task under its name, so that every command accepts it.

    Args:
        task: the task.
        data: short description of the folder layout that it expects, for ``--help``.
        predictions: the files that ``omniconv predict`` writes, for ``--help``.

    Raises:
        InputError: another task has that name, or ``task`` is no ``Task``.
    """
    from omniconv.tasks.base import Task  # late: it imports torch, and this module

    if not isinstance(task, Task):
        raise InputError("task", task, "must be an instance of omniconv.tasks.base.Task", "derive the task from it")
    if task.name in TASKS:
        raise InputError("task", task.name, "is the name of another task", "choose another name")
    TASKS[task.name] = TaskEntry(data, predictions, task)
