"""Lines for the user before a long computation: images that are not plain sRGB, and files that are skipped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from omniconv.data.file_listing import Skipped
from omniconv.data.images import Header, read_header, read_image
from omniconv.data.preprocessing import Preprocessing, check_panorama_size
from omniconv.errors import FileError, pluralize, printable
from omniconv.surfaces.panorama import may_have_pole_rows

SHOWN_NAMES = 3
SHOWN_REASONS = 8
POLE_ROWS = "an odd number of rows, read as cell centres; if the outer rows are the poles, average adjacent rows"
NOT_2_TO_1 = "not twice as wide as high, used as whole panoramas"
ASPECT_TOLERANCE = 0.02
"""Deviation from 2:1 that is not noted, 1 %: a panorama may lack a few rows or columns."""
GREY_MODES = ("1", "L", "LA", "I", "I;16")
"""Pillow's names of the pixel formats without colour."""
_SMALL = (32, 32)
"""Size at which an image is decoded to see whether it has colours."""


@dataclass
class ImageNotes:
    """Notes on images, with the files that they apply to.

    Args:
        spherical: the images are used as panoramas.

    Example:
        >>> notes = ImageNotes(spherical=True)
        >>> notes.add(Path("a.png"), Header(300, 100, "RGB", "PNG", 1))
        >>> notes.lines()
        {'not twice as wide as high, used as whole panoramas': '1 image (a.png)'}
    """

    spherical: bool
    _files: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))

    def add(self, path: Path, header: Header) -> None:
        """Add the notes on an image.

        Raises:
            FileError: the image is a part of a panorama that is too large, see ``check_panorama_size``.
        """
        notes = header.notes
        if self.spherical:
            check_panorama_size(path, header)
            height, width = header.panorama_size
            is_narrow = abs(width / height - 2) >= ASPECT_TOLERANCE and header.crop is None
            has_pole_rows = may_have_pole_rows(height, width) and header.crop is None
            notes += header.gpano_notes + (NOT_2_TO_1,) * is_narrow + (POLE_ROWS,) * has_pole_rows
        for note in notes:
            self._files[note].append(path)

    @classmethod
    def merge(cls, parts: Iterable[ImageNotes]) -> ImageNotes:
        """Return the notes of several groups of images."""
        merged = cls(spherical=False)
        for part in parts:
            for note, files in part._files.items():
                merged._files[note] += files
        return merged

    def lines(self) -> dict[str, str]:
        """Return the number and the first names of the images, by the note."""
        return {note: f"{pluralize(len(files), 'image')} ({_names(files)})" for note, files in self._files.items()}


def check_images(paths: Iterable[Path], spherical: bool) -> dict[str, str]:
    """Read the header of every image, and return the lines of ``ImageNotes``.

    Raises:
        FileError: an image cannot be used; the message tells how many cannot.
    """
    notes, errors, images = ImageNotes(spherical), [], 0
    for path in paths:
        images += 1
        try:
            notes.add(path, read_header(path))
        except FileError as error:
            errors.append(error)
    if len(errors) > 1:
        raise FileError.from_input_error(f"{len(errors)} of {images} images cannot be used, the first", errors[0])
    if errors:
        raise errors[0]
    return notes.lines()


def describe_differences(paths: Iterable[Path], preprocessing: Preprocessing) -> dict[str, str]:
    """Return notes on images that differ from those that a network was trained on, by the note.

    Args:
        paths: the images.
        preprocessing: that of the network. Images are compared with the shape that it resizes all images to, on a
            plane, and with the colours of its training images: grey ones, or others.
    """
    height, width = preprocessing.size
    stretched = f"stretched to the shape of the network's images, {height}x{width}"
    in_colour = "in colour, and the network was trained on grey images"
    grey = "grey, and the network was trained on images in colour"
    files: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        header = read_header(path)
        ratio = header.width * height / (header.height * width)
        if not preprocessing.surface.spherical and abs(ratio - 1) >= ASPECT_TOLERANCE:
            files[stretched].append(path)
        if header.mode in GREY_MODES and not preprocessing.is_grey:
            files[grey].append(path)
        elif header.mode not in GREY_MODES and preprocessing.is_grey:
            pixels = read_image(path, _SMALL)  # files in RGB may be grey
            if not (pixels == pixels[..., :1]).all():
                files[in_colour].append(path)
    return {note: f"{pluralize(len(found), 'image')} ({_names(found)})" for note, found in files.items()}


def describe_skipped(skipped: Sequence[Skipped]) -> dict[str, str]:
    """Return the names of skipped files and folders by their reason, the most frequent reasons first."""
    by_reason: dict[str, list[Path]] = defaultdict(list)
    for path, reason in skipped:
        by_reason[reason].append(path)
    ordered = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    lines = {f"skipped ({reason})": _names(paths) for reason, paths in ordered[:SHOWN_REASONS]}
    if rest := sum(len(paths) for _, paths in ordered[SHOWN_REASONS:]):
        lines["skipped for other reasons"] = pluralize(rest, "file")
    return lines


def _names(paths: Sequence[Path]) -> str:
    shown = ", ".join(printable(path) for path in paths[:SHOWN_NAMES])
    return shown if len(paths) <= SHOWN_NAMES else f"{shown} and {len(paths) - SHOWN_NAMES} more"
