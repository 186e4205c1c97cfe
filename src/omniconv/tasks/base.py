"""Base class of the training tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Container, Hashable, Iterable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchmetrics import Metric

from omniconv.data.affine import Interpolation
from omniconv.data.images import Header, read_header, read_image
from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample
from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import FileError, InputError
from omniconv.models import Model
from omniconv.models.registry import IMAGE_OUTPUTS, Output
from omniconv.report.page import Page
from omniconv.run_folder import RunFolder
from omniconv.surfaces import Surface

Table = tuple[list[str], list[list[str | float | None]]]
"""Header and rows."""
Prediction = tuple[Path | Image.Image, Path, np.ndarray]
"""Image, relative path of its output without suffix, and the result of ``Task.predict``."""
Tile = tuple[np.ndarray, str]
"""Picture and caption."""
Facts = dict[str, str]
"""Lines of text by their headings."""


class ImageMeasures(Protocol):
    """Measures of whole images at their own size, see ``Task.image_measures``."""

    def update(self, predicted: np.ndarray, true: np.ndarray, header: Header, preprocessing: Preprocessing) -> None:
        """Add an image: the results of ``Task.predict`` and ``Task.load_target``, and the header of its file."""
        ...

    def compute(self) -> dict[str, Any]:
        """Return the measures, in types that JSON can express."""
        ...


class TrainedNetwork(Protocol):
    """The parts of an ``omniconv.inference`` ``Predictor`` that a task uses to draw predictions."""

    classes: tuple[str, ...]
    preprocessing: Preprocessing
    folder: RunFolder | None

    @property
    def model(self) -> Model:
        """The network, in evaluation mode and on its device; its input is normalized by ``preprocessing``."""
        ...

    @property
    def training(self) -> DatasetFolder | None:
        """Training samples of the run whose images exist; ``None`` if there are none, as outside of a run."""
        ...

    def run_network(self, image: np.ndarray) -> Tensor:
        """Return the network's output for an image ``(3, *size)``, without a batch axis."""
        ...

    def predict(self, path: str | Path) -> np.ndarray:
        """Return the result of ``Task.predict`` for an image file."""
        ...

    def fill(self, path: str | Path, hole: np.ndarray) -> np.ndarray:
        """Return the pixels of an image file ``(H, W, 3)`` with its hole, True in ``hole`` ``(H, W)``, filled."""
        ...


