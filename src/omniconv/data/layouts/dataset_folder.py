"""Samples of a data set folder, and its splits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from omniconv.data.classes import CLASSES_FILE, check_same_classes, read_class_names
from omniconv.data.file_listing import Skipped, check_folder, unused_entries, visible_folders

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


def find_splits(
    scan: Scan, root: str | Path, expected: str, wanted: Sequence[str] = SPLITS
) -> dict[str, DatasetFolder]:
    """List the samples of splits of a folder.

    ``classes.txt`` may be in ``root`` or in each split; the class names of the splits must agree. Without it, the
    classes are those of the training samples, of which the other splits may lack some.

    Args:
        scan: function that lists the samples.
        root: the folder.
        expected: description of the layout, for the error message.
        wanted: names of the splits to list; the others need not have the layout.

    Returns:
        Those of ``"train"``, ``"val"`` and ``"test"`` that are wanted and exist; only ``"all"`` for a folder without
        splits.

    Raises:
        FileError: as ``scan_folder``, or the splits' classes differ.
    """
    root = Path(root)
    if not has_splits(root):
        return {"all": scan_folder(scan, root, expected)}
    names = _split_classes(root)
    folders: dict[str, DatasetFolder] = {}
    for split in wanted:
        if (root / split).is_dir():
            folders[split] = scan_folder(scan, root / split, expected, names)
            names = names or folders[split].classes
    unused = unused_entries(root, (*SPLITS, CLASSES_FILE), "is none of train, val and test")
    for split, folder in list(folders.items())[:1]:
        folders[split] = replace(folder, skipped=folder.skipped + tuple(unused))
    return folders


def _split_classes(root: Path) -> tuple[str, ...]:
    """Return the class names in the ``classes.txt`` of a folder and of its splits, which must agree; ``()`` if none."""
    named = {folder / CLASSES_FILE: read_class_names(folder) or () for folder in (root, *(root / s for s in SPLITS))}
    named = {path: names for path, names in named.items() if names}
    first = next(iter(named), root)
    for path, names in named.items():
        check_same_classes(path, names, named[first], str(first))
    return named[first] if named else ()


def pick_evenly(items: Sequence[T], count: int) -> list[T]:
    """Return at most ``count`` evenly spaced items, including the first and the last."""
    return [items[index] for index in np.linspace(0, len(items) - 1, min(count, len(items))).astype(int)]
