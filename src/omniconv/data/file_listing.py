"""Walks through folders: the images, and what is left aside with the reason."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NoReturn

from omniconv.data.images import IMAGE_SUFFIXES
from omniconv.errors import FileError

Skipped = tuple[Path, str]


def find_images(folder: Path) -> tuple[list[Path], list[Skipped]]:
    """All images in a folder and the folders below it, sorted by path.

    Links to files are followed, links to folders below are not, lest a walk never ends.

    Returns:
        The images, and the other files and folders, each with the reason why it was skipped.

    Raises:
        FileError: a folder cannot be read.
    """
    images: list[Path] = []
    skipped: list[Skipped] = []
    for place, folders, files in os.walk(folder, onerror=_refuse):
        reasons = {name: _reason_to_skip(Path(place, name)) for name in folders + files}
        folders[:] = [name for name in folders if not reasons[name]]
        images += [Path(place, name) for name in files if not reasons[name]]
        skipped += [(Path(place, name), reason) for name, reason in reasons.items() if reason]
    return sorted(images), sorted(skipped)


def visible_folders(root: Path) -> list[Path]:
    """The folders directly in ``root`` in natural order (``class2`` before ``class10``), without hidden ones."""
    try:
        folders = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError as error:
        _refuse(error)
    return sorted(folders, key=lambda path: _natural_key(path.name))


def check_folder(folder: Path, cure: str) -> None:
    """Check that a folder is there.

    Raises:
        FileError: it does not exist or is a file.
    """
    if not folder.is_dir():
        rule = "is a file, not a folder" if folder.exists() else "does not exist"
        raise FileError(folder, rule, cure)


def _reason_to_skip(path: Path) -> str:
    if path.name.startswith("."):
        return "is hidden"
    if path.is_dir():
        return "is a link to a folder" if path.is_symlink() else ""
    return "" if path.suffix.lower() in IMAGE_SUFFIXES else "has not the suffix of an image"


def _refuse(error: OSError) -> NoReturn:
    reason = (error.strerror or str(error)).lower()
    raise FileError(error.filename, f"cannot be read ({reason})", "check the folder's permissions") from error


def _natural_key(name: str) -> tuple[list[str | int], str]:
    parts = re.split(r"(\d+)", name)  # text and digits take turns, so that like meets like
    return [int(part) if part.isdecimal() else part for part in parts], name
