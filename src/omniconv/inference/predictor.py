"""Prediction of image files by a trained network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from omniconv.checks import to_builtin
from omniconv.data.images import Header, read_header, read_image, read_layers
from omniconv.data.layouts.dataset_folder import DatasetFolder
from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import FileError, InputError, one_line
from omniconv.files import as_path
from omniconv.inference.answer import Answer
from omniconv.inference.inpainting import check_masks, place_in_hole, read_hole_of
from omniconv.inference.test_time_augmentation import transforms
from omniconv.models import Model, load
from omniconv.models.registry import IMAGE_OUTPUTS
from omniconv.models.roles import SupportsInpaint, as_role
from omniconv.models.storage.tensor_file import checksum
from omniconv.run_folder import enclosing_run, find_run
from omniconv.tasks import get_task
from omniconv.tasks.base import Task
from omniconv.tasks.pixels import to_pixels
from omniconv.training.dataset_splits import read_splits

Picture = str | Path | Image.Image | np.ndarray | Tensor
"""One image, see ``Predictor.predict``."""


class HasNetwork(Protocol):
    """Object with the network of a run, such as the result of ``oc.open_run``."""

    @property
    def network(self) -> Model:
        """The network, with its ``preprocessing``."""
        ...


class Predictor:
    """Prediction of images by the network of a run, equal to the files of ``omniconv predict``.

    Args:
        run: result of ``oc.train``, ``oc.open_run`` or ``oc.load``, or the path of a run or of a ``model.safetensors``.
        device: ``auto``, ``cpu`` or ``cuda``.
        tta: average the probabilities for mirrored and turned copies of each image (test-time augmentation), see
            ``omniconv.inference.test_time_augmentation``; takes up to eight times as long.
        network: for a path of a network of your own, its code again, see ``oc.load``.
        trust: import the code of the network that the file names.

    Attributes:
        model: the network, on the device and in evaluation mode.
        task: the task that the network was trained for.
        classes: names of the classes or output channels.
        preprocessing: from images to the network's input.
        folder: folder of the run; ``None`` for a network outside of a run.

    Raises:
        InputError: the network has no preprocessing, the device does not exist, or ``tta`` is given and the task of the
            network does not predict probabilities.
        FileError: the run does not exist or has no network yet, or the file is damaged.

    Example:
        >>> predict = Predictor("runs/boxes")  # doctest: +SKIP
        >>> answer = predict("photo.jpg")  # doctest: +SKIP
        >>> answer.labels.shape, answer.probabilities.shape  # doctest: +SKIP
        ((1080, 1920), (2, 1080, 1920))
        >>> answer.save("labels.png")  # doctest: +SKIP
    """

    def __init__(
        self,
        run: Model | HasNetwork | str | Path,
        device: str = "auto",
        tta: bool = False,
        *,
        network: Any = None,
        trust: bool = False,
    ) -> None:
        self.device, self.tta = choose_device(device), tta
        path = run if isinstance(run, str | Path) else getattr(run, "path", None)
        self.folder = enclosing_run(path) if path is not None and Path(path).exists() else None
        model = run if isinstance(run, Model) else getattr(run, "network", None)
        if model is None:
            model = load_network(run, network, trust)  # type: ignore[arg-type]  # a path
        saved = model.preprocessing
        if "preparation" not in saved:
            rule = "was saved without its preprocessing"
            has_weights = model.input_normalization is not None  # by load_weights, which knows no task and no size
            cure = "use the model.safetensors of a run" + (", or train it from its weights" if has_weights else "")
            raise InputError("model", type(model).__name__, rule, cure)
        self.model = model.to(self.device, torch.float32).eval()
        try:
            self.task: Task = get_task(saved["task"], saved.get("method", ""))
            self.classes: tuple[str, ...] = tuple(map(str, saved["classes"]))
            self.preprocessing = Preprocessing.from_json(saved["preparation"])
            self._check()
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            rule = f"was not written by a training run ({one_line(error)})"
            raise InputError("preprocessing", saved, rule, "copy the file again or train again") from error
        if tta:
            self.task.to_probabilities(torch.zeros(len(self.classes)))  # raises before the first image is read

    def _check(self) -> None:
        own = self.preprocessing
        if own.surface != self.model.surface:
            raise ValueError(f"its surface is {own.surface}, not that of the network, {self.model.surface}")
        if self.model.output != self.task.output:
            raise ValueError(f"its task requires a network with the output {self.task.output}")
        arguments = self.model.arguments
        needed = self.task.network_arguments(arguments["in_channels"], self.classes, own.size)
        if any(name in arguments and arguments[name] != to_builtin(value) for name, value in needed.items()):
            raise ValueError("the number of classes is not that of the network")

    @classmethod
    def open(
        cls, run: str | Path, device: str = "auto", tta: bool = False, *, network: Any = None, trust: bool = False
    ) -> Predictor:
        """Load the network of a run's folder or of a ``model.safetensors``; see the constructor.

        Raises:
            FileError: the run does not exist or has no network yet, or the file is damaged.
        """
        return cls(run, device, tta, network=network, trust=trust)

    @cached_property
    def training(self) -> DatasetFolder | None:
        """Training samples of the run whose images exist; ``None`` if there are none, as outside of a run."""
        if self.folder is None or not self.folder.data.is_file():
            return None
        listed = read_splits(self.folder.data, check_files=False).training
        samples = tuple(sample for sample in listed.samples if sample.image.is_file())
        return replace(listed, samples=samples) if samples else None

    def weights_checksum(self) -> str:
        """Return a digest of the weights, which tells networks apart."""
        return checksum({name: value.cpu().contiguous() for name, value in self.model.state_dict().items()}, {})

    @torch.inference_mode()
    def run_network(self, image: np.ndarray) -> Tensor:
        """Return the network's output ``(channels, *grid)`` or ``(channels,)`` for an image ``(3, *size)`` in 0 … 1.

        Raises:
            InputError: the output has NaN or infinity; or the network takes no image, or a mask besides the image.
        """
        if not self.tta:
            return self._run_once(image)
        own, is_dense, total = self.preprocessing, self.task.output in IMAGE_OUTPUTS, torch.zeros(())
        stride = 1 if own.surface.latitude_axis is None else self.model.total_stride  # not known of every own network
        copies = list(transforms(own.surface, own.size, stride))
        for copy in copies:
            probabilities = self.task.to_probabilities(self._run_once(copy.forward(image)))
            total = total + (copy.backward(probabilities) if is_dense else probabilities)
        return self.task.from_probabilities(total / len(copies))

    def _run_once(self, image: np.ndarray) -> Tensor:
        x = torch.from_numpy(self.preprocessing.on_surface(image))[None].to(self.device)
        output = self.model(*self.task.network_inputs(self.model, x))[0].float().cpu()
        self._check_finite(output)
        return output

    def _check_finite(self, output: Tensor) -> None:
        if not output.isfinite().all():
            rule = "returns NaN or infinity"
            raise InputError("model", type(self.model).__name__, rule, "train it again, with a smaller learning rate")

    def predict(self, image: Picture, mask: Picture | None = None) -> np.ndarray:
        """Return the task's prediction for an image, at the image's own upright size.

        Args:
            image: the path of a file; a Pillow image; an array ``(height, width, 3)`` or ``(height, width)``; or a
                tensor ``(3, height, width)`` or ``(1, height, width)``. Arrays and tensors are uint8 from 0 to 255, or
                floating point from 0 to 1, which is rounded to 8 bits as in a file. They are not normalized: the mean
                and standard deviation of ``preprocessing`` are applied here.
            mask: the hole to fill, for networks that fill holes: an image whose pixels are white in the hole and black
                elsewhere, or an array or tensor of the height and width of the image, True, 255 or 1.0 in the hole.

        Returns:
            With a mask the image, uint8, with its hole filled; the other pixels are those of the image. It is grey
            ``(height, width)``, RGB ``(height, width, 3)`` or, with transparency, ``(height, width, 4)``, as the image.
            For segmentation the class of each pixel, uint8 ``(height, width)``; for classification the probability of
            each of ``classes``, ``(classes,)``.

        Raises:
            InputError: another type, shape or range.
            FileError: the file cannot be read as an image.
        """
        return self._predict(image, mask).prediction

    def __call__(self, image: Picture | Sequence[Picture], mask: Picture | None = None) -> Any:
        """Return an ``Answer`` for an image, as ``predict`` takes it, or a list of answers for a list of images.

        Args:
            image: an image, or a list or tuple of images, which are predicted one after the other.
            mask: the hole to fill, see ``predict``; the same one for every image.

        Returns:
            An object with ``labels``, ``probabilities``, ``values``, ``classes`` and ``save(path)``, which notebooks
            show as a picture; ``numpy.asarray(answer)`` is the result of ``predict``.

        Raises:
            InputError, FileError: as ``predict``.

        Example:
            >>> predict = Predictor("runs/boxes")  # doctest: +SKIP
            >>> for answer in predict(["a.jpg", "b.jpg"]):  # doctest: +SKIP
            ...     answer.save(f"labels/{answer.name}.png")
        """
        if isinstance(image, list | tuple):
            return [self._predict(one, mask) for one in image]
        return self._predict(image, mask)

    def _predict(self, image: Picture | Sequence[Picture], mask: Picture | None = None) -> Answer:
        check_masks(self.task, None if mask is None else type(mask).__name__, "mask")
        source = _as_source(image)
        header = read_header(source)
        name, shown = (source.name, source) if isinstance(source, Path) else ("image", source)
        if mask is not None:
            hole = read_hole_of(mask, header)
            filled = place_in_hole(read_layers(source), self.fill(source, hole), hole)
            return Answer(name, self, self.task, shown, filled, lambda: None)
        output = self.run_network(self.preprocessing.image(source))
        convert = partial(self._at_size, output, header)
        prediction = convert(self.task.predict)
        return Answer(name, self, self.task, shown, prediction, partial(convert, self.task.probabilities))

    def _at_size(self, output: Tensor, header: Header, convert: Callable[..., Any]) -> Any:
        """Return the result of a method of the task for an output, at the size of the file.

        Of a part of a panorama the method computes the whole one, which is cropped.
        """
        own = self.preprocessing
        if not own.surface.spherical or header.crop is None or self.task.output not in IMAGE_OUTPUTS:
            return convert(output, header.size, own)
        whole = convert(output, header.panorama_size, own)
        return None if whole is None else np.ascontiguousarray(whole[(..., *header.crop.own_box(*header.size))])

    @torch.inference_mode()
    def fill(self, image: str | Path | Image.Image, hole: np.ndarray) -> np.ndarray:
        """Return the pixels of an image, uint8 ``(height, width, 3)``, with its hole filled by ``network.inpaint``.

        What the hole contains has no effect. Networks that draw the filling at random use the same random numbers for
        every image.

        Args:
            image: a file or a Pillow image.
            hole: boolean ``(height, width)``, True in the hole.
        """
        header, pixels = read_header(image), read_image(image)
        if not hole.any():
            return pixels
        signal, small = self.preprocessing.masked(pixels, hole, header)
        x, mask = (torch.from_numpy(array)[None].to(self.device) for array in (signal, small[None]))
        generator = torch.Generator().manual_seed(0)
        output = as_role(self.model, SupportsInpaint).inpaint(x, mask, generator=generator)[0].float().cpu()
        self._check_finite(output)
        own = self.preprocessing
        if own.surface.spherical and header.crop is not None:
            whole = to_pixels(output, header.panorama_size, own)
            filled = whole[header.crop.own_box(*header.size)]
        else:
            filled = to_pixels(output, header.size, own)
        return np.where(hole[..., None], filled, pixels)


def load_network(run: str | Path, network: Any = None, trust: bool = False) -> Model:
    """Load the network of a run, given its folder or a file in it, or of a ``.safetensors`` file anywhere.

    Args:
        run: the path.
        network: for a network of your own, its code again, see ``oc.load``.
        trust: import the code of the network that the file names.

    Raises:
        FileError: the run does not exist or has no network yet, or the file is damaged or names code that the user does
            not allow to run.
    """
    path = as_path(run)
    folder = None if path.suffix == ".safetensors" and not path.is_dir() else enclosing_run(path)
    if folder is None and (path.is_file() or path.suffix == ".safetensors"):
        return load(path, network=network, trust=trust)
    folder = folder or find_run(path)
    if not folder.model.is_file():
        cure = f"train it: omniconv train --resume {folder.path}"
        raise FileError(folder.path, "has no trained network yet", cure)
    return load(folder.model, network=network, trust=trust)


def _as_source(image: Any) -> Path | Image.Image:
    """Return the path or the Pillow image of a picture.

    Raises:
        InputError: another type, shape or range.
    """
    if isinstance(image, str | Path):
        return as_path(image)
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, Tensor) and (image.is_meta or image.layout is not torch.strided):
        found = f"{str(image.layout).removeprefix('torch.')} tensor on {image.device}"
        raise InputError("image", found, "must be dense and have values", "use image.to_dense(), or load its values")
    array = image.detach().cpu().numpy() if isinstance(image, Tensor) else image
    if isinstance(image, Tensor) and image.ndim == 3 and image.shape[0] in (1, 3):
        array = np.moveaxis(array, 0, -1)
    elif isinstance(image, Tensor) or not isinstance(image, np.ndarray) or image.shape[2:] not in ((), (3,)):
        found = f"{type(image).__name__} of shape {tuple(getattr(image, 'shape', ()))}"
        rule = "must be a path, a Pillow image, an array (height, width, 3) or a tensor (3, height, width)"
        raise InputError("image", found, rule, "give one image, without a batch axis")
    if array.dtype.kind == "f" and array.size and array.min() >= 0 and array.max() <= 1:  # False for NaN
        array = np.round(array * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        found = f"{array.dtype} from {array.min()} to {array.max()}" if array.size else f"{array.dtype}, empty"
        rule = "must be uint8 from 0 to 255, or floating point from 0 to 1"
        raise InputError("image", found, rule, "convert it, without subtracting a mean")
    if min(array.shape[:2]) < 2:
        found = f"{type(image).__name__} of shape {tuple(image.shape)}"
        raise InputError("image", found, "must have at least 2 rows and 2 columns", "give a larger image")
    return Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else np.ascontiguousarray(array))


def choose_device(name: str) -> torch.device:
    """Return the device of a name; ``auto`` is CUDA if available, else the CPU.

    Raises:
        InputError: the device does not exist.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available()}
    if name == "auto":
        name = "cuda" if available["cuda"] else "cpu"
    if not available.get(name, False):
        raise InputError("device", name, "is not available", "use device='auto' or device='cpu'")
    return torch.device(name)
