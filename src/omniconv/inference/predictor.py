"""A trained network with everything between a file and an answer at the file's own size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from omniconv.data.images import read_header
from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import FileError, InputError
from omniconv.models import Model, load
from omniconv.nn.grid.resize import resize
from omniconv.run_folder import open_run
from omniconv.surfaces import Border, panorama
from omniconv.tasks import TASKS


class Predictor:
    """Answers for images.

    Args:
        model: a network that was saved by a run.
        device: where it computes: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        InputError: the network knows nothing of its images, or the device is not there.
    """

    def __init__(self, model: Model, device: str = "auto") -> None:
        known = model.preprocessing
        if "preparation" not in known:
            raise InputError("model", type(model).__name__, "was saved without its preprocessing",
                             "give the model.safetensors of a run")  # fmt: skip
        self.device = choose_device(device)
        self.model = model.to(self.device, torch.float32).eval()
        try:
            self.task: str = known["task"]
            self.classes: tuple[str, ...] = tuple(map(str, known["classes"]))
            self.preprocessing = Preprocessing.from_plain(known["preparation"])
            self._check()
        except (KeyError, TypeError, ValueError) as error:
            raise InputError("preprocessing", known, f"is not what a run writes ({error})",
                             "copy the file again or train again") from error  # fmt: skip

    def _check(self) -> None:
        """What a run wrote fits itself and the network."""
        channels = len(self.preprocessing.mean), len(self.preprocessing.std)
        numbers = (*self.preprocessing.size, *self.preprocessing.mean, *self.preprocessing.std)
        if (
            len(self.preprocessing.size) != 2
            or channels != (3, 3)
            or not np.isfinite(numbers).all()
            or min(numbers) <= 0
        ):
            raise ValueError("size, mean or spread is out of range")
        if self.task not in TASKS or len(self.classes) != self.model.arguments["out_channels"]:
            raise ValueError("task or classes are those of another network")

    @classmethod
    def open(cls, run: str | Path, device: str = "auto") -> Predictor:
        """The predictor of a run's folder or of a ``model.safetensors``.

        Raises:
            FileError: no such run, one that has no network yet, or a damaged file.
        """
        path = Path(run)
        if path.is_file():
            return cls(load(path), device)
        folder = open_run(path)
        if not folder.model.is_file():
            raise FileError(run, "holds no network yet", f"let it train: omniconv train --resume {run}")
        return cls(load(folder.model), device)

    @torch.inference_mode()
    def logits(self, image: np.ndarray) -> Tensor:
        """The network's answer ``(classes, *grid)`` for an image ``(3, *size)`` in 0 … 1."""
        x = torch.from_numpy(self.preprocessing.on_surface(image))[None].to(self.device)
        return self.model(x)[0].float().cpu()

    def probabilities(self, path: str | Path) -> np.ndarray:
        """Probability of each class for an image file, ``(classes,)``."""
        return self.logits(self.preprocessing.image(path)).softmax(0).numpy()

    def labels(self, path: str | Path) -> np.ndarray:
        """Label of each pixel of an image file, uint8 of the file's own upright size."""
        return self.labels_at(self.logits(self.preprocessing.image(path)), read_header(path).size)

    def labels_at(self, logits: Tensor, size: tuple[int, int]) -> np.ndarray:
        """The likeliest class at each pixel of a picture of ``size``, class by class so that memory stays small."""
        best = np.full(size, -np.inf, dtype=np.float32)
        labels = np.zeros(size, dtype=np.uint8)
        for index, plane in enumerate(self._planes(logits, size)):
            better = plane > best
            np.copyto(best, plane, where=better)
            labels[better] = index
        return labels

    def _planes(self, logits: Tensor, size: tuple[int, int]) -> Iterator[np.ndarray]:
        where = self.preprocessing.surface
        neighbours = where.resize_neighbours(2, "linear")
        for plane in logits:
            if where.any_size and isinstance(neighbours, Border):
                yield resize(plane[None, None], size, neighbours)[0, 0].numpy()
            else:
                height = min(size[0], 4 * (where.panorama_height() or size[0]))
                yield panorama.resize(where.to_equirectangular(plane.numpy(), height), *size)


def choose_device(name: str) -> torch.device:
    """The device of a name; ``auto`` takes an accelerator where there is one.

    Raises:
        InputError: it is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available()}
    if name == "auto":
        name = "cuda" if there["cuda"] else "cpu"
    if not there.get(name, False):
        raise InputError("device", name, "is not there", "use --device auto or cpu")
    return torch.device(name)