class Task(ABC):
    """Base class of tasks. A task has no state: one object serves all runs.

    ``scan`` lists the samples, ``load_target`` reads a target at its own size, ``resize_target`` resizes it to the size
    of the training images, augmentations transform it together with its image, and ``target_on_surface`` converts it to
    the target of the loss. In evaluation ``compare`` takes a prediction at the size of the image file and the loaded
    target.

    Attributes:
        name: name on the command line and in the files of a run.
        method: name of the method; empty for a task that has one only.
        output: output that the task requires of a network.
        default_model: name of the network used unless another one is chosen.
        expected: folder layout that the task expects, as the cure of error messages: ``expected images/NAME.png …``.
        searched_folders: folders of a data set, by name, in which ``scan`` looks for files and where no run may be
            written; empty if it searches the whole data set.
        searched_files: files of a data set, by name, that ``scan`` requires in its folder.
        any_folder: True if the task can use the images of any folder, also of one in the layout of another task.
        has_classes: False if a data set may have no classes; ``class_names`` may return ``()`` then.
        masks: whether ``omniconv predict`` takes masks of the part of the images to predict.
        draws_images: True if ``omniconv sample`` draws new images from its networks.
        settings: the ones it uses of the settings that only some tasks use, ``TASK_SETTINGS`` of
            ``omniconv.training.settings``; by default ``balance``, whose frequencies ``criterion`` is given. With
            ``loss`` and ``label_smoothing`` it is given these by name, too.
        prediction_settings: those of ``settings`` that ``evaluate`` and ``write_predictions`` are given by name. The
            commands ``evaluate`` and ``predict`` have options for them, by default as in the run.
        defaults: settings of ``RunConfig`` that have other defaults for this task.
        betas: coefficients of Adam's running means of gradients and of their squares.
        target_is_file: True if the target of a ``Sample`` is the path of a file, which must not change during a run, or
            ``None`` without a file; False if it is a number, a string or a tuple.
        target_interpolation: how augmentations resample a target with one value per pixel; ``None`` for a target with
            one value per image.
        ignore_index: value of a target that the loss and the metric ignore, for the part of a panorama that its image
            does not show; ``None`` if there is none.
        validation_metrics: entries of ``metric().compute()`` that are logged after each epoch.
        best_metric: the one of them that selects the best epoch, or ``loss``, the loss of the held-out samples. If no
            epoch has it, the network of the last epoch is kept.
        maximize: True if a larger ``best_metric`` is better.
        separate_charts: True if the ``validation_metrics`` have different units, so that each gets a chart of its own.
        chart_label: what the ``validation_metrics`` in one chart are, its title.
        measures_in_rows: True if each row of ``quality_table`` is a measure, whose cells have one number of digits;
            else each column is one.
        predictions_heading: heading of the part of the report that ``draw_predictions`` adds.
        evaluated_by: method of a predictor that ``evaluate`` calls once for each sample, in their order, so that
            several processes can share the calls; empty if it calls others.
    """

    name: str
    method: str = ""
    output: Output
    default_model: str
    expected: str
    searched_folders: tuple[str, ...] = ()
    searched_files: tuple[str, ...] = ()
    any_folder: bool = False
    has_classes: bool = True
    masks: Literal["none", "optional", "required"] = "none"
    draws_images: bool = False
    settings: tuple[str, ...] = ("balance",)
    prediction_settings: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = MappingProxyType({})
    betas: tuple[float, float] = (0.9, 0.999)
    target_is_file: bool = False
    target_interpolation: Interpolation | None = None
    ignore_index: int | None = None
    validation_metrics: tuple[str, ...]
    best_metric: str
    maximize: bool = True
    separate_charts: bool = False
    chart_label: str = "quality"
    measures_in_rows: bool = False
    predictions_heading: str = "Predictions"
    evaluated_by: Literal["predict", "fill", ""] = "predict"

    # Data

    @abstractmethod
    def scan(self, root: Path, classes: tuple[str, ...]) -> DatasetFolder:
        """List the samples of a folder; see ``omniconv.data.layouts``.

        Args:
            root: a folder without splits.
            classes: the class names of ``classes.txt``, ``()`` without that file.

        A folder that only measures may lack classes, have them in another order, or hold images of one class only:
        what a training requires beyond that is checked by ``check_trainable``.

        Raises:
            FileError: the folder does not have the layout of the task.
        """

    def recognizes(self, root: Path) -> bool:
        """Return True if a folder without splits has the layout of the task; by default, all ``searched_folders``.

        It tells a user who gives a folder to the wrong task; no file is decoded.
        """
        return bool(self.searched_folders) and all((root / name).is_dir() for name in self.searched_folders)

    def check_trainable(self, training: DatasetFolder) -> None:  # noqa: B027  # optional
        """Check the list of training samples before any file is decoded.

        Raises:
            FileError: a network cannot be trained with them, whatever they contain.
        """

    def split_group(self, sample: Sample) -> Hashable:
        """Return the group of a sample; the same fraction of each group is held out for validation."""
        return None

    def split_groups(self, samples: Sequence[Sample]) -> dict[Sample, Hashable]:
        """Return the group of each sample, where it depends on the others; by default ``split_group``."""
        return {sample: self.split_group(sample) for sample in samples}

    def load_target(self, sample: Sample, preprocessing: Preprocessing) -> np.ndarray:
        """Read the target of a sample at its own size.

        Raises:
            FileError: the file cannot be used.
        """
        return np.asarray(sample.target)

    def count_target(self, sample: Sample, target: np.ndarray, classes: tuple[str, ...]) -> Counter[int]:
        """Check a loaded target, and return its number of pixels (or 1 image) of each class.

        Args:
            sample: the sample, for error messages.
            target: result of ``load_target``.
            classes: names of the classes, ``()`` if they are not known yet.

        Raises:
            FileError: the target does not fit the classes.
        """
        return Counter()

    def relabel(self, target: np.ndarray, indices: Sequence[int]) -> np.ndarray:
        """Convert a loaded target from the classes of its data set to those of a network.

        Called only if a data set names its classes and they are not those of the network in the same order.

        Args:
            target: result of ``load_target``.
            indices: index of each class of the data set among those of the network.

        Raises:
            InputError: the task cannot convert its targets.
        """
        rule = "are not those of the network in the same order"
        raise InputError("classes", list(indices), rule, "give data of the same classes")

    def is_measurable(self, counts: Counter[int]) -> bool:
        """Return False if targets with these counts, see ``count_target``, hold nothing that could be measured."""
        return True

    def resize_target(self, target: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Resize a loaded target to the size of the training images."""
        return target

    def resize_with_image(self, sample: Sample, target: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
        """Resize a loaded target by ``resize_target``; on a sphere a part of a panorama is placed in the whole.

        Raises:
            FileError: the image is a part of a panorama, and the task has no ``ignore_index`` for the rest.
        """
        size = preprocessing.size
        if self.target_interpolation is None or not preprocessing.surface.spherical:
            return self.resize_target(target, size)
        header = read_header(sample.image)
        if header.crop and self.ignore_index is None:
            rule = f"is a part of a panorama by its GPano metadata, and the task {self.name} cannot ignore the rest"
            raise FileError(sample.image, rule, "use surface='plane', or take it out")
        return preprocessing.resize_target(target, header, self.resize_target, self.ignore_index or 0)

    def target_on_surface(self, target: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
        """Convert a resized and augmented target to the target of the loss."""
        return target

    def draw_target(
        self, target: np.ndarray, sample: Sample, preprocessing: Preprocessing, generator: np.random.Generator | None
    ) -> np.ndarray:
        """Convert a resized and augmented target to the target of the loss, drawing what is random in it.

        By default ``target_on_surface``.

        Args:
            target: result of ``resize_with_image``, augmented.
            sample: the sample.
            preprocessing: preprocessing of the image.
            generator: random numbers of the sample and the epoch; ``None`` for a held-out sample, whose target must be
                the same in every epoch.
        """
        return self.target_on_surface(target, preprocessing)

    def class_names(self, folder: DatasetFolder, counts: Counter[int]) -> tuple[str, ...]:
        """Return the names of the classes or output channels of a data set, given the counts over all its splits.

        Never empty, except for a task without ``has_classes``; see ``out_channels``.
        """
        return folder.classes

    def check_counts(  # noqa: B027  # optional
        self, training: DatasetFolder, counts: Counter[int], all_counts: Counter[int]
    ) -> None:
        """Check the counts summed over the training samples and over all splits.

        Raises:
            FileError: no network can be trained with these targets.
        """

    def class_frequencies(self, classes: tuple[str, ...], counts: Counter[int]) -> tuple[float, ...]:
        """Return the relative frequency of each class; empty for a task without classes."""
        return ()

    def describe_targets(
        self, classes: tuple[str, ...], training: Counter[int], validation: Counter[int] | None, balance: bool
    ) -> tuple[Facts, Facts]:
        """Return facts on the targets, and warnings, to be printed before training, by their headings.

        Args:
            classes: names of the classes.
            training: counts over the training samples, see ``count_target``.
            validation: counts over the held-out samples, ``None`` without any.
            balance: rare classes have more weight in the loss.
        """
        return {}, {}

    # Network and training

    def out_channels(self, classes: tuple[str, ...]) -> int:
        """Return the number of output channels of the network."""
        return len(classes)

    def network_arguments(
        self, in_channels: int, classes: tuple[str, ...], size: tuple[int, ...] = ()
    ) -> dict[str, Any]:
        """Return the construction arguments of the network that depend on the task and its data.

        The settings of a run that are arguments of networks, such as ``width``, are added to them.

        Args:
            in_channels: channels of the images.
            classes: names of the classes or output channels.
            size: rows and columns that images are resized to; ``()`` if they are not known yet.
        """
        return {"in_channels": in_channels, "out_channels": self.out_channels(classes)}

    def default_augmentations(self, surface: Surface) -> tuple[str, ...]:
        """Return the names of the augmentations used unless others are chosen."""
        return ("turn",) if surface.spherical else ()

    def check_mixing(self, names: Sequence[str], **loss_settings: Any) -> None:
        """Check that a training with the loss of these settings can use augmentations of whole batches.

        Args:
            names: ``cutmix``, ``mixup`` or both.
            loss_settings: settings that ``criterion`` is given by name.

        Raises:
            InputError: by default always, since they need class labels as targets.
        """
        rule = f"needs class labels as targets, which the task {self.name} does not have"
        raise InputError("augment", names[0], rule, "leave it out")

    @abstractmethod
    def criterion(self, areas: Tensor | None, class_frequencies: Sequence[float] | None) -> nn.Module:
        """Return the loss, a module that takes the network's output and a batch of targets.

        Args:
            areas: area of each sample of the surface, with mean 1, ``(H, W)`` on a grid and ``(N,)`` on a mesh;
                ``None`` on a plane.
            class_frequencies: relative frequency of each class, given with ``balance``, which weights rare ones up.
        """

    @abstractmethod
    def metric(self, classes: int) -> Metric:
        """Return a metric whose ``update`` takes predictions, targets and the weight of each sample or ``None``.

        Its ``compute`` returns a dictionary with the keys ``validation_metrics``, in types that JSON can express: for
        dense tasks on a sphere ``evaluation.json`` also stores it with each pixel weighted by its area, as ``by_area``.
        A measure over nothing is ``None`` (or NaN), never 0: it is no value of the epoch, so that no epoch is the best
        and no training stops because of it.

        Args:
            classes: number of classes or output channels.
        """

    def adversary(self, network: Model) -> nn.Module | None:
        """Return a second network that is trained against the first one, ``None`` without one.

        It has an optimizer of its own. In each step ``adversary_loss`` is minimized first, then ``training_loss``,
        which is given the adversary. It is kept in the checkpoint, not in ``model.safetensors``.

        Args:
            network: the network to train.
        """
        return None

    def adversary_loss(
        self, network: Model, adversary: nn.Module, criterion: nn.Module, batch: Sequence[Tensor]
    ) -> Tensor:
        """Return the loss of the adversary; no gradient reaches the network's parameters."""
        raise NotImplementedError(f"{type(self).__name__} has an adversary, but not its loss")

    def training_loss(
        self, network: Model, criterion: nn.Module, batch: Sequence[Tensor], adversary: nn.Module | None = None
    ) -> Tensor:
        """Return the loss of a batch of inputs and targets.

        In a training in several processes it must be that of the batch of all of them, for which ``nn.distributed`` has
        sums, means and random numbers. A mean over the rows of this process is right where all have as many rows, as
        in every batch but the last one.

        Args:
            network: the network to train.
            criterion: result of ``criterion``.
            batch: inputs and targets.
            adversary: result of ``adversary``; not passed by a training without one.
        """
        x, target = batch
        return criterion(network(x), target)

    def validation_loss(
        self, network: Model, criterion: nn.Module, batch: Sequence[Tensor], metric: Metric, areas: Tensor | None
    ) -> Tensor | None:
        """Return the loss of a held-out batch, ``None`` over nothing, and update the metric with it."""
        x, target = batch
        output = network(x)
        metric.update(self.decide(output), target, areas if self.output in IMAGE_OUTPUTS else None)
        return criterion(output, target)

    def decide(self, output: Tensor) -> Tensor:
        """Convert a batch of network outputs to the predictions that ``metric`` takes."""
        return output

    def progress(
        self, network: Model, preprocessing: Preprocessing, classes: tuple[str, ...], samples: Sequence[Sample]
    ) -> list[Tile]:
        """Return pictures of the network in training, written every ``sample_every`` epochs; none by default.

        Called in evaluation mode without gradients. Random numbers come from a generator with a fixed seed, so that
        the pictures of two epochs can be compared.

        Args:
            network: the network, on its device.
            preprocessing: from images to the network's input.
            classes: names of the classes or output channels.
            samples: held-out samples, or training samples without any.
        """
        return []

    def training_notes(self, rows: Sequence[Mapping[str, float]]) -> list[str]:
        """Return sentences on what the metrics of the epochs so far show to be wrong, with what to try.

        Each is logged when it first appears; those of all epochs are in the report.

        Args:
            rows: ``train_loss``, with an adversary ``adversary_loss``, and with held-out samples ``val_loss`` and the
                ``validation_metrics`` (after ``val_``) of each epoch.
        """
        return []

    # Prediction and evaluation

    def network_inputs(self, network: Model, x: Tensor) -> tuple[Tensor, ...]:
        """Return the arguments of ``forward`` of a network for a batch of images; by default the images alone.

        A task whose networks take more overrides it.

        Args:
            network: the network.
            x: images ``(batch, channels, *grid)`` as the network takes them, on its device.

        Raises:
            InputError: nothing follows from images alone.
        """
        return (x,)

    def to_probabilities(self, output: Tensor) -> Tensor:
        """Return what can be averaged over several predictions of an image: the probabilities of the classes.

        Args:
            output: a network's output, without a batch axis.

        Raises:
            InputError: by default always; the network's output has no mean with a meaning.
        """
        raise InputError(
            "tta", True, f"needs probabilities, which the task {self.name} does not predict", "leave it out"
        )

    def from_probabilities(self, probabilities: Tensor) -> Tensor:
        """Return a network's output that has these probabilities, see ``to_probabilities``, for ``predict``."""
        raise NotImplementedError(f"{type(self).__name__} must define from_probabilities")

    @abstractmethod
    def predict(self, output: Tensor, size: tuple[int, int], preprocessing: Preprocessing) -> np.ndarray:
        """Return the prediction for one image at its own size.

        Args:
            output: the network's output for the image, without a batch axis.
            size: rows and columns of the image file.
            preprocessing: preprocessing of the image.
        """

    def labels(self, prediction: np.ndarray) -> np.ndarray | None:
        """Return the classes of a result of ``predict``, as ``Answer.labels``; ``None`` for a task without classes."""
        return None

    def probabilities(self, output: Tensor, size: tuple[int, int], preprocessing: Preprocessing) -> np.ndarray | None:
        """Return the probability of each class, float32 ``(classes, *size)``, or ``(classes,)`` for one label an image.

        The arguments are those of ``predict``; ``None`` for a task that predicts no classes.
        """
        return None

    def prediction_png(self, prediction: np.ndarray, classes: tuple[str, ...]) -> bytes | None:
        """Return a result of ``predict`` as a PNG file; ``None`` if it is no picture."""
        return None

    def prediction_tile(self, image: Path | Image.Image, prediction: np.ndarray, classes: tuple[str, ...]) -> Tile:
        """Return a picture of a prediction and its caption, for notebooks; by default the image alone."""
        return read_image(image), ""

    def compare(self, prediction: np.ndarray, target: np.ndarray) -> tuple[Tensor, Tensor]:
        """Convert a result of ``predict`` and one of ``load_target`` to the first two arguments of ``metric().update``.

        For a dense task the last two axes of both are the rows and columns of the image file.
        """
        return torch.from_numpy(prediction), torch.from_numpy(target)

    def evaluate(
        self,
        predictor: TrainedNetwork,
        folder: DatasetFolder,
        step: Callable[[], None] = lambda: None,
        trained_on: Container[Path] | None = None,
        **settings: Any,
    ) -> dict[str, Any]:
        """Return the measures of a network on the samples of a folder, the content of ``evaluation.json``.

        By default the task's metric over the prediction of each image, and its ``image_measures``. Name and classes of
        the task are added to it.

        Args:
            predictor: the network.
            folder: the samples.
            step: called after each sample.
            trained_on: images of the folder that the network was trained on; ``None`` if it is not known.
            **settings: values of the ``prediction_settings``.

        Returns:
            ``images``, their number; the measures; with ``trained_on`` also the number of these images and, if there
            are any, the measures of the other images as ``unseen``, ``None`` if there are none.

        Raises:
            FileError: the folder has classes that the network does not know, or a file cannot be used.
        """
        from omniconv.tasks.evaluation import evaluate_images  # late: it imports this module

        return evaluate_images(self, predictor, folder, step, trained_on, settings)

    def image_measures(self, classes: int, **settings: Any) -> ImageMeasures | None:
        """Return further measures, of images at their own size, to be updated by each image; ``None`` without any.

        Args:
            classes: number of classes or output channels.
            **settings: values of the ``prediction_settings``.
        """
        return None

    def hole_of(self, sample: Sample, preprocessing: Preprocessing) -> np.ndarray:
        """Return the hole of a held-out sample at its own size, boolean, for a task that is ``evaluated_by`` fill."""
        raise NotImplementedError(f"{type(self).__name__} has no holes")

    def evaluation(self, metric: Metric) -> dict[str, Any]:
        """Return the measures of an evaluation in types that JSON can express."""
        return metric.compute()

    def check_evaluation(self, evaluation: Mapping[str, Any], classes: int) -> None:  # noqa: B027  # optional
        """Check the structure of a result of ``evaluation`` that was read from a file, and of its ``by_area``.

        Args:
            evaluation: the measures, among other entries of ``evaluation.json``.
            classes: number of classes or output channels.

        Raises:
            ValueError: they are not what ``evaluation`` returns.
        """

    @abstractmethod
    def quality_table(self, evaluation: Mapping[str, Any]) -> Table:
        """Return the measures of ``evaluation.json`` as a table."""

    def further_tables(self, evaluation: Mapping[str, Any]) -> list[tuple[str, Table]]:
        """Return further tables of ``evaluation.json``, each with its caption; none by default."""
        return []

    @abstractmethod
    def quality_line(self, evaluation: Mapping[str, Any]) -> str:
        """Return the measures of ``evaluation.json`` as one line of text; empty if nothing was measured."""

    def quality_notes(self, evaluation: Mapping[str, Any], balance: bool = False) -> list[str]:
        """Return sentences on what the measures of ``evaluation.json`` show to be wrong, with what to try.

        Args:
            evaluation: the measures.
            balance: the network was trained with more weight for rare classes.
        """
        return []

    @abstractmethod
    def prediction_files(self, out: Path, stems: Iterable[Path]) -> list[Path]:
        """Return the paths of all files that ``write_predictions`` would write."""

    @abstractmethod
    def write_predictions(
        self, predictions: Iterable[Prediction], network: TrainedNetwork, out: Path, **settings: Any
    ) -> list[Path]:
        """Write predictions, each as soon as the iterator yields it, and return the files to look at first.

        Args:
            predictions: the predictions.
            network: the network that predicts them.
            out: folder to write to.
            **settings: values of the ``prediction_settings``.
        """

    # Report and export

    @abstractmethod
    def tile(self, image: np.ndarray, target: np.ndarray, sample: Sample, classes: tuple[str, ...]) -> Tile:
        """Return a picture and its caption for the contact sheet of training samples.

        Args:
            image: uint8 ``(H, W, 3)`` at the size of the training images.
            target: result of ``resize_target``.
            sample: the sample, for the caption.
            classes: names of the classes.
        """

    def draw_quality(self, page: Page, evaluation: Mapping[str, Any]) -> None:  # noqa: B027  # optional
        """Add figures below the table of measures in the report of a run."""

    @abstractmethod
    def draw_predictions(self, page: Page, network: TrainedNetwork, samples: Sequence[Sample]) -> None:
        """Add predictions for some samples to the report of a run."""

    @abstractmethod
    def describe_output(self, surface: Surface) -> str:
        """Describe the axes and the meaning of the output of an exported network."""


def not_an_image_alone(network: Model) -> InputError:
    """Return the error of ``Task.network_inputs`` for a network whose inputs do not follow from images."""
    rule = f"takes ({', '.join(signature(network.forward).parameters)}), not an image alone"
    return InputError("model", type(network).__name__, rule, "call the network itself: oc.open_run(RUN).network")
