"""Copies of images within a data set and between its splits, found by their content."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

from omniconv.data.content import FileState, find_copies
from omniconv.data.file_listing import find_images
from omniconv.data.layouts.dataset_folder import DatasetFolder, has_splits, scan_folder
from omniconv.errors import FileError
from omniconv.tasks.base import Facts, Task
from omniconv.training.dataset_splits import DatasetSplits


def describe_copies(splits: DatasetSplits, data: Path) -> Facts:
    """Return what is to be said before training on images of the same content, by their headings.

    Args:
        splits: the samples of a run.
        data: the data set, whose ``test/`` is compared with them, too.
    """
    training, validation = splits.images(splits.training), splits.images(splits.validation)
    facts = {}
    is_held_out = splits.validation is not None and splits.validation.root == splits.training.root
    copies = _repeated([*training, *(validation if is_held_out else ())], splits.files)
    if copies:
        text = f"{len(copies)} images have the content of another one, such as {_example(copies)}"
        facts["copies"] = text + ("; such images are either all trained on or all held out" if is_held_out else "")
    mixed = _differing_targets(splits)
    if mixed:
        reason = "the same image with different targets"
        facts["contradictions"] = f"{len(mixed)} images, such as {_example(mixed)}: {reason}"
    for name, images in (("val", validation), ("test", _test_images(splits.task, data))):
        seen = find_copies(images, training)
        if seen:
            effect = "what is measured on them is too good"
            count = f"{len(seen)} of {len(images)} images"
            facts[f"{name} overlaps train"] = f"{count} are trained on, too, such as {_example(seen)}: {effect}"
    return facts


def _repeated(images: Sequence[Path], files: Mapping[Path, FileState]) -> dict[Path, Path]:
    """Return each image whose content an earlier one has, with that one."""
    first: dict[str, Path] = {}
    originals = {image: first.setdefault(files[image].digest, image) for image in images}
    return {image: original for image, original in originals.items() if image != original}


def _differing_targets(splits: DatasetSplits) -> dict[Path, Path]:
    """Return images, each with an earlier image of the same content but another target."""
    folders: list[DatasetFolder] = [folder for folder in (splits.training, splits.validation) if folder]
    by_content: dict[str, dict[Hashable, Path]] = defaultdict(dict)
    differing = {}
    for sample in (sample for folder in folders for sample in folder.samples):
        is_file = splits.task.target_is_file and sample.target is not None
        target = splits.files[Path(sample.target)].digest if is_file else sample.target
        targets = by_content[splits.files[sample.image].digest]
        if targets and target not in targets:
            differing[sample.image] = next(iter(targets.values()))
        targets.setdefault(target, sample.image)
    return differing


def _test_images(task: Task, data: Path) -> list[Path]:
    """Return the images in ``test/``, which may lack targets."""
    root = data / "test"
    if not has_splits(data) or not root.is_dir():
        return []
    try:
        return [sample.image for sample in scan_folder(task.scan, root, task.expected).samples]
    except FileError:
        return find_images(root)[0]


def _example(copies: Mapping[Path, Path]) -> str:
    copy, original = next(iter(copies.items()))
    return f"{copy} = {original}"
