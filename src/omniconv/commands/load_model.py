"""The network that a command line names, opened."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from omniconv.data.masks import IGNORE_INDEX
from omniconv.data.preprocessing import Preprocessing, default_size
from omniconv.errors import FileError, InputError, truncate
from omniconv.inference.predictor import Predictor, choose_device
from omniconv.surfaces import Equirectangular

NAMED = "give the folder of a run, its model.safetensors, or package.module:callable"
Colours = tuple[float, ...] | None


@dataclass(frozen=True, eq=False)
class Opened:
    """A network.

    Attributes:
        model: a ``Predictor``, a module of the user's own, or a function that runs a program.
        title: what it is called.
        run: the folder of the run, where it is one.
    """

    model: Any
    title: str
    run: Path | None = None

    @property
    def classifies(self) -> bool:
        """Whether it is a run's that gives one answer for the whole."""
        return isinstance(self.model, Predictor) and self.model.task == "classify"

    @property
    def classes(self) -> int:
        """How many it knows; as many as a mask can hold where nobody says."""
        return len(self.model.classes) if isinstance(self.model, Predictor) else IGNORE_INDEX

    def standardised(self, mean: Colours, spread: Colours) -> Opened:
        """With its input standardised channel by channel; as it is where neither is given.

        Raises:
            InputError: a network that does this itself, or numbers that cannot be used.
        """
        if mean is None and spread is None:
            return self
        if not isinstance(self.model, nn.Module):
            raise InputError("mean", mean, "is known to the network itself", "leave out --mean and --spread")
        mean, spread = mean or (0.0,) * len(spread or ()), spread or (1.0,) * len(mean or ())
        if len(mean) != 3 or len(spread) != 3 or min(spread) <= 0:
            raise InputError("spread", spread, "and mean must be three numbers, spread above 0",
                             "use --mean 0.485,0.456,0.406 --spread 0.229,0.224,0.225")  # fmt: skip
        from omniconv.exporting.from_run import WithNormalization

        return replace(self, model=WithNormalization(self.model, mean, spread))

    def preprocessing(self, size: tuple[int, ...] | None, sizes: list[tuple[int, int]]) -> Preprocessing:
        """How pictures of some sizes are read: as the run did, else at their own size, from 0 to 1.

        Raises:
            InputError: a size where samples are fixed.
        """
        if isinstance(self.model, Predictor):
            own = self.model.preprocessing
            if size and not own.surface.any_size:
                rule = f"has no meaning on {own.surface}, whose samples are fixed"
                raise InputError("size", size, rule, "leave it out")
            return replace(own, size=(size[0], size[1])) if size else own
        height, width = size or default_size(Equirectangular(), sizes)
        return Preprocessing(Equirectangular(), (height, width))


def open_network(name: str, device: str, trust: bool = False) -> Opened:
    """The network of a run's folder, of a file, or of a function of the user's own.

    Args:
        name: a folder, a ``model.safetensors``, a ``.pt2`` program, or ``package.module:callable``.
        device: ``auto``, ``cpu`` or ``cuda``.
        trust: a ``.pt2`` file may be opened, which can run code that it holds.

    Raises:
        InputError: nothing of the kind, or what it names cannot be used.
    """
    path = Path(name)
    where = choose_device(device)
    if path.suffix == ".pt2" and path.is_file():
        return Opened(_program(path, trust), path.name)
    module, _, called = name.partition(":")
    if called and not path.exists():
        return Opened(_own(module, called, name).to(where), name)
    if not path.exists():
        raise FileError(name, "does not exist", NAMED)
    return Opened(Predictor.open(path, device), name, path if path.is_dir() else None)


def _own(module: str, called: str, name: str) -> nn.Module:
    """A module by its name, or what a function without arguments gives."""
    sys.path.insert(0, "")  # modules in the current folder, as for `python -m`
    try:
        found: Any = import_module(module)
        for part in called.split("."):
            found = getattr(found, part)
        found = found if isinstance(found, nn.Module) else found()
    except (Exception, SystemExit) as error:  # the user's own code raises what it likes
        raise InputError("MODEL", name, f"cannot be made ({_reason(error)})", NAMED) from error
    finally:
        sys.path.remove("")
    if not isinstance(found, nn.Module):
        rule = f"gives a {type(found).__name__}, not a torch.nn.Module"
        raise InputError("MODEL", name, rule, "name a module, or a function that gives one")
    return found


def _program(path: Path, trust: bool) -> Any:
    from omniconv.exporting.torch_file import from_bytes

    if not trust:
        raise FileError(path, "is a program of torch, and opening one can run code that it holds",
                        "add --trust if you know where it comes from")  # fmt: skip
    try:
        return from_bytes(path.read_bytes())
    except Exception as error:  # a damaged archive raises whatever it leads to
        raise FileError(path, f"is damaged or no program of torch ({_reason(error)})", "export it again") from error


def _reason(error: BaseException) -> str:
    return truncate(" ".join(f"{type(error).__name__}: {error}".split()))
