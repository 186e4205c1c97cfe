"""What a picture, a label map and a count must be, said once for the whole report."""

from __future__ import annotations

import numpy as np
from PIL import Image

from omniconv.errors import InputError

Picture = np.ndarray | Image.Image


def require_count(argument: str, value: int) -> None:
    """Refuse a number that is below one.

    Raises:
        InputError: ``value`` is less than 1.
    """
    if value < 1:
        raise InputError(argument, value, "must be at least 1", f"use {argument}=1 or more")


def require_colour_image(argument: str, image: np.ndarray) -> None:
    """Refuse an array that is not a colour image: uint8, (H, W, 3), with at least one pixel.

    Raises:
        InputError: the shape or the dtype does not fit.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        rule = "must be a colour image, uint8 of shape (H, W, 3)"
        raise InputError(argument, _kind(image), rule, "scale it to 0..255 and put the three colours last")


def require_labels(argument: str, labels: np.ndarray) -> None:
    """Refuse an array that is not a label map: whole numbers, (H, W), with at least one pixel.

    Raises:
        InputError: the shape or the dtype does not fit.
    """
    if labels.ndim != 2 or labels.dtype.kind not in "iub" or labels.size == 0:
        rule = "must be a label map, whole numbers of shape (H, W)"
        raise InputError(argument, _kind(labels), rule, "take the argmax over the classes of one image")


def require_same_size(argument: str, value: np.ndarray, other_argument: str, other: np.ndarray) -> None:
    """Refuse two images whose heights or widths differ.

    Raises:
        InputError: the first two axes differ.
    """
    if value.shape[:2] != other.shape[:2]:
        rule = f"must be as high and wide as {other_argument}, {other.shape[:2]}"
        raise InputError(argument, value.shape[:2], rule, "resize one of them")


def as_image(picture: Picture) -> Image.Image:
    """The Pillow image of an array; a Pillow image comes back as it is.

    Args:
        picture: a Pillow image, or uint8 of shape (H, W), (H, W, 3) or (H, W, 4).

    Raises:
        InputError: an array of another shape or dtype.
    """
    if isinstance(picture, Image.Image):
        return picture
    shaped = picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] in (3, 4))
    if not shaped or picture.dtype != np.uint8 or picture.size == 0:
        rule = "must be uint8 of shape (H, W), (H, W, 3) or (H, W, 4)"
        raise InputError("picture", _kind(picture), rule, "scale it to 0..255 and put the colours last")
    return Image.fromarray(np.ascontiguousarray(picture))


def _kind(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"
