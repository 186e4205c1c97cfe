"""Training tasks: everything that depends on what a network is trained for, one file a task.

A [`Task`][omniconv.tasks.base.Task] says how targets are found and read, which network serves it, which loss and
metrics it has, and how predictions are computed, written, drawn and tabulated. ``training``, ``inference``, ``runs``,
``exporting``, ``audit`` and the command line call the task object and never compare its name.

To add a task, write a subclass of ``Task`` in a file of this package and add a line to ``TASKS``; a task of your own
program is added by ``register_task``. ``TASKS`` itself imports no task: ``get_task`` does, since tasks import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from omniconv.checks import check_choice, did_you_mean
from omniconv.errors import InputError

if TYPE_CHECKING:
    from omniconv.tasks.base import Task

__all__ = ["TASKS", "TaskEntry", "get_task", "register_task"]


class TaskEntry(NamedTuple):
    """A line of the registry.

    Attributes:
        data: the folder layout that the task expects, in a few words for ``--help``.
        task: the task, or the module and the name of its class, ``module:Class``.
    """

    data: str
    task: Task | str


TASKS: dict[str, TaskEntry] = {
    "classify": TaskEntry("a folder of images per class", "omniconv.tasks.classify:Classify"),
    "segment": TaskEntry("images/ and masks/", "omniconv.tasks.segment:Segment"),
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
    entry = TASKS[check_choice("task", name, TASKS, did_you_mean(name, TASKS, f"use {next(iter(TASKS))}"))]
    if isinstance(entry.task, str):
        module, _, class_name = entry.task.partition(":")
        entry = TASKS[name] = entry._replace(task=getattr(import_module(module), class_name)())
    return entry.task  # type: ignore[return-value]  # no longer a text


def register_task(task: Task, data: str) -> None:
    """Add a task under its name, so that every command takes it.

    Args:
        task: the task.
        data: the folder layout that it expects, in a few words for ``--help``.

    Raises:
        InputError: another task has that name.
    """
    if task.name in TASKS:
        raise InputError("task", task.name, "is the name of another task", "choose another name")
    TASKS[task.name] = TaskEntry(data, task)
