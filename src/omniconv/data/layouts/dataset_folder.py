"""Samples of a data set folder, and its splits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from omniconv.data.classes import CLASSES_FILE, check_same_classes, read_class_names
from omniconv.data.file_listing import Skipped, check_folder, visible_folders
from omniconv.errors import FileError

T = TypeVar("T")
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Sample:
    """An image file and its target, which depends on the task: a mask file, a class index or ``None``."""

    image: Path
    target: Any = None


@dataclass(frozen=True)
class DatasetFolder:
    """The samples of a folder.

    Attributes:
        root: the folder.
        samples: the samples, sorted by the images' paths (in class folders: class by class).
        classes: names of the classes or channels in the order of their indices; empty if they are not known.
        skipped: files and folders that are no samples, each with the reason.
    """

    root: Path
    samples: tuple[Sample, ...]
    classes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()


Scan = Callable[[Path, tuple[str, ...]], DatasetFolder]
"""Function that lists the samples of a folder, given the class names or ``()`` if they are not known."""


def scan_folder(scan: Scan, root: str | Path, expected: str, classes: tuple[str, ...] = ()) -> DatasetFolder:
    """List the samples of one folder with the class names of its ``classes.txt``, if it has one.

    Args:
        scan: function that lists the samples.
        root: the folder.
        expected: description of the layout, for the error message.
        classes: the class names if they are known already; ``root/classes.txt`` must agree.

    Raises:
        FileError: as ``scan``, or the folder does not exist, or its classes differ from the known ones.
    """
    root = Path(root)
    check_folder(root, expected)
    named = read_class_names(root) or ()
    if classes and named:
        check_same_classes(root / CLASSES_FILE, named, classes, "the classes given")
    return scan(root, classes or named)


def has_splits(root: str | Path) -> bool:
    """Return True for a folder that is split into ``train`` and perhaps ``val`` and ``test``.

    A class folder named ``train`` next to other class folders, with images directly in it, is not a split.
    """
    root = Path(root)
    if not (root / "train").is_dir():
        return False
    names = {folder.name for folder in visible_folders(root)}
    return names <= set(SPLITS) or bool(visible_folders(root / "train"))


def find_splits(scan: Scan, root: str | Path, expected: str) -> dict[str, DatasetFolder]:
    """List the samples of each split of a folder.

    ``classes.txt`` may be in ``root`` or in each split; the class names of the splits must agree.

    Args:
        scan: function that lists the samples.
        root: the folder.
        expected: description of the layout, for the error message.

    Returns:
        ``"train"`` and, if they exist, ``"val"`` and ``"test"``; only ``"all"`` for a folder without splits.

    Raises:
        FileError: as ``scan_folder``, or the splits' classes differ.
    """
    root = Path(root)
    if not has_splits(root):
        return {"all": scan_folder(scan, root, expected)}
    names = read_class_names(root) or ()
    present = [split for split in SPLITS if (root / split).is_dir()]
    folders = {split: scan_folder(scan, root / split, expected, names) for split in present}
    named = next((folder.classes for folder in folders.values() if folder.classes), ())
    folders = {split: replace(folder, classes=folder.classes or named) for split, folder in folders.items()}
    for folder in folders.values():
        check_same_classes(folder.root, folder.classes, folders["train"].classes, "the train folder")
    return folders


def pick_evenly(items: Sequence[T], count: int) -> list[T]:
    """Return at most ``count`` evenly spaced items, including the first and the last."""
    return [items[index] for index in np.linspace(0, len(items) - 1, min(count, len(items))).astype(int)]


def file_to_json(path: Path) -> list[str | int]:
    """Return the absolute path of a file and its size in bytes."""
    return [str(path.resolve()), path.stat().st_size]


def file_from_json(value: list[Any]) -> Path:
    """Return the path of a file that ``file_to_json`` described.

    Raises:
        FileError: the file is missing, or has another size.
    """
    name, size = value
    path, cure = Path(name), "restore it, or start a new run"
    try:
        size_now = path.stat().st_size
    except OSError as error:
        raise FileError(path, "is a sample of the run but does not exist", cure) from error
    if size_now != size:
        raise FileError(path, f"has changed since the run began ({size_now} bytes instead of {size})", cure)
    return path
