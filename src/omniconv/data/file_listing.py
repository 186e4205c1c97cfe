"""Lists of the images in a folder, and of its other files with the reason why they are skipped."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from omniconv.data.images import IMAGE_SUFFIXES
from omniconv.errors import FileError
from omniconv.files import as_path

Skipped = tuple[Path, str]
"""A file or folder and the reason why it is skipped."""
_OTHER_FORMATS = {
    "hdr": "a Radiance HDR image", "exr": "an OpenEXR image", "gif": "a GIF image", "avif": "an AVIF image",
    "heic": "a HEIC image", "heif": "a HEIF image", "jp2": "a JPEG 2000 image", "jxl": "a JPEG XL image",
    "psd": "a Photoshop image", "svg": "an SVG drawing", "pdf": "a PDF document", "dng": "a raw image",
    "cr2": "a raw image", "nef": "a raw image", "arw": "a raw image", "pgm": "a PGM image", "ppm": "a PPM image",
    "npy": "a NumPy array", "mp4": "a video", "mov": "a video", "insv": "a video", "insp": "an Insta360 image",
}  # fmt: skip
"""Formats that are named in the reason to skip a file, by suffix."""


def find_images(folder: Path) -> tuple[list[Path], list[Skipped]]:
    """Return all images in a folder and its subfolders, sorted by path.

    Links to files are followed; links to subfolders are not, since they may form a loop. No file is opened.

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
    if not as_path(folder).is_dir():
        rule = "is a file, not a folder" if folder.exists() else "does not exist"
        raise FileError(folder, rule, cure)


def unused_entries(folder: Path, used: Iterable[str], reason: str) -> list[Skipped]:
    """Return the files and folders directly in a folder that are not ``used``, hidden ones as hidden."""
    used = set(used)
    try:
        entries = sorted(path for path in folder.iterdir() if path.name not in used)
    except OSError as error:
        _raise_file_error(error)
    return [(path, "is hidden" if path.name.startswith(".") else reason) for path in entries]


def normalized(name: str) -> str:
    """Return a name in Unicode's form NFC, so that names that look the same are equal: macOS stores é in two.

    Example:
        >>> normalized("e\u0301") == "\u00e9"
        True
    """
    return unicodedata.normalize("NFC", name)


def _reason_to_skip(path: Path) -> str:
    if path.name.startswith("."):
        return "is hidden"
    try:
        mode = path.stat().st_mode
    except OSError as error:  # a link to nothing or to itself
        return f"cannot be read ({(error.strerror or str(error)).lower()})"
    if stat.S_ISDIR(mode):
        return "is a link to a folder" if path.is_symlink() else ""
    if not stat.S_ISREG(mode):
        return "is a device or pipe"
    suffix = path.suffix.lower()
    if suffix[1:] in _OTHER_FORMATS:
        return f"is {_OTHER_FORMATS[suffix[1:]]}, which omniconv does not read"
    return "" if suffix in IMAGE_SUFFIXES else "does not have the suffix of an image"


def _raise_file_error(error: OSError) -> NoReturn:
    raise FileError.from_os_error(error.filename, "cannot be read", error, "check the folder's permissions") from error


def _natural_key(name: str) -> tuple[list[str | int], str]:
    parts = re.split(r"(\d+)", name)  # text and digits alternate, so that int is compared with int
    return [int(part) if part.isdecimal() else part for part in parts], name
