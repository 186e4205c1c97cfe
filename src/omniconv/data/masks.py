"""Reading of masks: image files whose pixel values are labels."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from omniconv.data.images import (
    Header,
    apply_orientation,
    bits_per_channel,
    decode,
    open_image,
    raw_mode,
    read_orientation,
    row_blocks,
)
from omniconv.errors import FileError
from omniconv.files import open_regular

IGNORE_INDEX = 255
"""Label of pixels that are ignored in training and evaluation."""

_GREY_MODES = frozenset({"1", "L", "LA", "P", "PA", "I", "I;16", "I;16B", "I;16L"})
_COLOUR_MODES = frozenset({"RGB", "RGBA"})
_ALPHA_MODES = frozenset({"LA", "PA", "RGBA"})
_LOSSY_TIFF = frozenset({"jpeg", "tiff_jpeg", "webp"})
_SAVE_INDEX = "save the class index of each pixel as an 8-bit grey or palette PNG"
_BLOCK = 2**22  # pixels counted at once: bincount copies them to int64, 32 MiB


def read_mask(path: str | Path, image_header: Header | None = None, binary: bool = False) -> np.ndarray:
    """Read a mask as upright label indices.

    The values of palette, grey and 1-bit files of a lossless format are the labels. RGB files are accepted if their
    channels are equal, and 16-bit and 32-bit files if all values are at most 255. An alpha channel must be opaque: what
    a transparent pixel holds is not shown, and programs change it. Transparent palette entries and colour profiles only
    concern how a mask is displayed and are ignored.

    The mask's own EXIF orientation is applied. A mask without one is taken as upright, unless only the stored size of
    its image fits it: then the image's orientation is applied.

    Args:
        path: a PNG, BMP, TIFF or lossless WebP file.
        image_header: header of the image that the mask belongs to; the mask must have its size.
        binary: the mask contains 0 and 255 (or 0 and 1), and the second becomes class 1.

    Returns:
        Labels, uint8 (height, width); 255 is ignored (never with ``binary``).

    Raises:
        FileError: the file cannot be read, is lossy, is a colour picture, has transparent pixels, contains values above
            255, has another size than its image, or with ``binary`` contains values other than 0, 1 and 255.

    Example:
        >>> read_mask("masks/0001.png", read_header("images/0001.jpg"))  # doctest: +SKIP
    """
    with open_image(path) as image:
        _check_format(path, image)
        has_orientation = read_orientation(image) != 1
        picture = decode(path, image)
        if image_header is not None:
            picture = picture if has_orientation else orient_as_image(picture, image_header)
            check_mask_size(path, picture, image_header)
        labels = np.empty((picture.height, picture.width), np.uint8)
        for rows in row_blocks(picture.height, picture.width):
            labels[rows] = _read_labels(path, picture.crop((0, rows.start, picture.width, rows.stop)))
    return _read_binary(path, labels) if binary else labels


_LABEL_CURE = "add the missing names to classes.txt, or set these pixels to 255 to ignore them"


def check_labels(path: str | Path, labels: np.ndarray, classes: int, cure: str = _LABEL_CURE) -> None:
    """Check that every label is a class or 255.

    Args:
        path: the mask's file, for the error message.
        labels: result of ``read_mask``, (height, width).
        classes: number of classes.
        cure: how to correct it.

    Raises:
        FileError: a label is not below ``classes``.

    Example:
        >>> check_labels("mask.png", np.array([[0, 1], [2, 255]], np.uint8), classes=3)
    """
    values = np.flatnonzero(label_counts(labels))
    largest = max(values[values != IGNORE_INDEX], default=0)
    if largest >= classes:
        row, column = np.unravel_index(np.argmax(labels == largest), labels.shape)
        rule = f"has the label {largest} at row {row}, column {column}, but there are {classes} classes"
        raise FileError(path, f"{rule} (0 to {classes - 1})", cure)


def label_counts(labels: np.ndarray) -> np.ndarray:
    """Return the number of pixels of each label, int64 (256,); the last is that of ignored pixels.

    Example:
        >>> label_counts(np.array([[0, 1], [1, 255]], np.uint8))[:3]
        array([1, 2, 0])
    """
    pixels = labels.ravel()
    counts = np.zeros(256, np.int64)
    for start in range(0, pixels.size, _BLOCK):
        counts += np.bincount(pixels[start : start + _BLOCK], minlength=256)
    return counts


def _check_format(path: str | Path, image: Image.Image) -> None:
    if _is_lossy(path, image):
        rule = f"is a lossy {image.format} mask: its compression changes labels"
        raise FileError(path, rule, "save masks as PNG")
    if image.mode not in _GREY_MODES | _COLOUR_MODES:
        raise FileError(path, f"is a {image.mode} mask: a mask has one integer per pixel", _SAVE_INDEX)
    if raw_mode(image)[:3] in ("L;2", "L;4"):
        rule = f"is a {raw_mode(image)[2]}-bit grey mask, whose values Pillow scales to 0 to 255"
        raise FileError(path, rule, _SAVE_INDEX)
    if bits_per_channel(image) > 8 and not image.mode.startswith("I"):
        raise FileError(path, "is a mask of several 16-bit channels", _SAVE_INDEX)


def _is_lossy(path: str | Path, image: Image.Image) -> bool:
    if image.format == "WEBP":
        with open_regular(path) as file:
            return _is_lossy_webp(file)
    return image.format in ("JPEG", "MPO") or image.info.get("compression") in _LOSSY_TIFF


def _is_lossy_webp(file: BinaryIO) -> bool:
    # RIFF container: "RIFF", a length, "WEBP", then chunks of a name, a length and an even number of bytes; a lossless
    # image is in a chunk "VP8L".
    file.seek(12)
    while len(start := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", start)
        if name == b"VP8L":
            return False
        file.seek(length + length % 2, 1)
    return True


def orient_as_image(picture: Image.Image, header: Header) -> Image.Image:
    """Apply the orientation of an image to its mask, if only the stored size of the image fits the mask."""
    size = (picture.height, picture.width)
    is_stored_size = size == header.stored_size and size != header.size
    return apply_orientation(picture, header.orientation) if is_stored_size else picture


def check_mask_size(path: object, picture: Image.Image, header: Header) -> None:
    """Check that an upright mask has the size of its image.

    Raises:
        FileError: it has another size.
    """
    if (picture.height, picture.width) != header.size:
        rule = f"the mask is {picture.height} x {picture.width} but its image is {header.height} x {header.width}"
        raise FileError(path, f"{rule} (height x width)", "save the mask at the size of its image")


def _read_labels(path: str | Path, picture: Image.Image) -> np.ndarray:
    values = np.asarray(picture)
    if picture.mode in _ALPHA_MODES and values[..., -1].min() < 255:
        rule = "has transparent pixels, and what a transparent pixel holds is not shown"
        raise FileError(path, rule, f"{_SAVE_INDEX}, and 255 where it is to be ignored")
    if values.ndim == 3:
        colours = values[..., :3] if picture.mode in _COLOUR_MODES else values[..., :1]
        values = colours[..., 0]
        if np.any(colours != values[..., None]):
            raise FileError(path, "is a colour picture, not a mask of labels", _SAVE_INDEX)
    if values.min() < 0 or values.max() > 255:
        rule = f"contains values from {values.min()} to {values.max()}: labels are 0 to 255"
        raise FileError(path, rule, _SAVE_INDEX)
    return np.array(values, np.uint8)


def _read_binary(path: str | Path, labels: np.ndarray) -> np.ndarray:
    values = np.flatnonzero(label_counts(labels))
    others = values[(values > 1) & (values < 255)]
    if others.size:
        rule = f"contains the value {others[0]}: with binary=True a mask contains only 0 and 255 (or 0 and 1)"
        raise FileError(path, rule, "save it without smoothing, or leave out binary")
    return (labels > 0).view(np.uint8)
