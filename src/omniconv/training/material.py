"""What a run learns from and is measured on, kept in its folder so that it goes on with the very same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omniconv.data.dataset_folder import Folder, Sample
from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import FileError
from omniconv.run_folder import read_json, write_json


@dataclass(frozen=True)
class Material:
    """Samples, and what is done to them.

    Attributes:
        training: samples that train.
        measured: samples held out, ``None`` where there are none.
        preprocessing: from a file to the network's input.
        shares: share of each class among the labels.
    """

    training: Folder
    measured: Folder | None
    preprocessing: Preprocessing
    shares: tuple[float, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.training.classes

    @property
    def shown(self) -> Folder:
        """The samples that a report shows: held out ones where there are any."""
        return self.measured or self.training


def write_material(material: Material, path: Path) -> None:
    """Write every sample with the size of its files, the classes and the preprocessing as JSON."""
    folders = {"training": material.training, "measured": material.measured}
    content: dict[str, Any] = {
        "task": material.training.task,
        "classes": list(material.classes),
        "preparation": material.preprocessing.plain(),
        "shares": list(material.shares),
    }
    write_json(path, content | {name: _plain(folder) for name, folder in folders.items() if folder})


def read_material(path: Path) -> Material:
    """The samples of a run, each file still as large as it was.

    Raises:
        FileError: the list is missing or damaged, or a file has gone or changed since.
    """
    try:
        content = read_json(path)
        if content is None:
            raise FileError(path, "is not there", "train anew")
        folders = {name: _folder(content, content[name]) for name in ("training", "measured") if name in content}
        preprocessing = Preprocessing.from_plain(content["preparation"])
        return Material(folders["training"], folders.get("measured"), preprocessing, tuple(content["shares"]))
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(path, f"is damaged ({error})", "train anew") from error


def _plain(folder: Folder) -> dict[str, Any]:
    samples = [[_file(sample.image), _target(sample)] for sample in folder.samples]
    return {"root": str(folder.root.resolve()), "samples": samples}


def _file(path: Path) -> list[str | int]:
    return [str(path.resolve()), path.stat().st_size]


def _target(sample: Sample) -> int | list[str | int]:
    return sample.target if isinstance(sample.target, int) else _file(sample.target)


def _folder(content: dict[str, Any], plain: dict[str, Any]) -> Folder:
    samples = tuple(
        Sample(_unchanged(*image), target if isinstance(target, int) else _unchanged(*target))
        for image, target in plain["samples"]
    )
    return Folder(content["task"], Path(plain["root"]), samples, tuple(content["classes"]), ())


def _unchanged(name: str, size: int) -> Path:
    path = Path(name)
    cure = "bring it back as it was, or train anew"
    try:
        now = path.stat().st_size
    except OSError as error:
        raise FileError(path, "was part of the run and is not there", cure) from error
    if now != size:
        raise FileError(path, f"has changed since the run began ({now} bytes instead of {size})", cure)
    return path
