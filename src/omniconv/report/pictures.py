"""Labels as colours: painted, laid over the image, and compared with the truth."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence

import numpy as np

from omniconv.errors import InputError
from omniconv.report.checks import (
    Picture,
    as_image,
    require_colour_image,
    require_count,
    require_labels,
    require_same_size,
)
from omniconv.report.sheet import contact_sheet as contact_sheet

BACKGROUND = (58, 71, 88)
OKABE_ITO = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (0, 114, 178), (213, 94, 0), (204, 121, 167), (240, 228, 66))
SHADES = ((0.75, 0.85), (0.55, 0.60), (0.40, 0.95))  # saturation and value, in turn
FIRST_HUE, GOLDEN_TURN = 0.75, 0.6180339887498949
CORRECT, WRONG = (226, 229, 232), (225, 29, 42)
HATCH_PAPER, HATCH_LINE = (246, 246, 246), (188, 188, 188)


def palette(classes: int) -> np.ndarray:
    """Colours of the classes: a calm grey-blue background, the Okabe-Ito colours, then evenly spread hues.

    A class keeps its colour however many classes follow it.

    Args:
        classes: how many, background included; at least 1.

    Returns:
        uint8 (classes, 3).

    Raises:
        InputError: ``classes`` is below 1.

    Example:
        >>> palette(2).tolist()
        [[58, 71, 88], [230, 159, 0]]
    """
    require_count("classes", classes)
    fixed = (BACKGROUND, *OKABE_ITO)[:classes]
    return np.array([*fixed, *(_hue(index) for index in range(classes - len(fixed)))], np.uint8)


def paint(labels: np.ndarray, classes: int, ignored: int = 255) -> np.ndarray:
    """Paint each pixel in the colour of its class.

    Args:
        labels: whole numbers (H, W), 0 to ``classes - 1`` or ``ignored``.
        classes: how many classes there are, background included.
        ignored: the label of pixels that do not count; they are drawn hatched in light grey.

    Returns:
        uint8 (H, W, 3).

    Raises:
        InputError: a label is neither a class nor ``ignored``, or the array is no label map.

    Example:
        >>> paint(np.array([[0, 1]]), classes=2).tolist()
        [[[58, 71, 88], [230, 159, 0]]]
    """
    require_labels("labels", labels)
    colours = palette(classes)
    indices = np.where(labels == ignored, 0, labels).astype(np.intp)
    strange = indices[(indices < 0) | (indices >= classes)]
    if strange.size:
        rule = f"must be a class, 0 to {classes - 1}, or the ignored label {ignored}"
        raise InputError("labels", int(strange[0]), rule, "raise classes or name the ignored label")
    return _hatched(colours[indices], labels == ignored)


def overlay(
    image: np.ndarray, labels: np.ndarray, classes: int, opacity: float = 0.45, ignored: int = 255
) -> np.ndarray:
    """Lay translucent class colours over the image, with a thin line of full colour along each class's edge.

    The background, class 0, leaves the image as it is.

    Args:
        image: uint8 (H, W, 3).
        labels: whole numbers (H, W), 0 to ``classes - 1`` or ``ignored``.
        classes: how many classes there are, background included.
        opacity: 0 shows the image alone, 1 the colours alone.
        ignored: the label of pixels that do not count; a hatching is laid over them.

    Returns:
        uint8 (H, W, 3).

    Raises:
        InputError: the sizes differ, a label is no class, or ``opacity`` is outside 0 to 1.

    Example:
        >>> image = np.full((1, 2, 3), 100, np.uint8)
        >>> overlay(image, np.array([[0, 0]]), classes=2).tolist() == image.tolist()
        True
    """
    require_colour_image("image", image)
    if not 0 <= opacity <= 1:
        raise InputError("opacity", opacity, "must be from 0 to 1", "use opacity=0.45 for a clear view of both")
    colours = paint(labels, classes, ignored)
    require_same_size("labels", labels, "image", image)
    strength = np.where(labels == 0, 0.0, opacity)
    strength[_edges(labels) & (labels != 0) & (labels != ignored)] = 1.0
    mixed = image + (colours - image.astype(np.float64)) * strength[..., None]
    return np.rint(mixed).astype(np.uint8)


def errors(truth: np.ndarray, prediction: np.ndarray, ignored: int = 255) -> np.ndarray:
    """Show where a prediction is wrong: vivid red on pale grey.

    Args:
        truth: true labels, whole numbers (H, W).
        prediction: predicted labels, whole numbers (H, W).
        ignored: pixels with this true label do not count and are hatched.

    Returns:
        uint8 (H, W, 3).

    Raises:
        InputError: an array is no label map, or the sizes differ.

    Example:
        >>> errors(np.array([[1, 1]]), np.array([[1, 0]])).tolist()
        [[[226, 229, 232], [225, 29, 42]]]
    """
    require_labels("truth", truth)
    require_labels("prediction", prediction)
    require_same_size("prediction", prediction, "truth", truth)
    colours = np.where((truth == prediction)[..., None], np.array(CORRECT, np.uint8), np.array(WRONG, np.uint8))
    return _hatched(colours, truth == ignored)


def legend(classes_names: Sequence[str]) -> list[tuple[str, str]]:
    """Pair each class name with its CSS colour.

    Args:
        classes_names: the names in the order of their labels, the background first; at least one.

    Raises:
        InputError: no name was given.

    Example:
        >>> legend(["sea", "land"])
        [('sea', '#3a4758'), ('land', '#e69f00')]
    """
    colours = palette(len(classes_names))
    return [(name, f"#{bytes(colour).hex()}") for name, colour in zip(classes_names, colours, strict=True)]


def png_bytes(picture: Picture) -> bytes:
    """The picture as a PNG file.

    Args:
        picture: a Pillow image, or uint8 of shape (H, W), (H, W, 3) or (H, W, 4).

    Raises:
        InputError: an array of another shape or dtype.

    Example:
        >>> png_bytes(np.zeros((2, 2), np.uint8))[1:4]
        b'PNG'
    """
    buffer = io.BytesIO()
    as_image(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def _hue(index: int) -> tuple[int, int, int]:
    saturation, value = SHADES[index % len(SHADES)]
    red, green, blue = colorsys.hsv_to_rgb((FIRST_HUE + index * GOLDEN_TURN) % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def _hatched(colours: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(ignored.shape)
    line = (rows + columns) % 8 < 2
    hatch = np.array([HATCH_PAPER, HATCH_LINE], np.uint8)[line.astype(np.intp)]
    return np.where(ignored[..., None], hatch, colours)


def _edges(labels: np.ndarray) -> np.ndarray:
    """Whether a pixel has a neighbour above, below, left or right of another label: bool (H, W)."""
    edges = np.zeros(labels.shape, bool)
    below, beside = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    edges[1:] |= below
    edges[:-1] |= below
    edges[:, 1:] |= beside
    edges[:, :-1] |= beside
    return edges
