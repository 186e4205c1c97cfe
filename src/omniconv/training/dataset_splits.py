"""Training and validation samples of a run, stored in ``data.json`` so that it resumes with the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationError

from omniconv.data.content import FileState, check_unchanged, hash_files
from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample
from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import FileError, one_line, validation_reason
from omniconv.run_folder import read_optional_json, write_json
from omniconv.tasks import get_task
from omniconv.tasks.base import Task

MAX_DATA_BYTES = 2**30
"""Largest ``data.json``: that of two million images with masks."""
_CURE = "restore it from a copy, or start a new run"
_FREQUENCIES, _PREPROCESSING, _VALIDATION, _FACTORS = "shares", "preparation", "measured", "repeat_factors"
"""Keys of ``data.json``, with the names of the first version so that its runs can be read."""


class _Folder(BaseModel):
    model_config = ConfigDict(strict=True)
    root: str
    samples: list[Annotated[list[Any], Field(min_length=2, max_length=2)]]


class _Content(BaseModel):
    """Structure of ``data.json``; the entries of the samples are checked one by one."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)
    task: str
    method: str = ""
    classes: list[InstanceOf[str]]  # str refuses names that are not UTF-8
    preprocessing: Annotated[dict[str, Any], Field(alias=_PREPROCESSING)]
    frequencies: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(alias=_FREQUENCIES)]
    training: _Folder
    validation: Annotated[_Folder | None, Field(alias=_VALIDATION)] = None
    repeat_factors: list[Annotated[float, Field(ge=1, le=10**6)]] = []


