"""The two layouts of a folder of samples: images with masks, and a folder for each class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from omniconv.data.classes import CLASSES_FILE, check_same_classes, number_names
from omniconv.data.file_listing import Skipped, check_folder, find_images, visible_folders
from omniconv.data.masks import IGNORE_INDEX, label_counts, read_mask
from omniconv.errors import FileError

LAYOUTS = {
    "segment": "expected images/NAME.jpg with masks/NAME.png in it, or in its train, val and test folders",
    "classify": "expected CLASS/NAME.jpg with a folder for each class in it, or in its train, val and test folders",
}


@dataclass(frozen=True)
class Sample:
    """An image and what is known of it: its mask's path (segment) or its class index (classify)."""

    image: Path
    target: Path | int


@dataclass(frozen=True)
class Folder:
    """The samples of a folder.

    Attributes:
        task: ``"segment"`` or ``"classify"``.
        root: the folder.
        samples: the samples, sorted by the images' paths (classify: class by class).
        classes: the class names, in the order of the class indices.
        skipped: files and folders that hold no sample, each with the reason.
    """

    task: str
    root: Path
    samples: tuple[Sample, ...]
    classes: tuple[str, ...]
    skipped: tuple[Skipped, ...]


def scan_segment(root: Path, classes: tuple[str, ...] | None) -> Folder:
    """List ``root/images`` with ``root/masks``; see [`scan`][omniconv.data.folders.scan]."""
    images, skipped = _by_stem(root / "images")
    masks, skipped_masks = _by_stem(root / "masks")
    _check_pairs(root, images, masks)
    samples = tuple(Sample(image, masks[stem]) for stem, image in images.items())
    orphans = [(mask, "has no image") for stem, mask in masks.items() if stem not in images]
    names = classes or number_names(_count_classes([masks[stem] for stem in images]))
    if len(names) > IGNORE_INDEX:
        raise FileError(
            root / CLASSES_FILE, f"names {len(names)} classes: a mask holds up to {IGNORE_INDEX}", "merge some"
        )
    return Folder("segment", root, samples, names, tuple(skipped + skipped_masks + orphans))


def _by_stem(folder: Path) -> tuple[dict[Path, Path], list[Skipped]]:
    check_folder(folder, LAYOUTS["segment"])
    found, skipped = find_images(folder)
    files: dict[Path, Path] = {}
    for file in found:
        other = files.setdefault(file.relative_to(folder).with_suffix(""), file)
        if other != file:
            raise FileError(file, f"has the same name as {other.name}", "rename one of them, and its partner with it")
    return files, skipped


def _check_pairs(root: Path, images: dict[Path, Path], masks: dict[Path, Path]) -> None:
    if not images:
        raise FileError(root / "images", "holds no images", LAYOUTS["segment"])
    alone = [stem for stem in images if stem not in masks]
    if alone:
        expected = root / "masks" / f"{alone[0]}.png"
        rule = f"has no mask ({len(alone)} of {len(images)} images lack one)"
        raise FileError(images[alone[0]], rule, f"expected {expected}, or take the image out")


def _count_classes(masks: list[Path]) -> int:
    return max(2, *(_largest_label(mask) + 1 for mask in masks))


def _largest_label(mask: Path) -> int:
    try:
        counts = label_counts(read_mask(mask))
    except FileError:  # a bad mask is for `inspect` to name or to leave out
        return 0
    return int(max(counts[:IGNORE_INDEX].nonzero()[0], default=0))


def scan_classify(root: Path, classes: tuple[str, ...] | None) -> Folder:
    """List the class folders of ``root``; see [`scan`][omniconv.data.folders.scan]."""
    names = tuple(folder.name for folder in visible_folders(root))
    if len(names) < 2:
        raise FileError(root, f"has {len(names)} class folders: there must be at least 2", LAYOUTS["classify"])
    if classes:
        check_same_classes(root, tuple(sorted(names)), tuple(sorted(classes)), CLASSES_FILE)
    samples: list[Sample] = []
    skipped = _skip_beside_classes(root)
    for index, name in enumerate(classes or names):
        images, others = find_images(root / name)
        if not images:
            raise FileError(root / name, "holds no images", "put images of this class in it or remove the folder")
        samples += [Sample(image, index) for image in images]
        skipped += others
    return Folder("classify", root, tuple(samples), classes or names, tuple(skipped))


def _skip_beside_classes(root: Path) -> list[Skipped]:
    files = sorted(path for path in root.iterdir() if path.is_file() and path.name != CLASSES_FILE)
    return [(file, "lies in no class folder") for file in files]


SCANS: dict[str, Callable[[Path, tuple[str, ...] | None], Folder]] = {
    "segment": scan_segment,
    "classify": scan_classify,
}
