"""Locks on folders, so that one process at a time writes into a folder.

The lock is the operating system's lock on the open file ``.omniconv.lock`` in the folder, so it ends with the process,
however the process ends. Its owner removes the file at the end; a file that is found unlocked was left by a process
that was killed, as were temporary files of ``atomic_write`` that nobody has open.

Commands that write many files into a folder of the user (``write_outputs``) note each in ``.omniconv.unfinished`` until
all are written, so that the same command can be given again after a failure: only files that the note describes,
by size and time, are replaced.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from filelock import lock_descriptor

from omniconv.errors import FileError, printable
from omniconv.files import (
    WriteError,
    call_before_rename,
    check_overwrite,
    make_folder,
    parse_json,
    read_text,
    temporary_prefix,
)

LOCK = ".omniconv.lock"
UNFINISHED = ".omniconv.unfinished"
MAX_UNFINISHED_BYTES = 2**28
"""Largest note of unfinished outputs: some two million files."""
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}", re.DOTALL)
"""Names of the temporary files of ``atomic_write``."""
_WAIT = "wait until it ends, or choose another out=FOLDER"
_OWNER_BYTES = 400
_POLL_SECONDS = 0.05
_inherited: set[int] = set()
"""Descriptors of the locks of this process."""


class OwnedError(FileError):
    """A folder that another process owns."""


def _close_inherited() -> None:
    """Close the locks of the parent process: a forked worker that outlives it would keep them."""
    for handle in _inherited:
        with suppress(OSError):
            os.close(handle)
    _inherited.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)


@contextmanager
def lock_folder(
    folder: str | Path, doing: str = "written", cure: str = _WAIT, *, file: str = "", wait: float = 0.0
) -> Iterator[bool]:
    """Own a folder while its files are written; another process that asks for it is refused.

    The folder is created if it does not exist, and removed at the end if it was created here and is empty then.
    Temporary files of an earlier owner that was killed are removed. On a file system without locks the folder is used
    without one, with a warning in the log of ``omniconv.locks``.

    Args:
        folder: the folder.
        doing: past participle for the error message of others: "is being written by process …".
        cure: cure of the error message.
        file: name of a file in the folder; if it is given, only this file is owned.
        wait: time in seconds to wait for another owner before the error.

    Yields:
        True if an earlier owner was killed.

    Raises:
        OwnedError: another process owns the folder.
        WriteError: it cannot be written.

    Example:
        >>> with lock_folder("/tmp/example-of-lock", "trained") as killed:
        ...     killed, os.listdir("/tmp/example-of-lock")
        (False, ['.omniconv.lock'])
    """
    folder = Path(folder)
    created = [part for part in (folder, *folder.parents) if not part.exists()]
    make_folder(folder)
    path = folder / (f".{file}.lock" if file else LOCK)
    owner = os.getpid()
    handle, killed = _acquire(path, folder / file, doing, cure, time.monotonic() + wait)
    try:
        if killed:
            remove_leftovers(folder, file)
        yield killed
    finally:
        if os.getpid() == owner:  # not in a forked child, whose parent still owns it
            _release(path, handle)
            with suppress(OSError):  # one is not empty
                for part in created:
                    part.rmdir()


@contextmanager
def write_outputs(folder: Path, targets: Iterable[Path], overwrite: bool) -> Iterator[None]:
    """Own a folder while files are written into it that do not exist, unless a process wrote them that did not finish.

    Args:
        folder: the folder.
        targets: the files in it that are written, by ``atomic_write``.
        overwrite: allow files to be replaced.

    Raises:
        OwnedError: another process owns the folder.
        FileError: as ``check_outputs``, or the folder cannot be written.
    """
    note = folder / UNFINISHED

    def add(path: Path, status: os.stat_result) -> None:
        if path.is_relative_to(folder):
            name = path.relative_to(folder).as_posix()
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
            with open(os.open(note, flags, 0o666), "a") as file:
                # A line break first: the last line may be incomplete.
                file.write(f"\n{json.dumps([name, status.st_size, status.st_mtime_ns])}\n")
                file.flush()
                os.fsync(file.fileno())

    with lock_folder(folder):
        _check_outputs(folder, targets, overwrite)
        is_finished = False
        try:
            with call_before_rename(add):
                yield
            is_finished = True
        finally:
            if is_finished or not unfinished_files(folder):
                with suppress(OSError):
                    note.unlink(missing_ok=True)


def check_outputs(folder: Path, targets: Iterable[Path], overwrite: bool) -> None:
    """Check before the work that ``write_outputs`` will not refuse to write.

    Raises:
        OwnedError: another process owns the folder.
        FileError: a file exists already that no unfinished process wrote, and ``overwrite`` is not given.
    """
    # The files of a process that is writing now do not count as existing: what helps is to wait, not overwrite=True.
    with lock_folder(folder) if (folder / LOCK).exists() else nullcontext():
        _check_outputs(folder, targets, overwrite)


def _check_outputs(folder: Path, targets: Iterable[Path], overwrite: bool) -> None:
    unfinished = set() if overwrite else unfinished_files(folder)
    check_overwrite((path for path in targets if path not in unfinished), overwrite)


def unfinished_files(folder: Path) -> set[Path]:
    """Return the files that are as a process wrote them that did not finish."""
    noted: dict[str, list[int]] = {}
    if os.path.lexists(folder / UNFINISHED):
        for line in read_text(folder / UNFINISHED, MAX_UNFINISHED_BYTES).splitlines():
            with suppress(ValueError, TypeError):  # an incomplete line
                name, *noted[name] = parse_json(line)
    found = set()
    for name, state in noted.items():
        with suppress(OSError, TypeError, ValueError):
            status = os.stat(folder / name)
            if state == [status.st_size, status.st_mtime_ns]:
                found.add(folder / name)
    return found


def remove_leftovers(folder: Path, file: str = "") -> None:
    """Remove the temporary files that a killed process left in a folder and below; files that are open stay.

    Args:
        folder: the folder.
        file: name of a file in it; if it is given, only its temporary files are removed.
    """
    for parent, folders, names in os.walk(folder):
        if file:
            folders.clear()
            names = [name for name in names if name[:-13] == temporary_prefix(file)]
        for name in filter(TEMPORARY.fullmatch, names):
            path = os.path.join(parent, name)
            with suppress(OSError):
                handle = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
                try:
                    orphaned = lock_descriptor(handle, blocking=False)
                    if orphaned and os.name == "posix":
                        os.unlink(path)
                finally:
                    os.close(handle)
                if orphaned and os.name != "posix":  # Windows removes closed files only
                    os.unlink(path)


def _acquire(path: Path, owned: Path, doing: str, cure: str, deadline: float) -> tuple[int, bool]:
    """Return the descriptor of the locked file, -1 on a file system without locks, and whether the file existed."""
    while True:
        try:
            handle, killed, writable = _open(path)
            try:
                locked = lock_descriptor(handle, blocking=False)
            except OSError:  # the file system has no locks: NFS without its daemon, Lustre without -o flock
                os.close(handle)
                rule = "%s: is on a file system without locks; see to it that no other process writes into it"
                logging.getLogger(__name__).warning(rule, printable(owned))
                return -1, False
            if locked and _is_file_of(path, handle):
                if not writable:  # left by another user: replace it
                    os.unlink(path)
                    os.close(handle)
                    continue
                _write_owner(handle, doing)
                _inherited.add(handle)
                return handle, killed
            if not locked and time.monotonic() >= deadline:
                holder = _read_owner(handle)
                os.close(handle)
                raise OwnedError(owned, holder, cure)
            os.close(handle)
        except OSError as error:
            raise WriteError(owned, error) from error
        time.sleep(0 if locked else _POLL_SECONDS)


def _open(path: Path) -> tuple[int, bool, bool]:
    """Open or create the lock file; return also whether it existed, and whether it is open for writing."""
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    while True:
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | flags, 0o666), False, True
        except FileExistsError:
            pass
        except FileNotFoundError:  # another owner, which had created the folder, has removed it in between
            make_folder(path.parent)
            continue
        with suppress(FileNotFoundError):  # its owner has removed it in between
            try:
                return os.open(path, os.O_RDWR | flags), True, True
            except PermissionError:
                return os.open(path, os.O_RDONLY | flags), True, False


def _is_file_of(path: Path, handle: int) -> bool:
    """Return False if the lock file was removed by its owner after it was opened here."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(handle))
    except FileNotFoundError:
        return False


def _write_owner(handle: int, doing: str) -> None:
    # From byte 1: Windows lets nobody read byte 0, which is the locked one.
    owner = f"\nis being {doing} by process {os.getpid()} on {socket.gethostname()}\n"
    os.ftruncate(handle, 0)
    os.write(handle, owner.encode(errors="replace")[:_OWNER_BYTES])


def _read_owner(handle: int) -> str:
    for _ in range(20):  # its owner may be about to write it
        os.lseek(handle, 1, os.SEEK_SET)
        if owner := os.read(handle, _OWNER_BYTES).decode(errors="replace").strip():
            return printable(owner)
        time.sleep(_POLL_SECONDS)
    return "is being written by another process"


def _release(path: Path, handle: int) -> None:
    if handle < 0:
        with suppress(OSError):
            path.unlink()
        return
    _inherited.discard(handle)
    if os.name == "posix":  # while it is locked: afterwards it may be that of the next owner
        with suppress(OSError):
            path.unlink()
    os.close(handle)
    if os.name != "posix":  # Windows removes closed files only, and not one that the next owner has opened
        with suppress(OSError):
            path.unlink()
