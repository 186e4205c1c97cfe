"""Training and validation samples of a run, stored in ``data.json`` so that it resumes with the same ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample, file_from_json, file_to_json
from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import FileError
from omniconv.run_folder import read_json, write_json
from omniconv.tasks import get_task
from omniconv.tasks.base import Task

_CURE = "start a new run"
_FREQUENCIES, _PREPROCESSING, _VALIDATION = "shares", "preparation", "measured"
"""Keys of ``data.json``, with the names of the first version so that its runs can be read."""


@dataclass(frozen=True)
class DatasetSplits:
    """Samples of a run, and their preprocessing.

    Attributes:
        task: the task that reads their targets.
        training: samples to train on.
        validation: held-out samples, ``None`` if there are none.
        preprocessing: from an image file to the network's input.
        class_frequencies: relative frequency of each class; empty for a task without classes.
    """

    task: Task
    training: DatasetFolder
    validation: DatasetFolder | None
    preprocessing: Preprocessing
    class_frequencies: tuple[float, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.training.classes

    @property
    def shown(self) -> DatasetFolder:
        """Samples shown in the report: the held-out ones, if there are any."""
        return self.validation or self.training


def write_splits(splits: DatasetSplits, path: Path) -> None:
    """Write the samples with the sizes of their files, the classes and the preprocessing as JSON."""
    content: dict[str, Any] = {
        "task": splits.task.name,
        "classes": list(splits.classes),
        _PREPROCESSING: splits.preprocessing.to_json(),
        _FREQUENCIES: list(splits.class_frequencies),
        "training": _to_json(splits.task, splits.training),
    }
    if splits.validation:
        content[_VALIDATION] = _to_json(splits.task, splits.validation)
    write_json(path, content)


def read_splits(path: Path) -> DatasetSplits:
    """Read the samples of a run, and check that the size of each file has not changed.

    Raises:
        FileError: the list is missing or damaged, or a file is missing or has changed.
    """
    try:
        content = read_json(path)
        if content is None:
            raise FileError(path, "does not exist", _CURE)
        task, classes = get_task(content["task"]), tuple(content["classes"])
        training = _from_json(task, classes, content["training"])
        validation = _from_json(task, classes, content[_VALIDATION]) if _VALIDATION in content else None
        preprocessing = Preprocessing.from_json(content[_PREPROCESSING])
        return DatasetSplits(task, training, validation, preprocessing, tuple(content[_FREQUENCIES]))
    except FileError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileError(path, f"is damaged ({error})", _CURE) from error


def _to_json(task: Task, folder: DatasetFolder) -> dict[str, Any]:
    target_to_json = file_to_json if task.target_is_file else lambda target: target
    samples = [[file_to_json(sample.image), target_to_json(sample.target)] for sample in folder.samples]
    return {"root": str(folder.root.resolve()), "samples": samples}


def _to_hashable(target: Any) -> Any:
    return tuple(map(_to_hashable, target)) if isinstance(target, list) else target


def _from_json(task: Task, classes: tuple[str, ...], content: dict[str, Any]) -> DatasetFolder:
    target_from_json = file_from_json if task.target_is_file else _to_hashable
    samples = (Sample(file_from_json(image), target_from_json(target)) for image, target in content["samples"])
    return DatasetFolder(Path(content["root"]), tuple(samples), classes)
