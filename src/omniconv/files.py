"""File access.

Files are written atomically: under a temporary name, flushed to the disk, then renamed. Only regular files are read,
and only up to a limit: a named pipe in the place of a file would block forever, ``/dev/zero`` fill the memory.
"""

from __future__ import annotations

import errno
import json
import math
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, BinaryIO
from zipfile import ZIP_STORED, ZipFile

from filelock import lock_descriptor

from omniconv.errors import FileError, InputError, one_line

MAX_TEXT_BYTES = 2**24
"""Largest text that is read by default: settings, class names, metrics, measures."""
MAX_JSON_DEPTH = 32
"""Deepest nesting of lists and objects in JSON; no file of a run has more than 8."""
_before_rename: ContextVar[Callable[[Path, os.stat_result], None] | None] = ContextVar("before_rename", default=None)
_READ_CURE = "check its path and permissions"
_WRITE_CURES = {
    errno.ENAMETOOLONG: "shorten its name",
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EACCES: "change the permissions of its folder",
    errno.EPERM: "change the permissions of its folder",
}
"""Cures of errors of the system; for others (a read-only disk, a file in place of a folder) only another path helps."""
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class WriteError(FileError):
    """A file or folder that cannot be written.

    Args:
        path: the file or folder.
        error: the error of the system.
        cure: how to go on; by default by the reason.
    """

    def __init__(self, path: object, error: OSError, cure: str | None = None) -> None:
        super().__init__(
            path, f"cannot be written ({(error.strerror or str(error)).lower()})", cure or write_cure(error)
        )
        self.error = error


def as_path(path: str | os.PathLike[str]) -> Path:
    """Convert the path of a file or folder, which need not exist, to a ``Path``.

    Raises:
        InputError: it is neither a string nor a path.
        FileError: no file can have this path, so that ``Path.exists`` and others raise instead of returning False.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError("path", path, "must be a string or a path", "use pathlib.Path")
    cure = "check the path for a typing error"
    try:
        os.lstat(path)
    except ValueError as error:
        raise FileError(path, "holds a NUL character, which no path has", cure) from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise FileError(path, "is longer than the path of a file can be", cure) from error
    return Path(path)


def real_path(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path without links and ``..``; a link to itself stays, where ``Path.resolve`` raises.

    Example:
        >>> real_path("/tmp/../tmp").name
        'tmp'
    """
    return Path(os.path.realpath(as_path(path)))


