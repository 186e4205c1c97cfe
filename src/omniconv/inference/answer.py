"""Prediction for one image as an object: arrays, files and a picture in a notebook."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from omniconv.errors import FileError
from omniconv.files import as_path, write_bytes
from omniconv.report.pictures import contact_sheet, fit_side, png_bytes
from omniconv.tasks.base import Task, TrainedNetwork

NOTEBOOK_SIDE = 1024
"""Longest side in pixels of the picture that a notebook shows."""


@dataclass(frozen=True, eq=False)
class Answer:
    """Prediction for one image; the result of calling a ``Predictor``.

    ``numpy.asarray(answer)`` is the array that ``Predictor.predict`` returns.

    Attributes:
        name: name of the image file; ``image`` for pixels.
        network: the ``Predictor``.
        task: the task of the network.
        source: path of the image, or the Pillow image.
        prediction: result of ``Predictor.predict``.

    Example:
        >>> answer = Predictor("runs/boxes")("photo.jpg")  # doctest: +SKIP
        >>> answer.labels.shape, answer.probabilities.shape  # doctest: +SKIP
        ((1080, 1920), (2, 1080, 1920))
        >>> answer.save("photo-labels.png")  # doctest: +SKIP
    """

    name: str
    network: TrainedNetwork = field(repr=False)
    task: Task
    source: Path | Image.Image
    prediction: np.ndarray
    _compute_probabilities: Callable[[], np.ndarray | None] = field(repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes or output channels."""
        return self.network.classes

    @property
    def labels(self) -> np.ndarray | None:
        """Class index of each pixel ``(height, width)`` or of the image ``()``, or boolean for each class.

        ``None`` for a task without classes. Boolean ``(classes,)`` for a task with several labels an image.
        """
        return self.task.labels(self.prediction)

    @cached_property
    def probabilities(self) -> np.ndarray | None:
        """Probability of each class, float32 ``(classes, height, width)`` or ``(classes,)``; ``None`` without classes.

        Computed when it is first used: for a large image it takes 4 bytes per class and pixel.
        """
        return self._compute_probabilities()

    @property
    def values(self) -> np.ndarray | None:
        """Predicted image or real values of a task that predicts no classes; ``None`` for one that does."""
        return self.prediction if self.labels is None else None

    def save(self, path: str | Path) -> list[Path]:
        """Write the prediction, replacing files of the same name.

        Args:
            path: ``NAME.png`` for the label map (class indices, with a palette) or the predicted image; ``NAME.npy``
                for the array ``prediction``; a path without suffix for a folder with the files of
                ``omniconv predict``.

        Returns:
            The written files to look at first.

        Raises:
            FileError: another suffix, a prediction that is no picture for ``NAME.png``, or a file that cannot be
                written.
        """
        path = as_path(path)
        if path.is_dir() or not path.suffix:
            entry = self.source, Path(self.name).with_suffix(""), self.prediction
            return self.task.write_predictions([entry], self.network, path)
        suffix = path.suffix.lower()
        if suffix == ".npy":
            content = io.BytesIO()
            np.save(content, self.prediction)
            return [write_bytes(path, content.getvalue())]
        picture = self.task.prediction_png(self.prediction, self.classes) if suffix == ".png" else None
        if picture is None:
            rule = f"cannot hold a prediction of the task {self.task.name}"
            kinds = "a .png or .npy file" if self._has_png else "a .npy file"
            raise FileError(path, rule, f"give {kinds}, or a folder (a path without suffix)")
        return [write_bytes(path, picture)]

    @property
    def _has_png(self) -> bool:
        return self.task.prediction_png(self.prediction, self.classes) is not None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.prediction.astype(dtype or self.prediction.dtype, copy=bool(copy))

    def _repr_png_(self) -> bytes:
        """Return the picture that a notebook shows: the image with its labels, or the predicted image."""
        picture, caption = self.task.prediction_tile(self.source, self.prediction, self.classes)
        if caption:
            return png_bytes(contact_sheet([(picture, caption)], columns=1))
        return png_bytes(fit_side(picture, NOTEBOOK_SIDE))
