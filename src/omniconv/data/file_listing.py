"""Lists of the images in a folder, and of its other files with the reason why they are skipped."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import NoReturn

from omniconv.data.images import IMAGE_SUFFIXES
from omniconv.errors import FileError

Skipped = tuple[Path, str]
"""A file or folder and the reason why it is skipped."""


def find_images(folder: Path) -> tuple[list[Path], list[Skipped]]:
    """Return all images in a folder and its subfolders, sorted by path.

    Links to files are followed; links to subfolders are not, since they may form a loop.

    Returns:
        The images, and the other files and folders.

    Raises:
        FileError: a folder cannot be read.
    """
    images: list[Path] = []
    skipped: list[Skipped] = []
    for parent, folders, files in os.walk(folder, onerror=_raise_file_error):
        reasons = {name: _reason_to_skip(Path(parent, name)) for name in folders + files}
        folders[:] = [name for name in folders if not reasons[name]]
        images += [Path(parent, name) for name in files if not reasons[name]]
        skipped += [(Path(parent, name), reason) for name, reason in reasons.items() if reason]
    return sorted(images), sorted(skipped)


def visible_folders(root: Path) -> list[Path]:
    """Return the folders in ``root`` that are not hidden, in natural order (``class2`` before ``class10``)."""
    try:
        folders = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError as error:
        _raise_file_error(error)
    return sorted(folders, key=lambda path: _natural_key(path.name))


def holds_images(folder: Path) -> bool:
    """Return True if there is an image in a folder or its subfolders; stops at the first one, and reads no file."""
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if any(not _reason_to_skip(Path(parent, name)) for name in files):
            return True
    return False


def check_folder(folder: Path, cure: str) -> None:
    """Check that a folder exists.

    Raises:
        FileError: it does not exist or is a file.
    """
    if not folder.is_dir():
        rule = "is a file, not a folder" if folder.exists() else "does not exist"
        raise FileError(folder, rule, cure)


def _reason_to_skip(path: Path) -> str:
    if path.name.startswith("."):
        return "is hidden"
    try:
        mode = path.stat().st_mode
    except OSError as error:  # a link to nothing or to itself
        return f"cannot be read ({(error.strerror or str(error)).lower()})"
    if stat.S_ISDIR(mode):
        return "is a link to a folder" if path.is_symlink() else ""
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return "does not have the suffix of an image"
    return "" if stat.S_ISREG(mode) else "is a device or pipe"


def _raise_file_error(error: OSError) -> NoReturn:
    raise FileError.from_os_error(error.filename, "cannot be read", error, "check the folder's permissions") from error


def _natural_key(name: str) -> tuple[list[str | int], str]:
    parts = re.split(r"(\d+)", name)  # text and digits alternate, so that int is compared with int
    return [int(part) if part.isdecimal() else part for part in parts], name