def check_utf8(path: str | os.PathLike[str]) -> None:
    """Check that safetensors and TensorBoard can open a path.

    Raises:
        FileError: it holds bytes that are not UTF-8.
    """
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError as error:
        rule = "is not UTF-8, as safetensors and TensorBoard require of paths"
        raise FileError(path, rule, "rename it, or choose another path") from error


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file, or a link to one, for reading bytes; never waits for a pipe or a device.

    Raises:
        FileError: it cannot be opened, or is not a regular file.

    Example:
        >>> with open_regular("/proc/version") as file:  # doctest: +SKIP
        ...     start = file.read(5)
    """
    path = as_path(path)
    try:
        _check_regular(path, os.stat(path).st_mode)
        # Without O_NONBLOCK, opening would wait if a pipe took the place of the file after the check.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(path, flags), "rb")
    except OSError as error:
        raise FileError.from_os_error(path, "cannot be read", error, _READ_CURE) from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise FileError(path, f"cannot be read ({one_line(error)})", _READ_CURE) from error  # NUL in the path
    try:
        _check_regular(path, os.fstat(file.fileno()).st_mode)
    except BaseException:
        file.close()
        raise
    return file


def read_bytes(path: str | os.PathLike[str], limit: int = MAX_TEXT_BYTES) -> bytes:
    """Read a regular file of at most ``limit`` bytes.

    Raises:
        FileError: it cannot be read, is not a regular file, or is larger.
    """
    with open_regular(path) as file:
        try:
            content = file.read(limit + 1)
        except OSError as error:
            raise FileError.from_os_error(path, "cannot be read", error, _READ_CURE) from error
    if len(content) > limit:
        raise FileError(path, f"is larger than {limit:,} bytes", "give the right file")
    return content


def read_text(path: str | os.PathLike[str], limit: int = MAX_TEXT_BYTES) -> str:
    """Read a UTF-8 text file, with or without a byte-order mark; its line ends become ``\\n``.

    Raises:
        FileError: as ``read_bytes``, or the file is not UTF-8 text or holds NUL characters.
    """
    try:
        text = read_bytes(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(path, "is not UTF-8 text", "save it as UTF-8") from error
    if "\0" in text:
        raise FileError(path, "is not text, it holds NUL characters", "save it as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: str | os.PathLike[str], limit: int = MAX_TEXT_BYTES, cure: str = "restore it from a copy") -> Any:
    """Read a JSON file; callers check the structure of what it returns.

    Raises:
        FileError: as ``read_text``, or the file is not JSON: also if it repeats a key, holds NaN, infinity or a number
            beyond a float, or is nested deeper than ``MAX_JSON_DEPTH``.
    """
    text = read_text(path, limit)
    try:
        return parse_json(text)
    except ValueError as error:
        raise FileError(path, f"is damaged ({one_line(error)})", cure) from error


def parse_json(text: str | bytes) -> Any:
    """Return the content of JSON of bounded size.

    Raises:
        ValueError: it is not JSON: also if it repeats a key, holds NaN, infinity or a number beyond a float, or is
            nested deeper than ``MAX_JSON_DEPTH``.

    Example:
        >>> parse_json('{"level": [5]}')
        {'level': [5]}
    """
    try:
        content = json.loads(
            text, parse_constant=_read_float, parse_float=_read_float, object_pairs_hook=_read_json_object
        )
        if _json_depth(content) <= MAX_JSON_DEPTH:
            return content
    except RecursionError:
        pass
    raise ValueError("is nested too deep")


def check_archive(content: bytes) -> None:
    """Compare the entries of a zip archive that torch wrote with the archive's CRC-32 of each, which torch ignores.

    Raises:
        ValueError: it is not such an archive, or an entry differs.
    """
    if content[-22:-18] != b"PK\5\6":  # the last record of 22 bytes, which torch writes without a comment behind it
        raise ValueError("it does not end as an archive of torch")
    try:
        with ZipFile(BytesIO(content)) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != ZIP_STORED for entry in entries):  # could unpack to any size
                raise ValueError("its entries are compressed")
            if sum(entry.file_size for entry in entries) > len(content):
                raise ValueError("its entries are larger than the file")
            if (name := archive.testzip()) is not None:
                raise ValueError(f"the checksum of {name} differs")
    except ValueError:
        raise
    except Exception as error:  # zipfile raises many classes, depending on what is damaged
        raise ValueError(one_line(error)) from error


def temporary_prefix(name: str) -> str:
    """Return the name of the temporary files of ``atomic_write`` for a file, without the random suffix."""
    return f".{name[:60]}"  # names have at most 255 bytes, and 60 characters at most 240


@contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO]:
    """Open a file for writing; it appears under its name only when it is complete and on the disk.

    Args:
        path: the file; its folder must exist.
        mode: ``"wb"`` for bytes, ``"w"`` for UTF-8 text.

    Raises:
        WriteError: the folder cannot be written or the disk is full; an existing file of that name is not changed.

    Example:
        >>> with atomic_write("/tmp/example.txt", "w") as file:
        ...     _ = file.write("complete")
    """
    path = as_path(path)
    temporary = path.parent / f"{temporary_prefix(path.name)}.{secrets.token_hex(6)}"
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        raise WriteError(path, error) from error
    try:
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            with suppress(OSError):  # a file system without locks
                lock_descriptor(file.fileno(), blocking=False)  # so that `remove_leftovers` tells it from orphans
            yield file
            file.flush()
            os.fsync(file.fileno())
            if before_rename := _before_rename.get():
                before_rename(path, os.fstat(file.fileno()))
            if os.name == "posix":  # while it is locked
                os.replace(temporary, path)
        if os.name != "posix":  # Windows renames closed files only
            os.replace(temporary, path)
        _flush_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise WriteError(path, error) from error
        raise


@contextmanager
def call_before_rename(function: Callable[[Path, os.stat_result], None]) -> Iterator[None]:
    """Let ``atomic_write`` call a function with each path and its complete file, just before the file appears there."""
    token = _before_rename.set(function)
    try:
        yield
    finally:
        _before_rename.reset(token)


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write a file atomically; its folder is created if it does not exist.

    Raises:
        FileError: as ``atomic_write``.
    """
    make_folder(Path(path).parent)
    with atomic_write(path) as file:
        file.write(content)
    return Path(path)


def make_folder(path: str | Path) -> Path:
    """Create a folder and its parents unless they exist.

    Raises:
        FileError: it cannot be created, or a file has its name.
    """
    if Path(path).is_file():
        raise FileError(path, "is a file, not a folder", "choose another path")
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(Path(path), error) from error
    return Path(path)


def check_overwrite(paths: Iterable[Path], overwrite: bool) -> None:
    """Check that no file exists already, unless ``overwrite`` allows it to be replaced.

    Raises:
        FileError: one of them exists.
    """
    for path in paths:
        if path.exists() and not overwrite:
            raise FileError(path, "exists already", "add overwrite=True, or choose another path")


def check_writable(path: str | Path) -> None:
    """Check before a long computation that a file can be written, without creating it.

    Raises:
        FileError: the path is a folder, or its folder cannot be created or written.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise FileError(path, "is a folder", "choose another path")
        existing = next(folder for folder in path.absolute().parents if folder.exists())
        with TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise WriteError(path, error) from error


def _check_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "a special file")
        raise FileError(path, f"is {kind}, not a file", "give a file")


def _read_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def _read_json_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(f"the key {key!r} is repeated")
        content[key] = value
    return content


def _json_depth(value: Any) -> int:
    """Number of nested lists and objects, level by level: recursion would end at Python's limit."""
    depth, level = 0, [value]
    while level := [part for part in level if isinstance(part, dict | list)]:
        depth += 1
        level = [child for part in level for child in (part.values() if isinstance(part, dict) else part)]
    return depth


def write_cure(error: OSError, same_path: bool = False) -> str:
    """Return the cure of an error of writing, by its reason; with ``same_path`` one that does not change the path."""
    own = _WRITE_CURES.get(error.errno or 0)
    if same_path:
        return own or "make its folder writable"
    return f"{own}, or choose another path" if own else "choose another path"


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":  # Windows cannot open a folder
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
