"""Use of a run from Python: training, opening, prediction."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from omniconv.errors import FileError, InputError
from omniconv.files import as_path
from omniconv.inference.evaluation import read_evaluation
from omniconv.inference.predictor import Picture, Predictor, choose_device
from omniconv.inference.write_samples import SampleFiles
from omniconv.models import Model
from omniconv.run_folder import RunFolder, enclosing_run, find_run, read_metrics
from omniconv.runs.page import report_lock, write_report
from omniconv.runs.start import start_run
from omniconv.tasks import TASKS
from omniconv.training.callbacks import Log
from omniconv.training.settings import RunConfig, read_config


class Run:
    """Training run: its settings, measures and network. ``open_run`` and ``train`` return it.

    Settings and measures are read from their files at each access, the network when it is first used.

    Attributes:
        path: folder of the run, or a ``model.safetensors`` outside of a run.

    Example:
        >>> import omniconv as oc
        >>> run = oc.open_run("runs/boxes")  # doctest: +SKIP
        >>> run.classes, run.evaluation["iou"]  # doctest: +SKIP
        (('sea', 'land'), 0.94)
        >>> labels = run.predict("photo.jpg")  # doctest: +SKIP
    """

    def __init__(self, path: str | Path, device: str = "auto", *, network: Any = None, trust: bool = False) -> None:
        choose_device(device)
        self.path, self._device = Path(path), device
        self._code = {"network": network, "trust": trust}
        self._folder = RunFolder(self.path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def config(self) -> RunConfig:
        """Settings of the run.

        Raises:
            FileError: the file is damaged, or only a ``model.safetensors`` was opened.
        """
        if not self.path.is_dir():
            raise FileError(self.path, "is not in a run, so its settings are not known", "open the folder of its run")
        return RunConfig(**read_config(self._folder.config))

    @property
    def metrics(self) -> list[dict[str, float]]:
        """Metrics of each epoch, in order; the content of ``metrics.csv``."""
        return read_metrics(self._folder.metrics)

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """Measures of the best network on the held-out images; ``None`` if there are none (yet)."""
        return read_evaluation(self._folder.evaluation, self.predictor.task, self.classes)

    @property
    def network(self) -> Model:
        """The best network, in evaluation mode and on the device; its input is normalized by ``preprocessing``."""
        return self.predictor.model

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes or output channels."""
        return self.predictor.classes

    @cached_property
    def predictor(self) -> Predictor:
        """The network with its preprocessing and its task.

        Raises:
            FileError: the run has no network yet, or the file is damaged.
        """
        return Predictor.open(self.path, self._device, **self._code)

    def report(self) -> Path:
        """Write ``report.html`` again, with the present state of the run, and return its path.

        Raises:
            FileError: only a ``model.safetensors`` was opened, or a file of the run is missing or damaged.
        """
        if not self.path.is_dir():
            raise FileError(self.path, "is not in a run, so it has no report", "open the folder of its run")
        with report_lock(self._folder):
            return write_report(self._folder, self.predictor)

    def predict(self, image: Picture) -> np.ndarray:
        """Return the prediction for one image, as in the files of ``omniconv predict``; see ``Predictor.predict``."""
        return self.predictor.predict(image)

    def inpaint(self, image: Picture, mask: Picture) -> np.ndarray:
        """Return an image with its hole filled, as in the files of ``omniconv predict --masks``.

        Args:
            image: the image.
            mask: an image that is white in the hole, or an array or tensor that is True there; see
                ``Predictor.predict``.

        Raises:
            InputError: the network of the run fills no holes, or the mask cannot be used.
            FileError: a file cannot be read, or the mask is not of the size of the image.
        """
        return self.predictor.predict(image, mask)

    def sample(
        self,
        n: int = 16,
        *,
        class_name: str | None = None,
        steps: int | None = None,
        seed: int = 0,
        batch_size: int = 64,
        guidance: float | None = None,
    ) -> np.ndarray:
        """Return new images of a run of the task ``generate``, as in the files of ``omniconv sample``.

        Args:
            n: number of images.
            class_name: class of all images; by default each class in turn.
            steps: steps from noise to an image, of the methods ``edm`` and ``flow``; by default that of the network.
            seed: seed of the images; image i depends on it and on i only.
            batch_size: images drawn at once.
            guidance: factor of the difference that the class makes (classifier-free guidance), of ``edm`` and ``flow``
                with classes; by default 1.

        Returns:
            uint8 ``(n, height, width, 3)``; on a sphere panoramas.

        Raises:
            InputError: the network draws no images, does not know the class, or an argument is out of range.

        Example:
            >>> images = oc.open_run("runs/digits").sample(4, class_name="7")  # doctest: +SKIP
        """
        return SampleFiles(self.predictor, n, class_name, steps, seed, batch_size, guidance).draw()


