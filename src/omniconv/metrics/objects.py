"""Objects of label maps: connected components of each class, their counts, and their matches in another label map.

Pixels are connected if they share an edge or a corner (8-connectivity). On a panorama the first column is beside the
last one, and all pixels of the first row share a corner, the pole, as those of the last row: what touches a pole there
is one object. So a count does not change when the panorama is rolled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, maximum_bipartite_matching

from omniconv.checks import check_integer, check_number
from omniconv.errors import InputError
from omniconv.surfaces.panorama import pixel_areas

BLOCK = 2**20
"""Pixels that are counted at once: ``bincount`` takes 8 bytes for each label and 8 for each weight."""
MATCH_IOU = 0.5
"""Intersection over union from which an object counts as found."""


class Wrapping(NamedTuple):
    """Edges of a label map that are connected.

    A whole panorama has all of them, a part of one those that it reaches.
    """

    columns: bool = False
    """The first column is beside the last one."""
    top: bool = False
    """The pixels of the first row meet at the north pole."""
    bottom: bool = False
    """The pixels of the last row meet at the south pole."""


class ObjectMatches(NamedTuple):
    """Numbers of objects of each class in two label maps, int64 ``(classes,)``."""

    true: np.ndarray
    predicted: np.ndarray
    matched: np.ndarray
    """Pairs of a true and a predicted object; each object is in one pair at most."""


def label_objects(mask: np.ndarray, panorama: bool | Wrapping = False) -> tuple[np.ndarray, int]:
    """Number the connected components of a mask by ``scipy.ndimage.label``, joined across the edges of a panorama.

    Args:
        mask: boolean ``(H, W)``, True in the objects.
        panorama: True for a whole panorama, whose columns wrap around and whose first and last rows are at the poles;
            or the edges that are connected.

    Returns:
        The number of each pixel's object, int32 ``(H, W)``, from 1; 0 outside. The number of objects.

    Raises:
        InputError: ``mask`` has no two axes.

    Example:
        >>> label_objects(np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]], bool))[1]
        2
        >>> seam = np.array([[0, 0, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]], bool)
        >>> label_objects(seam)[1], label_objects(seam, panorama=True)[1]
        (2, 1)
    """
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise InputError("mask", mask.shape, "must have two axes, rows and columns", "give one image at a time")
    labels, count = ndimage.label(mask, np.ones((3, 3), bool))
    first, second = _joined(labels, _wrapping(panorama))
    if not len(first):
        return labels, int(count)
    edges = coo_array((np.ones(len(first), bool), (first, second)), (count + 1, count + 1))
    found, component = connected_components(edges, directed=False)
    # The background is node 0, which no edge reaches, and the first to be numbered: it stays 0.
    for rows in _blocks(labels.shape):  # in place: a copy would take the memory of four images
        labels[rows] = component[labels[rows]]
    return labels, int(found) - 1


def count_objects(
    labels: np.ndarray,
    classes: int,
    panorama: bool | Wrapping = False,
    min_size: float = 0,
    areas: np.ndarray | None = None,
) -> np.ndarray:
    """Count the objects of each class in a label map; see ``label_objects``.

    Args:
        labels: class of each pixel, integers ``(H, W)``; values from ``classes`` on, such as 255, are ignored.
        classes: number of classes.
        panorama: True for a whole panorama, or the edges that are connected.
        min_size: smallest size of an object that is counted, in units of ``areas``.
        areas: area of the pixels of each row, ``(H,)``; by default 1, on a whole panorama relative to a pixel at the
            equator.

    Returns:
        int64 ``(classes,)``.

    Raises:
        InputError: an argument is out of range or has another shape.

    Example:
        >>> count_objects(np.array([[0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]), 2)
        array([1, 2])
        >>> count_objects(np.array([[0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]), 2, panorama=True)
        array([1, 1])
    """
    counter = _Counter(labels, classes, panorama, min_size, areas)
    return np.array([counter.objects(labels, index)[1].sum() for index in range(classes)], np.int64)


def match_objects(
    true: np.ndarray,
    predicted: np.ndarray,
    classes: int,
    panorama: bool | Wrapping = False,
    min_size: float = 0,
    areas: np.ndarray | None = None,
    iou: float = MATCH_IOU,
) -> ObjectMatches:
    """Count the objects of each class in two label maps, and those that overlap enough to be the same.

    A pair is matched if the area of its intersection is at least ``iou`` times that of its union. Where an object has
    several such partners, which needs an ``iou`` of at most 0.5, as many pairs as possible are matched.

    Args:
        true: true class of each pixel, integers ``(H, W)``; pixels with values from ``classes`` on are ignored in both.
        predicted: predicted class of each pixel, ``(H, W)``.
        classes: number of classes.
        panorama: True for a whole panorama, or the edges that are connected.
        min_size: smallest size of an object that is counted, in units of ``areas``.
        areas: area of the pixels of each row, as in ``count_objects``.
        iou: smallest intersection over union of a match, above 0 to 1.

    Raises:
        InputError: an argument is out of range or has another shape.

    Example:
        >>> true, predicted = np.array([[1, 1, 0, 1, 1, 1]]), np.array([[1, 1, 0, 0, 0, 1]])
        >>> [counts.tolist() for counts in match_objects(true, predicted, 2)]
        [[1, 2], [1, 2], [0, 1]]
    """
    true, predicted = np.asarray(true), np.asarray(predicted)
    if true.shape != predicted.shape:
        raise InputError("predicted", predicted.shape, f"must have the shape of true, {true.shape}", "resize it")
    check_number("iou", iou, lambda value: 0 < value <= 1, "must be a number above 0 to 1", "use 0.5")
    counter = _Counter(true, classes, panorama, min_size, areas)
    counts = np.zeros((3, classes), np.int64)
    known = true < classes
    for index in range(classes):
        first, kept_first, size_first = counter.objects(true, index)
        second, kept_second, size_second = counter.objects(predicted, index, known)
        counts[0, index], counts[1, index] = kept_first.sum(), kept_second.sum()
        if kept_first.any() and kept_second.any():
            shared = counter.intersections(first, second, (len(kept_first), len(kept_second)))
            union = size_first[shared.row] + size_second[shared.col] - shared.data
            same = (shared.data >= iou * union) & kept_first[shared.row] & kept_second[shared.col]
            pairs = csr_array((np.ones(same.sum(), bool), (shared.row[same], shared.col[same])), shared.shape)
            counts[2, index] = (maximum_bipartite_matching(pairs) >= 0).sum()
    return ObjectMatches(*counts)


class _Counter:
    """Counter of the objects of label maps of one shape; arguments as in ``count_objects``."""

    def __init__(
        self,
        labels: np.ndarray,
        classes: int,
        panorama: bool | Wrapping,
        min_size: float,
        areas: np.ndarray | None,
    ) -> None:
        shape = np.shape(labels)
        if len(shape) != 2:
            raise InputError("labels", shape, "must have two axes, rows and columns", "give one image at a time")
        check_integer("classes", classes, 1, "give the number of classes")
        rule = "must be a number of 0 or more"
        self.min_size = check_number("min_size", min_size, lambda size: size >= 0, rule, "use 0 to count all")
        self.wrapping = _wrapping(panorama)
        if areas is None and panorama is True:
            rows = pixel_areas(shape[0], 1)[:, 0]
            areas = rows / (2 * np.pi * np.pi / shape[0])
        if areas is not None and np.shape(areas) != shape[:1]:
            raise InputError("areas", np.shape(areas), f"must have one value for each of {shape[0]} rows", "give (H,)")
        self.areas = None if areas is None else np.asarray(areas, np.float64)

    def objects(
        self, labels: np.ndarray, index: int, known: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the objects of a class ``(H, W)``, and for each number whether it is counted, and its size."""
        mask = labels == index
        if known is not None:
            mask &= known
        numbers, count = label_objects(mask, self.wrapping)
        sizes = np.zeros(count + 1)
        for rows in _blocks(mask.shape):
            sizes += np.bincount(numbers[rows].ravel(), self._weights(rows, mask.shape[1]), count + 1)
        kept = sizes >= self.min_size
        kept[0] = False  # the rest
        return numbers, kept, sizes

    def intersections(self, first: np.ndarray, second: np.ndarray, shape: tuple[int, int]) -> coo_array:
        """Return the area that each object of ``first`` has in common with each one of ``second``."""
        total = csr_array(shape)
        for rows in _blocks(first.shape):
            both = ((first[rows] > 0) & (second[rows] > 0)).ravel()
            weights = self._weights(rows, first.shape[1])
            values = np.ones(both.sum()) if weights is None else weights[both]
            total += csr_array((values, (first[rows].ravel()[both], second[rows].ravel()[both])), shape)
        return total.tocoo()

    def _weights(self, rows: slice, width: int) -> np.ndarray | None:
        return None if self.areas is None else np.repeat(self.areas[rows], width)


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Return the rows of each block of an image."""
    step = max(1, BLOCK // max(1, shape[1]))
    return (slice(start, start + step) for start in range(0, shape[0], step))


def _wrapping(panorama: bool | Wrapping) -> Wrapping:
    return panorama if isinstance(panorama, Wrapping) else Wrapping(*[bool(panorama)] * 3)


def _joined(labels: np.ndarray, wrapping: Wrapping) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of components that touch across an edge."""
    pairs = [np.zeros((2, 0), labels.dtype)]
    if wrapping.columns and labels.size:
        left, right = labels[:, 0], labels[:, -1]
        pairs += [np.stack([left, right]), np.stack([left[1:], right[:-1]]), np.stack([left[:-1], right[1:]])]
    for is_joined, row in ((wrapping.top, 0), (wrapping.bottom, -1)):
        if is_joined and labels.size:
            touching = labels[row][labels[row] > 0]
            pairs.append(np.stack([touching, np.broadcast_to(touching[:1], touching.shape)]))
    first, second = np.concatenate(pairs, axis=1)
    differ = (first > 0) & (second > 0) & (first != second)
    return first[differ], second[differ]
