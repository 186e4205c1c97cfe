"""Identity of files by their content: changed files and copies are recognised whatever their names and times are."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from omniconv.errors import FileError
from omniconv.files import open_regular

DIGEST_BYTES = 16
"""Two of 2**32 different files have the same 128-bit digest with a probability below 1e-19."""
_THREADS = min(8, os.cpu_count() or 1)
_CURE = "restore it, or start a new run"
_MISSING_CURE = "restore it, or if the data was moved: omniconv train --resume RUN --data FOLDER"


class FileState(NamedTuple):
    """Content hash of a file, with the size and times by which it need not be computed again.

    Attributes:
        size: size in bytes.
        digest: BLAKE2b of the content in hexadecimal digits; empty if unknown, in the files of earlier versions.
        modified: time of the last change of the content in nanoseconds, ``st_mtime_ns``; 0 if unknown.
        changed: time of the last change of the file's entry in nanoseconds, ``st_ctime_ns``, which programs that copy
            or unpack files cannot set; 0 if unknown.
    """

    size: int
    digest: str = ""
    modified: int = 0
    changed: int = 0

    @classmethod
    def of(cls, path: Path) -> FileState:
        """Return the size and times of a file, without reading it.

        Raises:
            OSError: it does not exist.
        """
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise FileError(path, "is not a regular file", "replace it by a file")
        return cls(status.st_size, "", status.st_mtime_ns, status.st_ctime_ns)

    def to_json(self, path: Path) -> list[Any]:
        """Return the entry of a file in ``data.json``."""
        return [str(path.resolve()), *self]

    @staticmethod
    def from_json(entry: Any) -> tuple[Path, FileState]:
        """Return the path and the state of an entry in ``data.json``; earlier versions wrote path and size only.

        Raises:
            ValueError: it is no such entry.
        """
        types = (str, int, str, int, int)
        if not isinstance(entry, list) or len(entry) not in (2, len(types)):
            raise ValueError("a file must have a path, a size, a digest and two times")
        if any(type(value) is not expected for value, expected in zip(entry, types, strict=False)):
            raise ValueError("a file must have a path, a size, a digest and two times")
        path, *state = entry
        return Path(path), FileState(*state)

    def is_untouched(self, now: FileState) -> bool:
        """Return True if the file has its recorded size and times now, so that it need not be read again."""
        return self.digest != "" and self._replace(digest="") == now._replace(digest="")


def hash_file(path: Path) -> FileState:
    """Return the state of a file, with its digest.

    Raises:
        FileError: it cannot be read.

    Example:
        >>> _ = Path("/tmp/empty.txt").write_bytes(b"")
        >>> hash_file(Path("/tmp/empty.txt")).digest
        'cae66941d9efbd404e4d88758ea67670'
    """
    try:
        state = FileState.of(path)
        with open_regular(path) as file:
            # BLAKE2b is fast without special instructions of the processor: 0.7 GB/s on one core here, where SHA-256
            # reached 1.5 GB/s by the SHA extensions of x86, which older servers lack. 1,000 images of 512 x 1024 with
            # masks (282 MB) take 0.9 s of CPU time, their check before training, which decodes them, 10 s.
            new = partial(hashlib.blake2b, digest_size=DIGEST_BYTES)
            digest = hashlib.file_digest(file, new).hexdigest()  # type: ignore[arg-type]  # BinaryIO lacks readinto
    except OSError as error:
        raise _read_error(path, error) from error
    return state._replace(digest=digest)


def hash_files(paths: Iterable[Path]) -> dict[Path, FileState]:
    """Return the states of files, with their digests, computed by several threads.

    Raises:
        FileError: a file cannot be read.
    """
    distinct = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(_THREADS) as pool:  # hashlib releases the global interpreter lock
        return dict(zip(distinct, pool.map(hash_file, distinct), strict=True))


def check_unchanged(files: Mapping[Path, FileState]) -> dict[Path, FileState]:
    """Check that the files of a run have the content that they had when it began.

    Only files whose size or times differ from the recorded ones are read; without a recorded digest the sizes are
    compared.

    Returns:
        The files with their present times.

    Raises:
        FileError: files are missing or have changed; the message names the first one and says how many there are.
    """
    wrong: dict[Path, str] = {}
    missing: set[Path] = set()
    touched = []
    for path, recorded in files.items():
        try:
            now = FileState.of(path)
        except OSError:
            wrong[path] = "is a sample of the run but does not exist"
            missing.add(path)
            continue
        if now.size != recorded.size:
            wrong[path] = f"has changed since the run began ({now.size} bytes instead of {recorded.size})"
        elif recorded.digest and not recorded.is_untouched(now):
            touched.append(path)
    present = hash_files(touched)
    for path, now in present.items():
        if now.digest != files[path].digest:
            others = (other for other, recorded in files.items() if recorded.digest == now.digest)
            other = next(others, None)
            holds = f"it now holds the content of {other}" if other else "other content of the same size"
            wrong[path] = f"has changed since the run began ({holds})"
    if wrong:
        path = next(path for path in files if path in wrong)
        count = f" ({len(wrong)} of {len(files)} files are missing or have changed)" if len(wrong) > 1 else ""
        raise FileError(path, wrong[path] + count, _MISSING_CURE if path in missing else _CURE)
    return {**files, **present}


def find_copies(paths: Iterable[Path], originals: Mapping[Path, FileState]) -> dict[Path, Path]:
    """Return each path whose file has the content of one of ``originals``, with the path of that original.

    Only files of the size of an original are read, and no file whose size and times are those of its own entry.

    Args:
        paths: files to look up.
        originals: files by their absolute paths; entries without a digest are read, if the file still has its size.

    Raises:
        FileError: one of ``paths`` cannot be read.
    """
    by_size: dict[int, list[Path]] = defaultdict(list)
    for original, state in originals.items():
        by_size[state.size].append(original)
    known: dict[Path, FileState] = {}
    unread = []
    for path in paths:
        try:
            now = FileState.of(path)
        except OSError as error:
            raise _read_error(path, error) from error
        entry = originals.get(path) or originals.get(path.resolve())
        if entry and entry.is_untouched(now):
            known[path] = entry
        elif now.size in by_size:
            unread.append(path)
    known |= hash_files(unread)
    sizes = {state.size for state in known.values()}
    by_digest: dict[str, Path] = {}
    for path, digest in _digests(originals, sizes).items():
        by_digest.setdefault(digest, path)
    return {path: by_digest[state.digest] for path, state in known.items() if state.digest in by_digest}


def _digests(originals: Mapping[Path, FileState], sizes: set[int]) -> dict[Path, str]:
    """Return the digests of the originals of some sizes, and read those that have none, if they are still there."""
    found = {path: state.digest for path, state in originals.items() if state.digest}
    unread = [path for path, state in originals.items() if not state.digest and state.size in sizes and path.is_file()]
    return found | {path: now.digest for path, now in hash_files(unread).items() if now.size == originals[path].size}


def _read_error(path: Path, error: OSError) -> FileError:
    return FileError.from_os_error(path, "cannot be read", error, "check its path and permissions")
