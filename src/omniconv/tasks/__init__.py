"""Training tasks: everything that depends on what a network is trained for, one file a task.

A [`Task`][omniconv.tasks.base.Task] defines how targets are found and read, the default network, the loss and the
metrics, and how predictions are computed, written, drawn and tabulated. ``training``, ``inference``, ``runs``,
``exporting`` and the command line call the task object and never compare its name.

A task may have several methods, such as the kinds of generative networks: each is a ``Task`` of its own with the same
``name`` and another ``method``. ``--method`` chooses one, and the files of a run keep it.

To add a task, write a subclass of ``Task`` in a file of this package and add a line to ``TASKS``; a program that uses
omniconv calls ``register_task``. ``get_task`` imports a task when it is first used, since tasks import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pkgutil import resolve_name
from types import MappingProxyType
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
        task: the task, or where to import its class from, ``module:Class``; not used for a task with methods.
        methods: the task of each method, by the method's name, or where to import its class from; the first one is the
            default. Empty for a task without methods.
    """

    data: str
    predictions: str
    task: Task | str = ""
    methods: Mapping[str, Task | str] = MappingProxyType({})


TASKS: dict[str, TaskEntry] = {
    "classify": TaskEntry(
        "a folder of images per class", "predictions.csv and overview.png", "omniconv.tasks.classify:Classify"
    ),
    "multilabel": TaskEntry(
        "images and labels.csv with the columns image,CLASS,CLASS,... of 0 and 1, or image,labels with a;b",
        "predictions.csv and overview.png",
        "omniconv.tasks.multilabel:MultiLabel",
    ),
    "segment": TaskEntry(
        "images/ and masks/, whose pixels are class indices or 255, which is ignored",
        "labels/ (PNG, the class index of each pixel), overlays/ (the classes in colour over the image) and counts.csv "
        "(objects and share of the area of each class)",
        "omniconv.tasks.segment:Segment",
    ),
    "restore": TaskEntry(
        "images/ and targets/, the true outputs of the same names; for networks of your own",
        "restored/ (PNG, the network's image)",
        "omniconv.tasks.restore:Restore",
    ),
    "inpaint": TaskEntry(
        "images in any subfolders; holes are drawn, or given by images/ and masks/, white in the hole",
        "with --masks, inpainted/ (PNG, pixels outside of the holes unchanged) and overview.png",
        methods={
            "gated": "omniconv.tasks.inpaint.base:Gated",
            "partial": "omniconv.tasks.inpaint.base:Partial",
            "plain": "omniconv.tasks.inpaint.base:Convolutional",
            "deepfill": "omniconv.tasks.inpaint.base:DeepFill",
        },
    ),
    "generate": TaskEntry(
        "a folder of images, or of images per class",
        "inpainted/ with --masks (edm, flow), or reconstructions (vae); omniconv sample draws new images",
        methods={
            "edm": "omniconv.tasks.generate.denoising:EDM",
            "flow": "omniconv.tasks.generate.denoising:Flow",
            "vae": "omniconv.tasks.generate.vae:VAE",
            "gan": "omniconv.tasks.generate.gan:GAN",
        },
    ),
}
"""The known tasks by name."""


def get_task(name: str, method: str = "") -> Task:
    """Return the task of a name, or of a name and a method.

    Args:
        name: name of the task.
        method: name of the method; by default the first one of a task that has methods.

    Raises:
        InputError: no task has that name, or the task has no method of that name.

    Example:
        >>> get_task("segment").default_model
        'unet'
    """
    entry = TASKS[check_choice("task", name, TASKS)]
    if method and not entry.methods:
        raise InputError("method", method, f"must not be given for the task {name}, which has one only", "leave it out")
    key = check_choice("method", method or next(iter(entry.methods)), entry.methods) if entry.methods else ""
    task = entry.methods[key] if key else entry.task
    if isinstance(task, str):
        task = resolve_name(task)()
        assigned = {"methods": {**entry.methods, key: task}} if key else {"task": task}
        TASKS[name] = entry._replace(**assigned)
    return task


def register_task(task: Task, data: str, predictions: str = "its own files") -> None:
    """Add a task under its name, or a method of a task under its ``name`` and ``method``, for every command.

    Args:
        task: the task.
        data: short description of the folder layout that it expects, for ``--help``.
        predictions: the files that ``omniconv predict`` writes, for ``--help``.

    Raises:
        InputError: another task has that name or that method, or ``task`` is no ``Task``.
    """
    from omniconv.tasks.base import Task  # late: it imports torch, and this module

    if not isinstance(task, Task):
        raise InputError("task", task, "must be an instance of omniconv.tasks.base.Task", "derive the task from it")
    known = TASKS.get(task.name)
    if known and not (task.method and known.methods):
        raise InputError("task", task.name, "is the name of another task", "choose another name")
    if known and task.method in known.methods:
        raise InputError("method", task.method, f"is another method of the task {task.name}", "choose another name")
    if known:
        TASKS[task.name] = known._replace(methods={**known.methods, task.method: task})
    elif task.method:
        TASKS[task.name] = TaskEntry(data, predictions, methods={task.method: task})
    else:
        TASKS[task.name] = TaskEntry(data, predictions, task)