def open_run(path: str | Path, device: str = "auto", *, network: Any = None, trust: bool = False) -> Run:
    """Open a run.

    Args:
        path: folder of the run, or any file in it: ``model.safetensors``, ``config.yaml``, ``checkpoints/last.ckpt``.
            Of a ``model.safetensors`` outside of a run only the network and its predictions are known.
        device: ``auto``, ``cpu`` or ``cuda``.
        network: for a run of a network of your own, its code again: ``package.module:callable``, or the module or
            function. Without it, or ``trust``, the code that the run names does not run.
        trust: import the code of the network that the run names.

    Raises:
        FileError: the path does not exist or does not belong to a run.
        InputError: the device does not exist.

    Example:
        >>> import omniconv as oc
        >>> probabilities = oc.open_run("runs/animals").predict("cat.jpg")  # doctest: +SKIP
    """
    path = as_path(path)
    run = enclosing_run(path) if path.exists() else None
    if path.suffix == ".safetensors" and path.is_file() and (run is None or path.name != run.model.name):
        return Run(path, device, network=network, trust=trust)
    if path.suffix == ".safetensors" and not path.exists():
        raise FileError(path, "does not exist", "give the folder of a run, such as runs/NAME")
    return Run(find_run(path).path, device, network=network, trust=trust)


def train(
    task: str,
    data: str | Path,
    *,
    name: str | None = None,
    out: str | Path | None = None,
    source: str | Path | None = None,
    trust: bool = False,
    log: Log = print,
    **settings: Any,
) -> Run:
    """Train a network on a folder of images, as ``omniconv train`` does.

    Args:
        task: ``segment``, ``classify`` or another registered task.
        data: folder of images in the layout of the task.
        name: name of the run's folder in ``runs/``; by default that of ``data``.
        out: folder of the run, instead of ``runs/NAME``.
        source: a run whose network is trained further, with its settings of the network and its size as defaults.
        trust: import the code of a network of your own that ``source`` names.
        log: called with each line of text for the user.
        **settings: settings of ``omniconv.training.settings.RunConfig``, the options of the command: ``surface``,
            ``epochs``, ``learning_rate``, ``batch_size``, …; ``network`` may also be a module or a function that
            returns one.

    Returns:
        The finished run.

    Raises:
        InputError: the settings or the data cannot be used; nothing has been written then.

    Example:
        >>> import omniconv as oc
        >>> run = oc.train("segment", "DATA", surface="icosphere:5", epochs=40)  # doctest: +SKIP
        >>> run.evaluation["iou"]  # doctest: +SKIP
        0.94
    """
    if not isinstance(task, str) or not task:
        raise InputError("task", task, f"must be one of {', '.join(TASKS)}", "use task='segment'")
    for argument, path in {"data": data, "out": out}.items():
        if not isinstance(path, str | Path) and (argument, path) != ("out", None):
            raise InputError(argument, path, "must be a string or a path", "use pathlib.Path")
    given = {"task": task, "data": str(data)} | settings
    folder = start_run(given, log, name=name, out=None if out is None else str(out), source=source, trust=trust)
    return Run(folder.path, str(settings.get("device", "auto")), network=settings.get("network"), trust=trust)