@dataclass(frozen=True)
class DatasetSplits:
    """Samples of a run, and their preprocessing.

    Attributes:
        task: the task that reads their targets.
        training: samples to train on.
        validation: held-out samples, ``None`` if there are none.
        preprocessing: from an image file to the network's input.
        class_frequencies: relative frequency of each class; empty for a task without classes.
        files: content of each image, and of each target that is a file.
        repeat_factors: how many times each training sample is drawn in an epoch; empty if each is drawn once.
    """

    task: Task
    training: DatasetFolder
    validation: DatasetFolder | None
    preprocessing: Preprocessing
    class_frequencies: tuple[float, ...]
    files: Mapping[Path, FileState] = field(default_factory=dict, repr=False)
    repeat_factors: tuple[float, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.training.classes

    @property
    def shown(self) -> DatasetFolder:
        """Samples shown in the report: the held-out ones, if there are any."""
        return self.validation or self.training

    def images(self, folder: DatasetFolder | None) -> dict[Path, FileState]:
        """Return the content of each image of a folder of this run; none for ``None``."""
        return {sample.image: self.files[sample.image] for sample in folder.samples} if folder else {}


def sample_files(task: Task, folder: DatasetFolder) -> list[Path]:
    """Return the files of the samples of a folder: the images, and the targets of a task whose targets are files."""
    images = [sample.image for sample in folder.samples]
    if not task.target_is_file:
        return images
    return images + [Path(sample.target) for sample in folder.samples if sample.target is not None]


def write_splits(splits: DatasetSplits, path: Path) -> None:
    """Write the samples with the content hashes of their files, the classes and the preprocessing as JSON."""
    folders = [folder for folder in (splits.training, splits.validation) if folder]
    names = [name for folder in folders for name in sample_files(splits.task, folder)]
    files = splits.files if set(names) <= splits.files.keys() else hash_files(names)
    content: dict[str, Any] = {
        "task": splits.task.name,
        **({"method": splits.task.method} if splits.task.method else {}),
        "classes": list(splits.classes),
        _PREPROCESSING: splits.preprocessing.to_json(),
        _FREQUENCIES: list(splits.class_frequencies),
        "training": _to_json(splits.task, splits.training, files),
    }
    if splits.repeat_factors:
        content[_FACTORS] = list(splits.repeat_factors)
    if splits.validation:
        content[_VALIDATION] = _to_json(splits.task, splits.validation, files)
    write_json(path, content)


def read_splits(path: Path, check_files: bool = True) -> DatasetSplits:
    """Read the samples of a run, and check that the content of each file has not changed.

    Args:
        path: the ``data.json`` of a run.
        check_files: check the files of the samples; otherwise they need not exist.

    Raises:
        FileError: the list is missing or damaged, or a file is missing or has changed.
    """
    try:
        read = read_optional_json(path, _CURE, MAX_DATA_BYTES)
        if read is None:
            raise FileError(path, "does not exist", _CURE)
        content = _Content.model_validate(read)
        task, classes = get_task(content.task, content.method), tuple(content.classes)
        if task.has_classes and not classes:
            raise ValueError("classes: List should have at least 1 item after validation, not 0")
        if len(content.frequencies) not in (0, len(classes)):
            raise ValueError(f"{_FREQUENCIES} are not those of {len(classes)} classes")
        preprocessing = Preprocessing.from_json(content.preprocessing)
        files: dict[Path, FileState] = {}
        training, *held_out = (
            _from_json(task, classes, preprocessing, folder, files)
            for folder in (content.training, content.validation)
            if folder is not None
        )
        validation = held_out[0] if held_out else None
        factors = tuple(content.repeat_factors)
        if len(factors) not in (0, len(training.samples)):
            raise ValueError(f"{_FACTORS} are not those of {len(training.samples)} samples")
        frequencies = tuple(content.frequencies)
        splits = DatasetSplits(task, training, validation, preprocessing, frequencies, files, factors)
    except ValidationError as error:
        raise FileError(path, f"is damaged ({validation_reason(error)})", _CURE) from error
    except FileError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FileError(path, f"is damaged ({one_line(error)})", _CURE) from error
    if check_files:
        check_unchanged(files)
    return splits


def move_splits(splits: DatasetSplits, former: Path, data: Path) -> DatasetSplits:
    """Return the splits of a run whose data folder has been moved from ``former`` to ``data``; no file is checked.

    Files outside of the former folder, to which it had links, are looked for where they were.
    """
    former, data = former.resolve(), data.resolve()

    def moved(path: Path) -> Path:
        return data / path.relative_to(former) if path.is_relative_to(former) else path

    def move(folder: DatasetFolder) -> DatasetFolder:
        is_file = splits.task.target_is_file
        pairs = ((sample.image, sample.target) for sample in folder.samples)
        samples = (Sample(moved(image), moved(target) if is_file and target else target) for image, target in pairs)
        return replace(folder, root=moved(folder.root), samples=tuple(samples))

    validation = move(splits.validation) if splits.validation else None
    files = {moved(path): state for path, state in splits.files.items()}
    return replace(splits, training=move(splits.training), validation=validation, files=files)


def _to_json(task: Task, folder: DatasetFolder, files: Mapping[Path, FileState]) -> dict[str, Any]:
    def entry(path: Path) -> list[Any]:
        return files[path].to_json(path)

    pairs = ((sample.image, sample.target) for sample in folder.samples)
    is_file = task.target_is_file
    samples = [[entry(image), entry(Path(target)) if is_file and target else target] for image, target in pairs]
    return {"root": str(folder.root.resolve()), "samples": samples}


def _to_hashable(target: Any) -> Any:
    return tuple(map(_to_hashable, target)) if isinstance(target, list) else target


def _from_json(
    task: Task,
    classes: tuple[str, ...],
    preprocessing: Preprocessing,
    content: _Folder,
    files: dict[Path, FileState],
) -> DatasetFolder:
    """Return the samples of a split, and add their files to ``files``."""

    def read(entry: Any) -> Path:
        path, state = FileState.from_json(entry)
        if "\0" in str(path) or not path.is_absolute():
            raise ValueError(f"{str(path)!r} is not an absolute path")
        files[path] = state
        return path

    def read_target(target: Any) -> Any:
        return read(target) if task.target_is_file and target is not None else _to_hashable(target)

    samples = tuple(Sample(read(image), read_target(target)) for image, target in content.samples)
    if not samples:
        raise ValueError("a list of samples is empty")
    if not task.target_is_file:
        for sample in samples:
            task.count_target(sample, task.load_target(sample, preprocessing), classes)
    return DatasetFolder(Path(content.root), samples, classes)
