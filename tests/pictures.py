"""Pictures for the tests of omniconv.data, made in a few lines."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

ORIENTATION = 0x0112


def pattern(height: int = 12, width: int = 20) -> np.ndarray:
    """An RGB picture without any symmetry: three quarters of it in different colours."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (250, 10, 10)
    pixels[: height // 2, width // 2 :] = (10, 250, 10)
    pixels[height // 2 :, : width // 2] = (10, 10, 250)
    return pixels


def labels(height: int = 12, width: int = 20) -> np.ndarray:
    """The labels 1, 2, 3 and 0 of the quarters of ``pattern``."""
    indices = np.zeros((height, width), np.uint8)
    indices[: height // 2, : width // 2] = 1
    indices[: height // 2, width // 2 :] = 2
    indices[height // 2 :, : width // 2] = 3
    return indices


def stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels that a camera stores under an EXIF orientation so that they show as ``upright``."""
    return {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }[orientation](upright)


def save(path: Path, pixels: np.ndarray | Image.Image, orientation: int = 1, **options: object) -> Path:
    """Save pixels, with an EXIF orientation unless it is 1; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.ascontiguousarray(pixels))
    if orientation != 1:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        options["exif"] = exif
    image.save(path, **options)
    return path


def cut(path: Path, share: float = 0.6) -> Path:
    """Cut the end off a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def write_png(path: Path, width: int, height: int, bits: int, kind: int, rows: bytes = b"") -> Path:
    """Write a PNG of any depth and kind (0 grey, 2 RGB); ``rows`` are the raw rows with their filter bytes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def noise(height: int = 64, width: int = 96) -> np.ndarray:
    """RGB noise, which compresses badly, so that a cut file lacks pixels."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
