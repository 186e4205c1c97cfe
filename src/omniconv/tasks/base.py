"""Base class of the training tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import Metric

from omniconv.data.augmentation import Interpolation
from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample
from omniconv.data.preprocessing import Preprocessing
from omniconv.models.registry import Output
from omniconv.nn.grid.resize import resize
from omniconv.report.page import Page
from omniconv.surfaces import Border, Surface, panorama

Table = tuple[list[str], list[list[str | float | None]]]
"""Header and rows."""
Prediction = tuple[Path, Path, np.ndarray]
"""Image file, relative path of its output without suffix, and what ``Task.predict`` returned."""


class TrainedNetwork(Protocol):
    """The parts of an ``omniconv.inference`` ``Predictor`` that a task uses to draw predictions."""

    classes: tuple[str, ...]
    preprocessing: Preprocessing

    def run_network(self, image: np.ndarray) -> Tensor:
        """Return the network's output for an image ``(3, *size)``, without a batch axis."""
        ...

    def predict(self, path: str | Path) -> np.ndarray:
        """Return what ``Task.predict`` makes of an image file."""
        ...


class Task(ABC):
    """A task that networks are trained for. It holds no state of a run: one object serves all of them.

    A target passes through these methods: ``scan`` lists it, ``load_target`` reads it as it is in its file,
    ``resize_target`` brings it to the size of the training images, where augmentations change it together with its
    image, and ``target_on_surface`` makes what the loss sees. For the evaluation ``compare`` holds the loaded target
    against a prediction of the same size.

    Attributes:
        name: name on the command line and in the files of a run.
        output: output that the task needs of a network.
        in_channels: channels of the network's input.
        default_model: name of the network used unless another one is chosen.
        expected: a sentence on the folder layout that the task expects, for error messages.
        searched_folders: names of the folders of a data set that ``scan`` searches; empty if it searches all.
        target_is_file: whether the target of a ``Sample`` is the path of a file, which must not change during a run;
            else it is plain data.
        target_interpolation: how augmentations resample a target that lies over its image; ``None`` where the target
            belongs to the whole image.
        validation_metrics: entries of ``metric().compute()`` that are logged after each epoch.
        best_metric: the one of them that selects the best epoch.
        maximize: whether a larger ``best_metric`` is better.
    """

    name: str
    output: Output
    in_channels: int = 3
    default_model: str
    expected: str
    searched_folders: tuple[str, ...] = ()
    target_is_file: bool = False
    target_interpolation: Interpolation | None = None
    validation_metrics: tuple[str, ...]
    best_metric: str
    maximize: bool = True

    # Data

    @abstractmethod
    def scan(self, root: Path, classes: tuple[str, ...]) -> DatasetFolder:
        """List the samples of a folder; see ``omniconv.data.layouts``.

        Args:
            root: a folder without splits.
            classes: the class names where ``classes.txt`` gives them, else ``()``.

        Raises:
            FileError: the folder does not have the layout of the task.
        """

    def split_group(self, sample: Sample) -> Hashable:
        """Return the group of a sample; the same share of each group is held out for validation."""
        return None

    def load_target(self, sample: Sample, preprocessing: Preprocessing) -> np.ndarray:
        """Read the target of a sample at its own size.

        Raises:
            FileError: the file cannot be used.
        """
        return np.asarray(sample.target)

    def count_target(self, sample: Sample, target: np.ndarray, classes: tuple[str, ...]) -> Counter[int]:
        """Check a loaded target, and count what it holds of each class; counts are summed over all samples.

        Args:
            sample: the sample, for error messages.
            target: result of ``load_target``.
            classes: names of the classes, ``()`` where they are not known yet.

        Raises:
            FileError: the target does not fit the classes.
        """
        return Counter()

    def resize_target(self, target: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Bring a loaded target to the size of the training images; as it is where it has no size."""
        return target

    def target_on_surface(self, target: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
        """Return the target of the loss for a resized and augmented target."""
        return target

    def class_names(self, folder: DatasetFolder, counts: Counter[int]) -> tuple[str, ...]:
        """Return the names of the classes or output channels of a data set, given the counts over all its splits."""
        return folder.classes

    def check_counts(  # noqa: B027  # optional
        self, training: DatasetFolder, counts: Counter[int], all_counts: Counter[int]
    ) -> None:
        """Check the counts of the training samples and those of all splits together.

        Raises:
            FileError: nothing can be learned from these targets.
        """

    def class_frequencies(self, classes: tuple[str, ...], counts: Counter[int]) -> tuple[float, ...]:
        """Return the share of each class; empty for a task without classes."""
        return ()

    def describe_targets(
        self, classes: tuple[str, ...], counts: Counter[int], balance: bool
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Return facts on the targets, and advice, to be printed before training: a name and a text each."""
        return {}, {}

    # Network and training

    def out_channels(self, classes: tuple[str, ...]) -> int:
        """Return the number of output channels of the network."""
        return len(classes)

    def default_augmentations(self, surface: Surface) -> tuple[str, ...]:
        """Return the names of the augmentations used unless others are chosen."""
        return ("turn",) if surface.spherical else ()

    @abstractmethod
    def criterion(self, areas: Tensor | None, class_frequencies: Sequence[float] | None) -> nn.Module:
        """Return the loss, a module that takes the network's output and a batch of targets.

        Args:
            areas: area of each sample of the surface, with mean 1; ``None`` on a plane.
            class_frequencies: share of each class, where rare classes are to be weighted up.
        """

    @abstractmethod
    def metric(self, classes: int) -> Metric:
        """Return a metric whose ``update`` takes predictions, targets and the weight of each sample or ``None``.

        Its ``compute`` gives a dictionary that contains ``validation_metrics``.
        """

    def training_loss(self, network: nn.Module, criterion: nn.Module, batch: Sequence[Tensor]) -> Tensor:
        """Return the loss of a batch of inputs and targets."""
        x, target = batch
        return criterion(network(x), target)

    def validation_loss(
        self, network: nn.Module, criterion: nn.Module, batch: Sequence[Tensor], metric: Metric, areas: Tensor | None
    ) -> Tensor:
        """Return the loss of a held-out batch, and update the metric with it."""
        x, target = batch
        output = network(x)
        metric.update(self.decide(output), target, areas if self.output == "dense" else None)
        return criterion(output, target)

    def decide(self, output: Tensor) -> Tensor:
        """Return predictions as ``metric`` takes them for a batch of network outputs."""
        return output

    # Prediction and evaluation

    @abstractmethod
    def predict(self, output: Tensor, size: tuple[int, int], preprocessing: Preprocessing) -> np.ndarray:
        """Return the prediction for one image at its own size.

        Args:
            output: the network's output for the image, without a batch axis.
            size: rows and columns of the image file.
            preprocessing: how the image was brought onto the network's surface.
        """

    def compare(self, prediction: np.ndarray, target: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return a prediction and a loaded target as ``metric`` takes them."""
        return torch.from_numpy(prediction), torch.from_numpy(target)

    def evaluation(self, metric: Metric) -> dict[str, Any]:
        """Return the measures of an evaluation as plain data."""
        return metric.compute()

    @abstractmethod
    def quality_table(self, evaluation: Mapping[str, Any]) -> Table:
        """Return the measures of ``evaluation.json`` as a table."""

    @abstractmethod
    def quality_line(self, evaluation: Mapping[str, Any]) -> str:
        """Return the measures of ``evaluation.json`` as one line of text."""

    @abstractmethod
    def prediction_files(self, out: Path, stems: Iterable[Path]) -> list[Path]:
        """Return every file that ``write_predictions`` would write."""

    @abstractmethod
    def write_predictions(self, predictions: Iterable[Prediction], classes: tuple[str, ...], out: Path) -> list[Path]:
        """Write predictions, each as soon as it is drawn from the iterator, and return the files to look at first."""

    # Report and export

    @abstractmethod
    def tile(
        self, image: np.ndarray, target: np.ndarray, sample: Sample, classes: tuple[str, ...]
    ) -> tuple[np.ndarray, str]:
        """Return a picture and its caption for the contact sheet of training samples.

        Args:
            image: uint8 ``(H, W, 3)`` at the size of the training images.
            target: result of ``resize_target``.
            sample: the files.
            classes: names of the classes.
        """

    def draw_quality(self, page: Page, evaluation: Mapping[str, Any]) -> None:  # noqa: B027  # optional
        """Add figures to the quality section of a run's report, below the table."""

    @abstractmethod
    def draw_predictions(self, page: Page, network: TrainedNetwork, samples: Sequence[Sample]) -> None:
        """Add predictions for some samples to the report of a run."""

    @abstractmethod
    def describe_output(self, surface: Surface) -> str:
        """Return a sentence on the output of an exported network: its axes and its meaning."""


def channels_at_size(output: Tensor, size: tuple[int, int], preprocessing: Preprocessing) -> Iterator[np.ndarray]:
    """Resample a dense output ``(channels, *grid)`` to an image, channel by channel so that memory stays small.

    Args:
        output: on the CPU.
        size: rows and columns of the image; of its panorama on a surface that is no grid.
        preprocessing: of the network.

    Yields:
        One array of ``size`` for each channel.
    """
    surface = preprocessing.surface
    neighbours = surface.resize_neighbours(2, "linear")
    for channel in output:
        if surface.any_size and isinstance(neighbours, Border):
            yield resize(channel[None, None], size, neighbours)[0, 0].numpy()
        else:
            height = min(size[0], 4 * (surface.panorama_height() or size[0]))
            yield panorama.resize(surface.to_equirectangular(channel.numpy(), height), *size)
