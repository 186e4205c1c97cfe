"""Samples in a memory-mapped file: images and targets that do not fit into memory are decoded once."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omniconv.data.layouts.dataset_folder import Sample
from omniconv.files import WriteError, make_folder

_STATE = np.dtype([("stored", "<u4"), ("checksum", "<u4")])
_STORED = 0x5A3C0001
"""Value of ``stored`` of a sample that was written; the file begins as zeros."""


class DiskCache:
    """Images and targets of samples in a file, which several processes may read and write at the same time.

    Each sample has a place in the file, and is marked as stored, with a checksum, after it has been written there: one
    that a killed process did not complete, or that the system lost in a crash, counts as missing.

    Args:
        path: the file; it is created with its full size, or used again if it has that size.
        samples: the samples.
        image: image of any of them, uint8; all have its shape.
        target: target of any of them; one of another shape or dtype is not stored.

    Raises:
        WriteError: the file cannot be created, such as on a full disk.
    """

    def __init__(self, path: Path, samples: Sequence[Sample], image: np.ndarray, target: np.ndarray) -> None:
        self.path = path
        self.positions = {sample: index for index, sample in enumerate(samples)}
        self.image_shape, self.target_shape, self.target_dtype = image.shape, target.shape, target.dtype
        self.sample_bytes = image.nbytes + target.nbytes
        self.bytes = len(samples) * (_STATE.itemsize + self.sample_bytes)
        self._maps: tuple[np.ndarray, np.ndarray] | None = None
        if not path.is_file() or path.stat().st_size != self.bytes:
            _allocate(path, self.bytes)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_maps": None}  # workers open the file themselves

    def read(self, sample: Sample) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the image and the target of a sample, ``None`` if it is not stored."""
        states, contents = self._open()
        position = self.positions.get(sample)
        if position is None or states[position]["stored"] != _STORED:
            return None
        content = contents[position].copy()
        if zlib.crc32(content.data) != states[position]["checksum"]:
            return None
        size = int(np.prod(self.image_shape))
        target = np.frombuffer(content[size:].tobytes(), self.target_dtype).copy()  # aligned and writable
        return content[:size].reshape(self.image_shape), target.reshape(self.target_shape)

    def write(self, sample: Sample, image: np.ndarray, target: np.ndarray) -> None:
        """Store the image and the target of a sample."""
        position = self.positions.get(sample)
        same = (image.shape, target.shape, target.dtype) == (self.image_shape, self.target_shape, self.target_dtype)
        if position is None or not same:
            return
        states, contents = self._open()
        content = np.concatenate([np.ascontiguousarray(part).reshape(-1).view(np.uint8) for part in (image, target)])
        contents[position] = content
        states[position] = (_STORED, zlib.crc32(content.data))

    def _open(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the states ``(samples,)`` and the contents ``(samples, bytes)`` in the file."""
        if self._maps is None:
            count = len(self.positions)
            whole = np.memmap(self.path, np.uint8, "r+", shape=(self.bytes,))
            states = whole[: count * _STATE.itemsize].view(_STATE)
            self._maps = states, whole[count * _STATE.itemsize :].reshape(count, self.sample_bytes)
        return self._maps


def cache_path(folder: Path, content: Any) -> Path:
    """Return the path of the cache of samples in a folder; other content, which JSON can express, has another path."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return folder / f"samples-{digest[:16]}.bin"


def has_space(folder: Path, size: int) -> bool:
    """Return True if the disk of a folder has room for a file of ``size`` bytes and a tenth more."""
    return shutil.disk_usage(folder).free > 1.1 * size


def _allocate(path: Path, size: int) -> None:
    """Create a file of zeros, whose space is reserved: writing into its memory map cannot fail for lack of it."""
    make_folder(path.parent)
    for former in path.parent.glob("samples-*.bin"):
        former.unlink(missing_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            elif not has_space(path.parent, size):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            else:
                file.truncate(size)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise WriteError(path, error) from error
