"""Prediction of image files by a trained network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from omniconv.data.images import read_header
from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import FileError, InputError
from omniconv.models import Model, load
from omniconv.run_folder import open_run
from omniconv.tasks import get_task
from omniconv.tasks.base import Task


class Predictor:
    """Predictor of image files, from a network that a run has saved.

    Args:
        model: the network, with its ``preprocessing``.
        device: ``auto``, ``cpu`` or ``cuda``.

    Attributes:
        task: the task that the network was trained for.
        classes: names of the classes or output channels.
        preprocessing: from images to the network's input.

    Raises:
        InputError: the network has no preprocessing, or the device does not exist.
    """

    def __init__(self, model: Model, device: str = "auto") -> None:
        saved = model.preprocessing
        if "preparation" not in saved:
            rule = "was saved without its preprocessing"
            raise InputError("model", type(model).__name__, rule, "use the model.safetensors of a run")
        self.device = choose_device(device)
        self.model = model.to(self.device, torch.float32).eval()
        try:
            self.task: Task = get_task(saved["task"])
            self.classes: tuple[str, ...] = tuple(map(str, saved["classes"]))
            self.preprocessing = Preprocessing.from_json(saved["preparation"])
            self._check()
        except (KeyError, TypeError, ValueError) as error:
            rule = f"was not written by a training run ({error})"
            raise InputError("preprocessing", saved, rule, "copy the file again or train again") from error

    def _check(self) -> None:
        size, mean, std = self.preprocessing.size, self.preprocessing.mean, self.preprocessing.std
        numbers = (*size, *mean, *std)
        if len(size) != 2 or (len(mean), len(std)) != (3, 3) or not np.isfinite(numbers).all() or min(numbers) <= 0:
            raise ValueError("size, mean or standard deviation is out of range")
        if self.task.out_channels(self.classes) != self.model.arguments["out_channels"]:
            raise ValueError("the number of classes is not that of the network")

    @classmethod
    def open(cls, run: str | Path, device: str = "auto") -> Predictor:
        """Load the network of a run's folder or of a ``model.safetensors``.

        Raises:
            FileError: the run does not exist or has no network yet, or the file is damaged.
        """
        path = Path(run)
        if path.is_file():
            return cls(load(path), device)
        folder = open_run(path)
        if not folder.model.is_file():
            raise FileError(run, "has no trained network yet", f"train it: omniconv train --resume {run}")
        return cls(load(folder.model), device)

    @torch.inference_mode()
    def run_network(self, image: np.ndarray) -> Tensor:
        """Return the network's output ``(channels, *grid)`` or ``(channels,)`` for an image ``(3, *size)`` in 0 … 1."""
        x = torch.from_numpy(self.preprocessing.on_surface(image))[None].to(self.device)
        return self.model(x)[0].float().cpu()

    def predict(self, path: str | Path) -> np.ndarray:
        """Return the task's prediction for an image file, at the file's own upright size."""
        output = self.run_network(self.preprocessing.image(path))
        return self.task.predict(output, read_header(path).size, self.preprocessing)


def choose_device(name: str) -> torch.device:
    """Return the device of a name; ``auto`` is CUDA if available, else the CPU.

    Raises:
        InputError: the device does not exist.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available()}
    if name == "auto":
        name = "cuda" if available["cuda"] else "cpu"
    if not available.get(name, False):
        raise InputError("device", name, "is not available", "use --device auto or cpu")
    return torch.device(name)
