"""Folders of samples and of bare images: what they hold, their splits and their class names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from omniconv.data.classes import CLASSES_FILE, check_same_classes, number_names, read_class_names
from omniconv.data.dataset_folder import LAYOUTS, SCANS, Folder, Sample
from omniconv.data.file_listing import check_folder, find_images, visible_folders
from omniconv.data.images import IMAGE_SUFFIXES
from omniconv.data.naming import name_outputs
from omniconv.errors import FileError, InputError

__all__ = ["SPLITS", "Folder", "Sample", "find_splits", "has_splits", "scan", "scan_images"]

SPLITS = ("train", "val", "test")


def scan(task: str, root: str | Path, classes: tuple[str, ...] | None = None) -> Folder:
    """List the samples of a folder.

    ``segment``: ``root/images`` and ``root/masks`` mirror each other, sub-folders too; suffixes may differ. The
    class names are those of ``root/classes.txt``, else ``class 0`` up to the largest label in any mask, and at
    least two. ``classify``: one sub-folder of ``root`` for each class, images anywhere in it; the class names
    are the folders' names in natural order, or in the order of ``root/classes.txt``.

    Args:
        task: ``"segment"`` or ``"classify"``.
        root: the folder.
        classes: the class names where they are known already; ``root/classes.txt`` must agree.

    Raises:
        InputError: ``task`` is neither of the two.
        FileError: the layout is another, an image has no mask, two images share a stem, a class is empty,
            there are fewer than 2 classes, or their names disagree.

    Example:
        >>> scan("segment", "data").classes  # doctest: +SKIP
        ('sea', 'land')
    """
    if task not in SCANS:
        raise InputError("task", task, "must be 'segment' or 'classify'", "choose the one your folder is laid out for")
    root = Path(root)
    check_folder(root, LAYOUTS[task])
    written = read_class_names(root)
    if classes and written:
        check_same_classes(root / CLASSES_FILE, written, classes, "the classes given")
    return SCANS[task](root, classes or written)


def has_splits(root: str | Path) -> bool:
    """Whether a folder is split into ``train`` and perhaps ``val`` and ``test``, each laid out for the task.

    A lone class named ``train`` among others, with its images directly in it, is no split.
    """
    root = Path(root)
    if not (root / "train").is_dir():
        return False
    names = {folder.name for folder in visible_folders(root)}
    return names <= set(SPLITS) or bool(visible_folders(root / "train"))


def find_splits(task: str, root: str | Path) -> dict[str, Folder]:
    """List the samples of a folder split by split.

    The class names must agree: ``classes.txt`` may stand in ``root`` or in each split. Without one, segment
    takes as many classes as the split with the most has.

    Returns:
        ``"train"`` and, where they are there, ``"val"`` and ``"test"``; ``"all"`` alone without splits.

    Raises:
        FileError: as ``scan``, or the splits' classes differ.

    Example:
        >>> list(find_splits("segment", "data"))  # doctest: +SKIP
        ['train', 'val']
    """
    root = Path(root)
    if not has_splits(root):
        return {"all": scan(task, root)}
    names = read_class_names(root)
    folders = {split: scan(task, root / split, names) for split in SPLITS if (root / split).is_dir()}
    return _agree(folders)


def scan_images(paths: Sequence[str | Path]) -> list[tuple[Path, Path]]:
    """List the images that files and folders name, each with the relative path of its output.

    Outputs mirror the input tree. Where two would be the same, the parents' names are put before them, and
    images that differ in the suffix alone keep it: ``a.jpg`` and ``a.png`` give ``a.jpg`` and ``a.png``, to
    which the writer adds its own suffix. An image named twice is listed once.

    Args:
        paths: image files (taken whatever their suffix) and folders (searched with the folders below).

    Returns:
        Pairs (image, output path without suffix), in the order of ``paths``.

    Raises:
        InputError: ``paths`` is empty.
        FileError: a path does not exist, or a folder has no images.

    Example:
        >>> scan_images(["photos"])  # doctest: +SKIP
        [(PosixPath('photos/rome/1.jpg'), PosixPath('rome/1'))]
    """
    if not paths:
        raise InputError("paths", list(paths), "must name an image or a folder", "give at least one path")
    depths: dict[Path, int] = {}
    absolute: set[str] = set()
    for path in map(Path, paths):
        for image in _list_input(path):
            if os.path.abspath(image) not in absolute:
                absolute.add(os.path.abspath(image))
                depths[image] = 1 if image == path else len(image.relative_to(path).parts)
    return list(name_outputs(depths).items())


def _list_input(path: Path) -> list[Path]:
    if not path.exists():
        raise FileError(path, "does not exist", "check the path for a typing error")
    if not path.is_dir():
        return [path]
    images, _ = find_images(path)
    if not images:
        raise FileError(path, "holds no images", f"put files in it with the suffix {', '.join(sorted(IMAGE_SUFFIXES))}")
    return images


def _agree(folders: dict[str, Folder]) -> dict[str, Folder]:
    widest = max((folder.classes for folder in folders.values()), key=len)
    folders = {split: _widen(folder, widest) for split, folder in folders.items()}
    for folder in folders.values():
        check_same_classes(folder.root, folder.classes, folders["train"].classes, "the train folder")
    return folders


def _widen(folder: Folder, classes: tuple[str, ...]) -> Folder:
    numbered = folder.task == "segment" and folder.classes == number_names(len(folder.classes))
    return replace(folder, classes=classes) if numbered else folder
