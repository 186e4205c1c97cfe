"""A look at every file of a folder before training, so that none stops it later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from omniconv.data.dataset_folder import Folder, Sample
from omniconv.data.file_listing import Skipped
from omniconv.data.images import Header, read_header, read_image
from omniconv.data.masks import IGNORE_INDEX, check_labels, label_counts, read_mask
from omniconv.errors import FileError

_SMALL = (64, 64)


@dataclass(frozen=True, eq=False)
class Inspection:
    """What was found in a folder.

    Attributes:
        folder: the folder, without the bad samples where these were to be skipped.
        sizes: how many images have each upright (height, width).
        class_counts: int64, one count a class: pixels (segment) or images (classify).
        ignored: the number of pixels with the label 255.
    """

    folder: Folder
    sizes: Counter[tuple[int, int]]
    class_counts: np.ndarray
    ignored: int


def inspect(folder: Folder, *, binary: bool = False, skip_bad: bool = False) -> Inspection:
    """Decode every image and mask of a folder once, check them, and count sizes and classes.

    Args:
        folder: what ``scan`` listed.
        binary: the masks mark their one object with 255.
        skip_bad: leave bad samples out, each moved to ``folder.skipped`` with its reason, instead of raising.

    Raises:
        FileError: an image or mask cannot be used, or with ``skip_bad`` none can.

    Example:
        >>> inspect(scan("segment", "data")).sizes.most_common(1)  # doctest: +SKIP
        [((1080, 1920), 312)]
    """
    good: list[Sample] = []
    bad: list[Skipped] = []
    sizes: Counter[tuple[int, int]] = Counter()
    counts = np.zeros(len(folder.classes) + 1, np.int64)
    for sample in folder.samples:
        try:
            header, found = _look_at(sample, len(folder.classes), binary)
        except FileError as error:
            if not skip_bad:
                raise
            bad.append((sample.image, str(error).removeprefix(f"{sample.image}: ")))
        else:
            good.append(sample)
            sizes[header.size] += 1
            counts += found
    remaining = replace(folder, samples=tuple(good), skipped=folder.skipped + tuple(bad))
    _check_any_good(remaining, bad)
    return Inspection(remaining, sizes, counts[:-1], int(counts[-1]))


def require_objects(inspections: Iterable[Inspection]) -> None:
    """Check that the masks of all splits together hold more than background and ignored pixels.

    Raises:
        FileError: the values are 0 and 255 throughout, as in masks that mark the object with 255.
    """
    inspections = list(inspections)
    pixels = np.sum([inspection.class_counts for inspection in inspections], axis=0)
    folder = inspections[0].folder
    if folder.task == "segment" and not np.any(pixels[1:]) and any(inspection.ignored for inspection in inspections):
        rule = "the masks hold only the values 0 and 255, and 255 means 'ignore', so there is no object"
        cure = "add --binary if 255 marks the object, or save the object with its class index"
        raise FileError(folder.root, rule, cure)


def _look_at(sample: Sample, classes: int, binary: bool) -> tuple[Header, np.ndarray]:
    """The image's header and one count a class, with the count of ignored pixels behind them."""
    header = read_header(sample.image)
    read_image(sample.image, _SMALL)
    if isinstance(sample.target, int):
        return header, np.eye(1, classes + 1, sample.target, dtype=np.int64)[0]
    labels = read_mask(sample.target, header, binary)
    check_labels(sample.target, labels, classes)
    counts = label_counts(labels)
    return header, np.append(counts[:classes], counts[IGNORE_INDEX])


def _check_any_good(folder: Folder, bad: list[Skipped]) -> None:
    if bad and not folder.samples:
        path, reason = bad[0]
        raise FileError(folder.root, f"all {len(bad)} samples are bad", f"mend them, first {path}: {reason}")
