"""File access; files are written atomically: under a temporary name, flushed to the disk, then renamed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from omniconv.errors import FileError, InputError


def as_path(path: str | os.PathLike[str]) -> Path:
    """Convert the path of a file or folder to a ``Path``.

    Raises:
        InputError: it is neither a string nor a path.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError("path", path, "must be a string or a path", "use pathlib.Path")
    return Path(path)


def read_text(path: str | Path) -> str:
    """Read a UTF-8 text file, with or without a byte-order mark.

    Raises:
        FileError: the file cannot be read or is not UTF-8 text.
    """
    try:
        return Path(path).read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(path, "is not UTF-8 text", "save it as UTF-8") from error
    except OSError as error:
        raise FileError.from_os_error(path, "cannot be read", error, "check its path and permissions") from error


@contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO]:
    """Open a file for writing; it appears under its name only when it is complete and on the disk.

    Args:
        path: the file; its folder must exist.
        mode: ``"wb"`` for bytes, ``"w"`` for UTF-8 text.

    Raises:
        FileError: the folder cannot be written or the disk is full; an existing file of that name is not changed.

    Example:
        >>> with atomic_write("/tmp/example.txt", "w") as file:
        ...     _ = file.write("complete")
    """
    path = as_path(path)
    temporary = path.parent / f".{path.name[:60]}.{secrets.token_hex(6)}"  # 60: names have at most 255 bytes
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        raise _write_error(path, error) from error
    try:
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _write_error(path, error) from error
        raise


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write a file atomically; its folder is created if it does not exist.

    Raises:
        FileError: as ``atomic_write``.
    """
    make_folder(Path(path).parent)
    with atomic_write(path) as file:
        file.write(content)
    return Path(path)


def claim_folder(wanted: str | Path) -> Path:
    """Create a new folder: ``wanted``, or if that exists ``wanted-2``, ``wanted-3``, …

    Two processes that call this at the same time create two folders.
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
                raise FileError(folder.parent, "is a file, not a folder", "choose another path with --out") from None
            number += 1
        except OSError as error:
            raise _write_error(folder, error) from error


def make_folder(path: str | Path) -> Path:
    """Create a folder and its parents unless they exist.

    Raises:
        FileError: it cannot be created, or a file has its name.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _write_error(Path(path), error) from error
    return Path(path)


def check_overwrite(paths: Iterable[Path], overwrite: bool) -> None:
    """Check that no file exists already, unless ``overwrite`` allows it to be replaced.

    Raises:
        FileError: one of them exists.
    """
    for path in paths:
        if path.exists() and not overwrite:
            raise FileError(path, "exists already", "add --overwrite, or choose another path with --out")


def check_writable(path: str | Path) -> None:
    """Check before a long computation that a file can be written, without creating it.

    Raises:
        FileError: the path is a folder, or its folder cannot be created or written.
    """
    path = Path(path)
    if path.is_dir():
        raise FileError(path, "is a folder", "choose another path with --out")
    existing = next(folder for folder in path.absolute().parents if folder.exists())
    try:
        with TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise _write_error(path, error) from error


def _write_error(path: Path, error: OSError) -> FileError:
    cure = "free some space or choose another path with --out"
    return FileError.from_os_error(path, "cannot be written", error, cure)


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":  # Windows cannot open a folder
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
