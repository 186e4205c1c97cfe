"""Samples of a data set in the layout of a task; folders in the layout of another task are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omniconv.data.file_listing import visible_folders
from omniconv.data.layouts.dataset_folder import SPLITS, DatasetFolder, find_splits, has_splits
from omniconv.errors import FileError
from omniconv.tasks import TASKS, get_task
from omniconv.tasks.base import Task

SPLIT_NAMES = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}
"""Usual names of the splits of a data set, in small letters."""


def scan_splits(
    task: Task, root: str | Path, wanted: Sequence[str] = SPLITS, cure: str = ""
) -> dict[str, DatasetFolder]:
    """List the samples of a data set by ``find_splits``, after ``check_layout``; arguments and errors as there."""
    check_layout(task, Path(root), cure)
    return find_splits(task.scan, root, task.expected, wanted)


def check_layout(task: Task, root: Path, cure: str = "") -> None:
    """Check that a folder does not look like a data set of another task, or of splits under other names.

    A layout with more folders and files of given names, such as ``images/`` and ``masks/``, is preferred to one with
    fewer, such as a folder for each class. A folder that no task recognizes passes: ``Task.scan`` says what is missing
    in it. A task with ``any_folder`` reads the images of any folder.

    Args:
        task: the task that is to read the folder.
        root: the folder.
        cure: what to do about the data of another task, whose name is put in the place of ``{task}``; by default the
            layout that ``task`` expects.

    Raises:
        FileError: another task recognizes the folder, or its folders have the names of splits, in another spelling.
    """
    if not root.is_dir():
        return
    names = [folder.name for folder in visible_folders(root)]
    if len(names) > 1 and "train" not in names and {name.lower() for name in names} <= SPLIT_NAMES:
        raise FileError(root, f"has the folders {', '.join(names)}", "rename them to train, val and test")
    parts = [root / split for split in SPLITS if (root / split).is_dir()] if has_splits(root) else [root]
    others = [other for other in map(get_task, TASKS) if other.name != task.name and any(map(other.recognizes, parts))]
    if task.any_folder or not others:
        return
    best = max(others, key=_given_names)
    is_begun = any((part / name).is_dir() for part in parts for name in task.searched_folders)
    is_own = is_begun or any(map(task.recognizes, parts))
    if not is_own or _given_names(best) > _given_names(task):
        rule = f"looks like a data set for the task {best.name}, not {task.name}"
        raise FileError(root, rule, cure.replace("{task}", best.name) or task.expected)


def _given_names(task: Task) -> int:
    return len(task.searched_folders) + len(task.searched_files)
