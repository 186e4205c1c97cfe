"""Lists of bare images to predict."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from omniconv.data.file_listing import find_images
from omniconv.data.images import IMAGE_SUFFIXES
from omniconv.data.naming import name_outputs
from omniconv.errors import FileError, InputError


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
