"""Files that are whole or not there: written beside, flushed to the disk, then renamed into place."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from omniconv.errors import FileError, InputError


def as_path(path: str | os.PathLike[str]) -> Path:
    """What names a file or folder, as a path.

    Raises:
        InputError: it is neither a text nor a path.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError("path", path, "must be a text or a path", "use pathlib.Path")
    return Path(path)


@contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO]:
    """Open a file for writing that appears under its name only when it is whole and on the disk.

    Args:
        path: where the file will be; its folder must exist.
        mode: ``"wb"`` for bytes, ``"w"`` for UTF-8 text.

    Raises:
        FileError: the folder cannot be written or the disk is full; an older file of that name is untouched.

    Example:
        >>> with atomic_write("/tmp/example.txt", "w") as file:
        ...     _ = file.write("whole")
    """
    path = as_path(path)
    name = path.parent / f".{path.name[:60]}.{secrets.token_hex(6)}"
    try:
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        raise _write_error(path, error) from error
    try:
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
        _flush_folder(path.parent)
    except BaseException as error:
        name.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _write_error(path, error) from error
        raise


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write a whole file, and its folder where that is not there.

    Raises:
        FileError: as ``atomic_write``.
    """
    make_folder(Path(path).parent)
    with atomic_write(path) as file:
        file.write(content)
    return Path(path)


def claim_folder(wanted: str | Path) -> Path:
    """Make a folder that did not exist: ``wanted``, or ``wanted-2``, ``wanted-3``, … where that is taken.

    Two processes that ask at the same time get two folders.
    """
    wanted = Path(wanted)
    number = 1
    while True:
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
            return folder
        except FileExistsError:
            if not folder.parent.is_dir():
                raise FileError(folder.parent, "is a file, not a folder", "choose another place with --out") from None
            number += 1
        except OSError as error:
            raise _write_error(folder, error) from error


def make_folder(path: str | Path) -> Path:
    """Make a folder and its parents unless they are there.

    Raises:
        FileError: it cannot be made, or a file has its name.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _write_error(Path(path), error) from error
    return Path(path)


def check_writable(path: str | Path) -> None:
    """Find out before long work whether a file can be written; nothing is made.

    Raises:
        FileError: it cannot be written, a folder has its name, or a file that of a folder above it.
    """
    path = Path(path)
    if path.is_dir():
        raise FileError(path, "is a folder", "choose another place with --out")
    there = next(folder for folder in path.absolute().parents if folder.exists())
    try:
        with TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise _write_error(path, error) from error


def _write_error(path: Path, error: OSError) -> FileError:
    reason = (error.strerror or str(error)).lower()
    return FileError(path, f"cannot be written ({reason})", "free some space or choose another place with --out")


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":  # other systems cannot open a folder
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
