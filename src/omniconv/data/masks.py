"""Masks: one label a pixel, read without a change, and checked against the classes."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from PIL import Image

from omniconv.data.image_file import bits_a_channel, decode, open_image, raw_mode, read_orientation, turn
from omniconv.data.images import Header
from omniconv.errors import FileError

IGNORE_INDEX = 255

_GREY_MODES = frozenset({"1", "L", "LA", "P", "PA", "I", "I;16", "I;16B", "I;16L"})
_COLOUR_MODES = frozenset({"RGB", "RGBA"})
_LOSSY_TIFF = frozenset({"jpeg", "tiff_jpeg", "webp"})
_SAVE_INDEX = "save the class index of each pixel as an 8-bit grey or palette PNG"
_BLOCK = 2**22


def read_mask(path: str | Path, image_header: Header | None = None, binary: bool = False) -> np.ndarray:
    """Read a mask as upright label indices.

    Palette, grey and 1-bit files of a lossless format hold labels as they are; three equal colour channels
    count as grey, and 16-bit or 32-bit values are taken where all are at most 255.

    A mask is turned by its own EXIF orientation. One that has none is taken as upright; only where it does
    not fit the upright image but the pixels as stored is it turned with the image.

    Args:
        path: a PNG, BMP, TIFF or lossless WebP file.
        image_header: the header of the image that the mask belongs to; its size must be the mask's.
        binary: the mask marks its one object with 255 (or 1), which becomes class 1.

    Returns:
        The labels, uint8 of shape (height, width); 255 means ignored (never with ``binary``).

    Raises:
        FileError: the file cannot be read, is lossy, is a colour picture, holds values above 255, does not
            have the image's size, or with ``binary`` holds others than 0, 1 and 255.

    Example:
        >>> read_mask("masks/0001.png", read_header("images/0001.jpg"))  # doctest: +SKIP
    """
    with open_image(path) as image:
        _check_kind(path, image)
        turned = read_orientation(image) != 1
        picture = decode(path, image)
        if image_header is not None:
            picture = picture if turned else _turn_with_image(picture, image_header)
            _check_size(path, picture, image_header)
        labels = _read_labels(path, picture)
    return _read_binary(path, labels) if binary else labels


def check_labels(path: str | Path, labels: np.ndarray, classes: int) -> None:
    """Check that every label is a class or 255.

    Args:
        path: the mask's file, for the message.
        labels: what ``read_mask`` returned, (height, width).
        classes: the number of classes.

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
        cure = "add the missing names to classes.txt, or set these pixels to 255 to ignore them"
        raise FileError(path, f"{rule} (0 to {classes - 1})", cure)


def label_counts(labels: np.ndarray) -> np.ndarray:
    """Count the pixels of each label 0 to 255.

    Returns:
        The counts, int64 of shape (256,); the last is the number of ignored pixels.

    Example:
        >>> label_counts(np.array([[0, 1], [1, 255]], np.uint8))[:3]
        array([1, 2, 0])
    """
    pixels = labels.ravel()
    counts = np.zeros(256, np.int64)
    for start in range(0, pixels.size, _BLOCK):  # bincount widens its input to 8 bytes a pixel
        counts += np.bincount(pixels[start : start + _BLOCK], minlength=256)
    return counts


def _check_kind(path: str | Path, image: Image.Image) -> None:
    if _is_lossy(path, image):
        rule = f"is a lossy {image.format} mask: its compression changes labels"
        raise FileError(path, rule, "save masks as PNG")
    if image.mode not in _GREY_MODES | _COLOUR_MODES:
        raise FileError(path, f"is a {image.mode} mask: a mask holds whole numbers", _SAVE_INDEX)
    if raw_mode(image)[:3] in ("L;2", "L;4"):
        rule = f"is a {raw_mode(image)[2]}-bit grey mask, which spreads its labels over 0 to 255"
        raise FileError(path, rule, _SAVE_INDEX)
    if bits_a_channel(image) > 8 and not image.mode.startswith("I"):
        raise FileError(path, "is a mask of several 16-bit channels", _SAVE_INDEX)


def _is_lossy(path: str | Path, image: Image.Image) -> bool:
    if image.format == "WEBP":
        return _is_lossy_webp(Path(path).read_bytes())
    return image.format in ("JPEG", "MPO") or image.info.get("compression") in _LOSSY_TIFF


def _is_lossy_webp(content: bytes) -> bool:
    offset = 12  # behind "RIFF", the length and "WEBP" stand chunks of a name, a length and an even number of bytes
    while offset + 8 <= len(content):
        name, length = struct.unpack_from("<4sI", content, offset)
        if name == b"VP8L":
            return False
        offset += 8 + length + length % 2
    return True


def _turn_with_image(picture: Image.Image, header: Header) -> Image.Image:
    size = (picture.height, picture.width)
    lies_as_stored = size == header.stored_size and size != header.size
    return turn(picture, header.orientation) if lies_as_stored else picture


def _check_size(path: str | Path, picture: Image.Image, header: Header) -> None:
    if (picture.height, picture.width) != header.size:
        rule = f"the mask is {picture.height} x {picture.width} but its image is {header.height} x {header.width}"
        raise FileError(path, f"{rule} (height x width)", "save the mask at the size of its image")


def _read_labels(path: str | Path, picture: Image.Image) -> np.ndarray:
    values = np.asarray(picture)
    if values.ndim == 3:
        colours = values[..., :3] if picture.mode in _COLOUR_MODES else values[..., :1]
        values = colours[..., 0]
        if np.any(colours != values[..., None]):
            raise FileError(path, "is a colour picture, not a mask of labels", _SAVE_INDEX)
    if values.min() < 0 or values.max() > 255:
        rule = f"holds values from {values.min()} to {values.max()}: labels are 0 to 255"
        raise FileError(path, rule, _SAVE_INDEX)
    return np.array(values, np.uint8)


def _read_binary(path: str | Path, labels: np.ndarray) -> np.ndarray:
    strangers = labels[(labels > 1) & (labels < 255)]
    if strangers.size:
        rule = f"holds the value {strangers[0]}: with --binary a mask holds only 0 and 255 (or 0 and 1)"
        raise FileError(path, rule, "save it without smoothing, or leave out --binary")
    return (labels > 0).astype(np.uint8)
