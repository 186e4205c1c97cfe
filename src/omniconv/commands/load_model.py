"""Networks named on the command line: runs, files and the user's own modules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from omniconv.data.masks import IGNORE_INDEX
from omniconv.data.preprocessing import IMAGE_CHANNELS, Preprocessing, default_size
from omniconv.errors import FileError, InputError, describe_error
from omniconv.files import check_archive
from omniconv.inference.predictor import Predictor, choose_device
from omniconv.models import Model
from omniconv.models.own_code import make_network, network_code
from omniconv.run_folder import enclosing_run
from omniconv.surfaces import Equirectangular

RUN_CURE = "give the folder of a run or its model.safetensors"
DEFAULT_SIZE = (256, 256)
"""Rows and columns of the input of a network that takes any size."""
MODEL_CURE = "give the folder of a run, its model.safetensors, or package.module:callable"
Colour = tuple[float, ...] | None


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """Network with its name."""

    model: Any  # a Predictor, the user's own module, or a function that runs an exported program
    title: str  # name in the report
    run: Path | None = None  # folder of the run, if it is one
    file: Path | None = None  # what a Predictor was loaded from

    @property
    def is_global(self) -> bool:
        """True for a run whose task has one output per image."""
        return isinstance(self.model, Predictor) and self.model.task.output == "global"

    @property
    def classes(self) -> int:
        """Number of classes; for foreign networks, which do not tell it, as many as a mask can hold."""
        return len(self.model.classes) if isinstance(self.model, Predictor) else IGNORE_INDEX

    def choose_normalization(self, mean: Colour, std: Colour) -> tuple[Colour, Colour]:
        """Return the mean and standard deviation that are given, else those that an own network knows, if it does."""
        known = self.model.input_normalization if isinstance(self.model, Model) else None
        return (tuple(known["mean"]), tuple(known["std"])) if known and mean is None and std is None else (mean, std)

    def with_normalization(self, mean: Colour, std: Colour) -> LoadedModel:
        """Return the network with its input normalized by channel; unchanged if neither is given."""
        if mean is None and std is None:
            return self
        if not isinstance(self.model, nn.Module):
            raise InputError("mean", mean, "is part of this network already", "leave out --mean and --std")
        mean, std = mean or (0.0,) * len(std or ()), std or (1.0,) * len(mean or ())
        from omniconv.exporting.from_run import WithNormalization

        return replace(self, model=WithNormalization(self.model, mean, std))

    def preprocessing(self, size: tuple[int, ...] | None, sizes: list[tuple[int, int]]) -> Preprocessing:
        """Return the preprocessing of images of these sizes: that of the run, else only resizing to a common size."""
        if isinstance(self.model, Predictor):
            own = self.model.preprocessing
            if size and not own.surface.any_size:
                raise InputError("size", size, f"cannot be set on {own.surface}, whose size is fixed", "leave it out")
            return replace(own, size=(size[0], size[1])) if size else own
        height, width = size or default_size(Equirectangular(), sizes)
        return Preprocessing(Equirectangular(), (height, width))


def load_model(
    name: str, device: str, trust: bool = False, network: str | None = None, programs: bool = False
) -> LoadedModel:
    """Load a run by its folder or a file in it, a ``.safetensors``, a ``.pt2`` program or ``package.module:callable``.

    Args:
        name: as typed.
        device: ``auto``, ``cpu`` or ``cuda``.
        trust: allow the code that a run names, and ``.pt2`` files, which can execute code that they contain.
        network: network of the user's own that a run names, again.
        programs: allow ``.pt2`` files, if they are trusted.
    """
    path = Path(name)
    chosen_device = choose_device(device)
    if path.suffix == ".onnx" and path.is_file():
        raise FileError(path, "is an exported ONNX file, which other programs run", MODEL_CURE)
    if path.suffix == ".pt2" and path.is_file():
        if not programs:
            raise FileError(path, "is an exported program, whose layers are not known", MODEL_CURE)
        return LoadedModel(_load_program(path, trust), path.name)
    if ":" in name and not path.exists():
        if network is not None:
            raise InputError("network", network, "is for runs, and MODEL is a network already", "leave it out")
        return LoadedModel(make_network(network_code(name, "MODEL"), "MODEL").to(chosen_device), name)
    if not path.exists():
        raise FileError(name, "does not exist", MODEL_CURE)
    folder = enclosing_run(path) if path.suffix != ".safetensors" else None
    predictor = Predictor(path, device, network=network, trust=trust)
    return LoadedModel(predictor, name, folder.path if folder else None, path)


def open_predictor(
    name: str, device: str | None, tta: bool = False, network: str | None = None, trust: bool = False
) -> Predictor:
    """Open a run or a ``model.safetensors`` for a command that needs its classes and its preprocessing."""
    check_names_run(name)
    return Predictor(Path(name), device or "auto", tta, network=network, trust=trust)


def check_names_run(name: str) -> None:
    """Check that an argument does not name an own network or an exported file, which have no preprocessing.

    Raises:
        InputError: it does.
    """
    path, attribute = Path(name), name.partition(":")[2]
    if (attribute and not path.exists()) or path.suffix in (".pt2", ".onnx"):
        rule = "is a network without the classes and the preprocessing of a run, which this command needs"
        raise InputError("RUN", name, rule, RUN_CURE)


def input_shape(model: nn.Module, size: tuple[int, int] | None) -> tuple[int, ...]:
    """Return channels and grid of the input of a network; ``DEFAULT_SIZE`` where any size is taken."""
    if not isinstance(model, Model):
        return (IMAGE_CHANNELS, *(size or DEFAULT_SIZE))
    channels, surface = model.arguments["in_channels"], model.surface
    if size and not surface.any_size:
        rule = f"cannot be set on {surface}, whose size is fixed"
        raise InputError("size", "{}x{}".format(*size), rule, "leave it out")
    if not surface.any_size:
        return (channels, *(length or 0 for length in surface.shape))
    return (channels, *(size if size and surface.ndim == 2 else DEFAULT_SIZE[:1] * surface.ndim))


@contextmanager
def own_input(name: str) -> Iterator[None]:
    """Name the network in errors of its input, which the user did not choose."""
    try:
        yield
    except InputError as error:
        if error.argument not in ("shape", "example"):
            raise
        cure = f"it must take (batch, {IMAGE_CHANNELS}, height, width); use size=HxW for another size"
        raise InputError("MODEL", name, f"cannot be used: {error.subject}: {error.rule}", cure) from error


def _load_program(path: Path, trust: bool) -> Any:
    from omniconv.exporting.torch_file import from_bytes

    if not trust:
        raise FileError(path, "is a program of torch, and opening it can execute code that it contains",
                        "add --trust if you trust its source")  # fmt: skip
    try:
        content = path.read_bytes()
        check_archive(content)
        return from_bytes(content)
    except Exception as error:  # a damaged archive may raise anything
        raise FileError(path, f"is damaged or not a program of torch ({describe_error(error)})",
                        "export it again") from error  # fmt: skip
