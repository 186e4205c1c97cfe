"""Digits of 28×28 pixels: MNIST from a folder, or the small data set of scikit-learn."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from examples.spherical_mnist.projection import SIDE
from omniconv.errors import FileError

IDX_PARTS = {"train": "train", "test": "t10k"}
FORMATS = "mnist_train.npz and mnist_test.npz, or train-images-idx3-ubyte, t10k-labels-idx1-ubyte and so on"


@dataclass(frozen=True)
class Digits:
    """Images of digits with their labels.

    Args:
        images: uint8 ``(n, 28, 28)``, bright strokes on black.
        labels: int64 ``(n,)``, 0 to 9.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int | None) -> Digits:
        """Return the first ``count`` digits, or all."""
        return Digits(self.images[:count], self.labels[:count])


def load(folder: Path | None) -> tuple[Digits, Digits]:
    """Load training and test digits.

    Args:
        folder: folder of MNIST as ``mnist_train.npz`` and ``mnist_test.npz`` (``x``: uint8 ``(n, 28, 28)``, ``y``:
            ``(n,)``) or as its four idx files, gzipped or not; ``None`` for scikit-learn's 1,797 digits.

    Raises:
        FileError: a missing, damaged or unsuitable file.
    """
    if folder is None:
        return small()
    train, test = (_part(folder, part) for part in ("train", "test"))
    return train, test


def small() -> tuple[Digits, Digits]:
    """Return scikit-learn's digits of 8×8 pixels, enlarged to 20×20 inside 28×28; every fifth is for testing."""
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.zeros((len(digits.target), SIDE, SIDE), np.uint8)
    enlarged = zoom(digits.images / 16, (1, 2.5, 2.5), order=1, grid_mode=True, mode="nearest")
    images[:, 4:24, 4:24] = np.rint(255 * enlarged.clip(0, 1))
    test = np.arange(len(images)) % 5 == 0
    labels = digits.target.astype(np.int64)
    return Digits(images[~test], labels[~test]), Digits(images[test], labels[test])


def _part(folder: Path, part: str) -> Digits:
    arrays = folder / f"mnist_{part}.npz"
    images, labels = _from_npz(arrays) if arrays.is_file() else _from_idx(folder, IDX_PARTS[part])
    fits = images.ndim == 3 and images.shape[1:] == (SIDE, SIDE) and images.dtype == np.uint8
    if not fits or labels.shape != images.shape[:1] or not len(labels):
        rule = f"has images {images.dtype} {images.shape} and labels {labels.shape}"
        raise FileError(folder, f"{part} {rule}, not uint8 (n, 28, 28) and (n,)", "give the original MNIST files")
    if labels.dtype.kind not in "ui" or labels.min() < 0 or labels.max() > 9:
        raise FileError(folder, f"{part} has labels that are not 0 to 9", "give the original MNIST files")
    return Digits(images, labels.astype(np.int64))


def _from_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(path) as found:
            return found["x"], found["y"]
    except (OSError, ValueError, KeyError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise FileError(path, "is not an npz file with the arrays x and y", "write it again") from error


def _from_idx(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    images, labels = (_idx_path(folder, part, kind) for kind in ("images-idx3", "labels-idx1"))
    return idx_array(images), idx_array(labels)


def _idx_path(folder: Path, part: str, kind: str) -> Path:
    name = f"{part}-{kind}-ubyte"
    dotted = name.replace("-idx", ".idx")  # some archives unpack to this name
    for path in (folder / each for each in (name, f"{name}.gz", dotted, f"{dotted}.gz")):
        if path.is_file():
            return path
    raise FileError(folder, f"has no {name}, nor .npz files", f"give a folder with {FORMATS}")


def idx_array(path: Path) -> np.ndarray:
    """Read an idx file of bytes as an array.

    Raises:
        FileError: a damaged file, or one of another dtype.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(path, "cannot be read", "download it again") from error
    axes = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    shape = tuple(int(size) for size in np.frombuffer(content[4 : 4 + 4 * axes], ">u4")) if axes else ()
    if not axes or len(content) != 4 + 4 * axes + int(np.prod(shape, dtype=np.int64)):
        raise FileError(path, "is not a complete idx file of bytes", "download it again")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
