"""What a run understood of its data, before its first step: numbers to read and samples to look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omniconv.data.folders import find_splits
from omniconv.data.images import read_header
from omniconv.data.inspect import Inspection, inspect, require_objects
from omniconv.data.layouts import Folder, Sample
from omniconv.data.preparation import Preparation, channel_statistics, default_size
from omniconv.data.splitting import hold_out
from omniconv.files import atomic_write
from omniconv.report.pictures import contact_sheet, overlay, png_bytes
from omniconv.surfaces import surface
from omniconv.training.config import RunConfig

SHOWN = 12


@dataclass(frozen=True)
class Understanding:
    """Samples to train on, samples to measure on, and what is done to them.

    Attributes:
        training: samples that train.
        measured: samples held out, ``None`` where there are none.
        inspections: what was found in each split, by its name.
        preparation: from a file to the network's input.
        classes: names of the classes.
    """

    training: Folder
    measured: Folder | None
    inspections: dict[str, Inspection]
    preparation: Preparation
    classes: tuple[str, ...]

    def facts(self) -> dict[str, str]:
        """What was understood, a line each."""
        facts = {"classes": ", ".join(self.classes), "to train on": f"{len(self.training.samples)} images"}
        facts["held out"] = f"{len(self.measured.samples)} images" if self.measured else "none: quality is not measured"
        counts = sum(found.class_counts for found in self.inspections.values())
        facts["class shares"] = _shares(self.classes, np.asarray(counts))
        ignored = sum(found.ignored for found in self.inspections.values())
        if ignored:
            facts["ignored pixels"] = f"{100 * ignored / (ignored + np.sum(counts)):.1f} %"
        facts["image sizes"] = _sizes(self.inspections)
        facts["brought to"] = "{}x{}".format(*self.preparation.size)
        facts["surface"] = self.preparation.surface
        skipped = [item for found in self.inspections.values() for item in found.folder.skipped]
        for path, reason in skipped[:5]:
            facts[f"skipped {path}"] = reason
        if len(skipped) > 5:
            facts["skipped besides"] = f"{len(skipped) - 5} more files"
        return facts


def understand(config: RunConfig) -> Understanding:
    """Find, check and split the samples of a run's folder, and settle how images are prepared.

    Raises:
        FileError: the folder or a file in it cannot be used.
    """
    splits = find_splits(config.task, config.data)
    inspections = {
        name: inspect(folder, binary=config.binary, skip_bad=config.skip_bad)
        for name, folder in splits.items()
        if name != "test"
    }
    require_objects(inspections.values())
    whole = {name: found.folder for name, found in inspections.items()}
    training = whole.get("train", whole.get("all"))
    measured = whole.get("val")
    if training is None:  # find_splits gives one of them
        raise KeyError("train")
    if measured is None:
        training, measured = hold_out(training, config.validation, config.seed)
    preparation = _preparation(config, training, inspections)
    return Understanding(training, measured, inspections, preparation, training.classes)


def write_samples(understanding: Understanding, path: object) -> None:
    """Write a page of labelled samples as they come to the network's surface."""
    samples = understanding.training.samples
    picked = [samples[index] for index in np.linspace(0, len(samples) - 1, min(SHOWN, len(samples))).astype(int)]
    tiles = [_tile(understanding, sample) for sample in picked]
    with atomic_write(str(path)) as file:
        file.write(png_bytes(contact_sheet(tiles, columns=min(4, len(tiles)))))


def _preparation(config: RunConfig, training: Folder, inspections: dict[str, Inspection]) -> Preparation:
    where = surface(config.surface)
    sizes = [size for found in inspections.values() for size in found.sizes]
    size = config.size or default_size(where, sizes)
    raw = Preparation(str(where), (size[0], size[1]), binary=config.binary)
    mean, spread = channel_statistics(raw, training.samples)
    return Preparation(str(where), (size[0], size[1]), mean, spread, config.binary)


def _tile(understanding: Understanding, sample: Sample) -> tuple[np.ndarray, str]:
    image = np.moveaxis(np.round(understanding.preparation.image(sample.image) * 255).astype(np.uint8), 0, -1)
    if isinstance(sample.target, int):
        return image, f"{understanding.classes[sample.target]}: {sample.image.name}"
    labels = understanding.preparation.labels(sample.target, read_header(sample.image))
    return overlay(image, labels, len(understanding.classes)), sample.image.name


def _shares(classes: tuple[str, ...], counts: np.ndarray) -> str:
    shares = 100 * counts / max(1, counts.sum())
    return ", ".join(f"{name} {share:.1f} %" for name, share in zip(classes, shares, strict=True))


def _sizes(inspections: dict[str, Inspection]) -> str:
    sizes = sum((found.sizes for found in inspections.values()), start=type(next(iter(inspections.values())).sizes)())
    shown = [f"{height}x{width} ({count})" for (height, width), count in sizes.most_common(3)]
    return ", ".join(shown) + (f" and {len(sizes) - 3} more" if len(sizes) > 3 else "")
