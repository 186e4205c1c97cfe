"""Evaluation of a network on samples with known targets, at the images' own size."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationError

from omniconv.data.content import find_copies
from omniconv.data.layouts.dataset_folder import SPLITS, DatasetFolder, has_splits
from omniconv.errors import FileError, InputError, one_line, validation_reason
from omniconv.inference.predictor import Predictor
from omniconv.run_folder import enclosing_run, find_run, read_optional_json
from omniconv.tasks.base import Task
from omniconv.tasks.data_folder import scan_splits
from omniconv.training.dataset_splits import read_splits
from omniconv.training.settings import RunConfig, read_config

MAX_EVALUATION_BYTES = 2**26
"""Largest ``evaluation.json``: the confusion matrix of 2,000 classes."""
_EVALUATION_CURE = "delete it, or evaluate again: omniconv evaluate RUN --json evaluation.json"
Count = Annotated[int, Field(ge=0)]


class _Evaluation(BaseModel):
    """Entries of ``evaluation.json`` that do not depend on the task."""

    model_config = ConfigDict(strict=True)
    task: str
    method: str = ""
    classes: list[InstanceOf[str]]  # str refuses names that are not UTF-8
    images: Count
    trained_on: Count | None = None
    unseen: dict[str, Any] | None = None


def evaluate(
    predictor: Predictor,
    folder: DatasetFolder,
    step: Callable[[], None] = lambda: None,
    trained_on: Container[Path] | None = None,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the task's measures over all samples of a folder, the content of ``evaluation.json``.

    For dense tasks on a sphere, ``by_area`` is the result of the task's metric with each pixel weighted by its area.
    Classes of the folder are matched to those of the network by name; classes that the folder lacks have no measure.

    Args:
        predictor: the network.
        folder: the samples.
        step: called after each sample.
        trained_on: images that the network was trained on, see ``trained_images``. Their number is then in the
            result, and if there are any, ``unseen`` has the measures of the other images alone, ``None`` if there are
            none. ``None`` if it is not known.
        settings: values of the task's ``prediction_settings``, see ``prediction_settings``.

    Raises:
        FileError: the folder has classes that the network does not know, or a file cannot be used.
    """
    task = predictor.task
    method = {"method": task.method} if task.method else {}
    measures = task.evaluate(predictor, folder, step, trained_on, **settings)
    return {"task": task.name, **method, "classes": list(predictor.classes), **measures}


def read_evaluation(path: Path, task: Task, classes: tuple[str, ...]) -> dict[str, Any] | None:
    """Read an ``evaluation.json``, the result of ``evaluate``; ``None`` if it does not exist.

    Args:
        path: the file.
        task: task of the network that was measured.
        classes: classes of the network.

    Raises:
        FileError: it is damaged, or measures another network.
    """
    content = read_optional_json(path, _EVALUATION_CURE, MAX_EVALUATION_BYTES)
    if content is None:
        return None
    try:
        entries = _Evaluation.model_validate(content)
        if (entries.task, entries.method, entries.classes) != (task.name, task.method, list(classes)):
            raise FileError(path, "has the measures of another network", _EVALUATION_CURE)
        task.check_evaluation(content, len(classes))
        if entries.unseen is not None:
            images = entries.unseen.get("images")
            if type(images) is not int or not 0 < images <= entries.images:
                raise ValueError("unseen.images is not a number of images")
            task.check_evaluation({**content, **entries.unseen}, len(classes))
    except ValidationError as error:
        raise FileError(path, f"is damaged ({validation_reason(error)})", _EVALUATION_CURE) from error
    except FileError:
        raise
    except ValueError as error:
        raise FileError(path, f"is damaged ({one_line(error)})", _EVALUATION_CURE) from error
    return content


def trained_images(run: Path, images: Iterable[Path], held_out: bool = False) -> set[Path] | None:
    """Return those images whose content a run was trained on, whatever their names are.

    Args:
        run: folder of the run, or a file in it.
        images: image files.
        held_out: instead return those that the run held out to select its best epoch.

    Returns:
        The images; ``None`` for a network outside of a run.

    Raises:
        FileError: an image cannot be read, or the run's list of samples is damaged.
    """
    folder = enclosing_run(run)
    if folder is None or not folder.data.is_file():
        return None
    splits = read_splits(folder.data, check_files=False)
    return set(find_copies(images, splits.images(splits.validation if held_out else splits.training)))


def find_samples(predictor: Predictor, run: Path, data: Path | None, split: str | None = None) -> DatasetFolder:
    """Return the samples of a data set, or without one those that a run held out.

    Args:
        predictor: the network of the run.
        run: folder of the run.
        data: folder of images with targets.
        split: ``train``, ``val`` or ``test``; by default ``test``, else ``val``, else all images, else ``train``.

    Raises:
        InputError: the data set has no such split, or the run held out nothing.
    """
    if data is None:
        folder = find_run(run)
        if folder.was_converted:
            rule = "is required, since the network of the run was converted, not trained"
            raise InputError("DATA", None, rule, "write: omniconv evaluate RUN DATA")
        held_out = read_splits(folder.data).validation
        if held_out is None:
            rule = "is required, since the run held out no images"
            raise InputError("DATA", None, rule, "write: omniconv evaluate RUN DATA")
        return held_out
    present = [name for name in SPLITS if (data / name).is_dir()] if has_splits(data) else ["all"]
    chosen = [name for name in ((split,) if split else ("test", "val", "all", "train")) if name in present][:1]
    if not chosen:
        if present == ["all"]:
            rule, cure = f"needs a folder {split} in {data}, which is not split", "leave it out"
        else:
            rule, cure = f"must be one of {', '.join(present)}, the splits of {data}", f"use split={present[0]!r}"
        raise InputError("split", split, rule, cure)
    return scan_splits(predictor.task, data, chosen)[chosen[0]]


def prediction_settings(predictor: Predictor, given: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Return the settings that the task of a network uses in evaluation and prediction.

    Args:
        predictor: the network.
        given: settings that the user gave; the others are those of the run, outside of a run the defaults.

    Raises:
        InputError: the task does not use a setting that is given, or it is out of range.
        FileError: the settings of the run cannot be read.
    """
    names = predictor.task.prediction_settings
    for name, value in given.items():
        if name not in names:
            raise InputError(name, value, f"is not used by the task {predictor.task.name}", "leave it out")
    path = predictor.folder.config if predictor.folder else None
    of_run = read_config(path) if names and path and path.is_file() else {}
    config = RunConfig(**{name: value for name, value in of_run.items() if name in names} | dict(given))
    return {name: getattr(config, name) for name in names}


def was_balanced(run: Path) -> bool:
    """Return True if a run gives rare classes more weight in the loss; False for a network outside of a run."""
    folder = enclosing_run(run)
    return folder is not None and bool(read_config(folder.config).get("balance"))


def describe_overlap(evaluation: dict[str, Any]) -> str:
    """Return a sentence on the measured images that the network was trained on; empty if there are none."""
    count, selected, total = evaluation.get("trained_on"), evaluation.get("selected_on"), evaluation["images"]
    optimistic = f"{selected} of {total} images selected the best epoch, so that their measures are optimistic"
    if not count:
        return optimistic if selected else ""
    rest = "the measures of the others follow" if count < total else "none of them shows how good it is on other images"
    text = f"{count} of {total} images were trained on (recognised by their content): {rest}"
    return f"{text}; {optimistic}" if selected else text
