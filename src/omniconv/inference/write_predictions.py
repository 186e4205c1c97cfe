"""Predictions of many images as files that mirror their folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from omniconv.data.images import read_header
from omniconv.errors import FileError
from omniconv.inference.predictor import Predictor
from omniconv.tasks.base import Prediction, Task

ImageList = Sequence[tuple[Path, Path]]
"""Image files, each with the relative path of its output without suffix; see ``scan_images``."""


def write_predictions(
    predictor: Predictor, images: ImageList, out: Path, step: Callable[[], None] = lambda: None
) -> list[Path]:
    """Predict images one after the other, and write the files of the task.

    Args:
        predictor: the network.
        images: the images.
        out: folder to write to.
        step: called after each image.

    Returns:
        The files to look at first: a label map for each image, or a table of all.
    """

    def predictions() -> Iterator[Prediction]:
        for file, stem in images:
            yield file, stem, predictor.predict(file)
            step()

    return predictor.task.write_predictions(predictions(), predictor.classes, out)


def check_out(task: Task, out: Path, images: ImageList, inputs: Sequence[Path] = (), overwrite: bool = False) -> None:
    """Check, before anything is written, that predictions replace and join no image, and that all can be opened.

    Args:
        task: names the files that it writes.
        out: folder to write to.
        images: the images to predict.
        inputs: the files and folders that they were found in.
        overwrite: allow earlier predictions to be replaced.

    Raises:
        FileError: ``out`` holds an image or lies in one of ``inputs``, an output exists already, or an image cannot be
            opened.
    """
    if any(folder.is_dir() and out.resolve().is_relative_to(folder.resolve()) for folder in inputs):
        rule = "is among the images, so predictions would be taken for images next time"
        raise FileError(out, rule, "choose another folder with --out")
    targets = task.prediction_files(out, [stem for _, stem in images])
    written = {(out / target.relative_to(out).parts[0]).resolve() for target in targets}
    if any(file.resolve().is_relative_to(part) for part in written for file, _ in images):
        raise FileError(out, "holds the images themselves", "choose another folder with --out")
    for target in targets:
        if target.exists() and not overwrite:
            raise FileError(target, "exists already", "add --overwrite, or choose another folder with --out")
    for file, _ in images:
        read_header(file)
