"""Prediction files of many images, in the folder structure of the images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from omniconv.errors import FileError
from omniconv.files import real_path
from omniconv.inference.predictor import Predictor
from omniconv.locks import check_outputs, write_outputs
from omniconv.tasks.base import Prediction

ImageList = Sequence[tuple[Path, Path]]
"""Image files, each with the relative path of its output without suffix; see ``scan_images``."""


def write_predictions(
    predictor: Predictor,
    images: ImageList,
    out: Path,
    step: Callable[[], None] = lambda: None,
    overwrite: bool = True,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> list[Path]:
    """Predict images one at a time, and write the task's prediction files; another process may not write there.

    If it fails or is killed, the same call works again: files that it has written count as unfinished, and are replaced
    also without ``overwrite``, unless they have been changed.

    Args:
        predictor: the network.
        images: the images.
        out: folder to write to.
        step: called after each image.
        overwrite: replace earlier predictions.
        settings: values of the task's ``prediction_settings``.

    Returns:
        The files to look at first: a label map for each image, or a table of all.

    Raises:
        OwnedError: another process writes into ``out``.
        FileError: a prediction file exists already or cannot be written, or an image cannot be read.
    """

    def predictions() -> Iterator[Prediction]:
        for file, stem in images:
            yield file, stem, predictor.predict(file)
            step()

    with write_outputs(out, predictor.task.prediction_files(out, [stem for _, stem in images]), overwrite):
        return predictor.task.write_predictions(predictions(), predictor, out, **settings)


def check_out(
    targets: Sequence[Path], out: Path, images: ImageList, inputs: Sequence[Path] = (), overwrite: bool = False
) -> None:
    """Check before predicting that predictions are not written among or over the images.

    Args:
        targets: the files to write, as ``Task.prediction_files`` returns them.
        out: folder to write to.
        images: the images to predict.
        inputs: the files and folders that contain the images.
        overwrite: allow earlier predictions to be replaced.

    Raises:
        FileError: ``out`` is inside one of ``inputs`` or contains an image, or a prediction file exists already.
    """
    if any(folder.is_dir() and real_path(out).is_relative_to(real_path(folder)) for folder in inputs):
        rule = "is inside a folder of images, so that predictions would be taken for images next time"
        raise FileError(out, rule, "choose another out=FOLDER")
    written = {real_path(out / target.relative_to(out).parts[0]) for target in targets}
    if any(real_path(file).is_relative_to(part) for part in written for file, _ in images):
        raise FileError(out, "contains the images to predict", "choose another out=FOLDER")
    check_outputs(out, targets, overwrite)
