"""Prediction of many images by several processes, with the results of one.

Of n processes each predicts every nth image; process 0 collects the results in the order of the images, so that what
measures and writes them is the same as in a single process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image

from omniconv.data.hole_files import read_hole
from omniconv.data.images import read_header
from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample
from omniconv.errors import InputError
from omniconv.inference.predictor import Predictor
from omniconv.processes import ProcessGroup, check_devices, launch

CPU = torch.device("cpu")


class Work(NamedTuple):
    """Call of a predictor for an image."""

    method: Literal["predict", "fill"]
    """Method of ``Predictor``."""
    sample: Sample
    """The image, with the file of its mask as the target for ``fill``; without one the task draws the hole."""

    def run(self, predictor: Predictor) -> np.ndarray:
        """Return the result of the call."""
        if self.method == "predict":
            return predictor.predict(self.sample.image)
        return predictor.fill(self.sample.image, self._hole(predictor))

    def _hole(self, predictor: Predictor) -> np.ndarray:
        if self.sample.target is None:
            return predictor.task.hole_of(self.sample, predictor.preprocessing)
        return read_hole(self.sample.target, read_header(self.sample.image))


class SharedPredictor(Predictor):
    """Predictor whose results for a list of images come from all processes of a group; for process 0.

    Args:
        predictor: predictor of this process, for its own images.
        group: the processes.
        works: the calls that will be made, in this order.
    """

    def __init__(self, predictor: Predictor, group: ProcessGroup, works: Sequence[Work]) -> None:
        vars(self).update(vars(predictor))
        self._own, self._size, self._works, self._next = predictor, group.place.size, works, 0

    def predict(self, image: Any, mask: Any = None) -> np.ndarray:
        """Return ``Predictor.predict``, computed by one of the processes."""
        return self._own.predict(image, mask) if mask is not None else self._result("predict", image)

    def fill(self, image: str | Path | Image.Image, hole: np.ndarray) -> np.ndarray:
        """Return ``Predictor.fill``, computed by one of the processes."""
        return self._result("fill", image)

    def _result(self, method: str, image: Any) -> np.ndarray:
        number, work = self._next, self._works[self._next]
        if (work.method, work.sample.image) != (method, image):
            raise RuntimeError(f"{method} of {image} was called before {work.method} of {work.sample.image}")
        self._next += 1
        if number % self._size == 0:
            return work.run(self._own)
        box: list[Any] = [None]
        dist.recv_object_list(box, src=number % self._size, device=CPU)
        if isinstance(box[0], InputError):
            raise box[0]
        return box[0]


@dataclass(frozen=True)
class ShareOptions:
    """Result of ``share_options``: the processes that share the calls of a predictor."""

    group: ProcessGroup | None
    processes: int
    opening: tuple[Any, ...]


def share_options(
    predictor: Predictor, group: ProcessGroup | None, devices: int | None, opening: tuple[Any, ...]
) -> ShareOptions:
    """Return how processes share the calls of a predictor, after checking it.

    Args:
        predictor: the predictor.
        group: the processes that a launcher started; ``None`` for a single one.
        devices: number of processes to start without a launcher; ``None`` for 1.
        opening: path, device, ``tta``, ``network`` and ``trust`` of the predictor, for the other processes.

    Raises:
        InputError: there are not as many devices.
    """
    place = check_devices(devices or 1, 1, predictor.device, ("devices",) if devices is not None else ())
    return ShareOptions(group, place.size, opening)


def prediction_works(images: Sequence[Path], masks: Mapping[Path, Path] | None = None) -> list[Work]:
    """Return the calls of ``write_predictions`` or, with masks, of ``write_inpainted``."""
    if masks is None:
        return [Work("predict", Sample(image, None)) for image in images]
    return [Work("fill", Sample(image, masks[image])) for image in images]


def evaluation_works(predictor: Predictor, folder: DatasetFolder, share: ShareOptions) -> list[Work]:
    """Return the calls of ``evaluate``; none for a task that does not predict images.

    Raises:
        InputError: several devices are asked for, and there is nothing to share.
    """
    method = predictor.task.evaluated_by
    if method:
        return [Work(method, sample) for sample in folder.samples]
    if share.processes > 1 and share.group is None:
        rule = f"is not used by the task {predictor.task.name}, whose samples one process draws"
        raise InputError("devices", share.processes, rule, "leave it out")
    return []


@contextmanager
def share_predictions(predictor: Predictor, works: Sequence[Work], share: ShareOptions) -> Iterator[Predictor]:
    """Let the processes of a launcher, or started here, compute the results of a predictor.

    Args:
        predictor: predictor of this process.
        works: the calls that will be made of the predictor that is yielded, in this order, each once.
        share: result of ``share_options``.

    Yields:
        A predictor; the same one in a single process.

    Raises:
        InputError: as the predictor's methods, in any process.
    """
    count = min(share.processes, len(works)) if share.group is None else share.processes
    if count <= 1 or not works:
        yield predictor
        return
    context = nullcontext(share.group) if share.group is not None else launch(count, predictor.device.type)
    with context as group, group.calling(_send_results, (share.opening, list(works))):
        yield SharedPredictor(predictor, group, works)


def _send_results(group: ProcessGroup, opening: tuple[Any, ...], works: Sequence[Work]) -> None:
    path, device, tta, network, trust = opening
    predictor = Predictor(path, device, tta, network=network, trust=trust)
    for work in works[group.place.rank :: group.place.size]:
        try:
            result: Any = work.run(predictor)
        except InputError as error:
            result = error
        dist.send_object_list([result], dst=0, device=CPU)
        if isinstance(result, InputError):
            return
