"""What a run understood of its data, before its first step: numbers to read and samples to look at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from omniconv.data.dataset_folder import Folder, Sample
from omniconv.data.folders import find_splits
from omniconv.data.images import read_header
from omniconv.data.inspect import Inspection, inspect, require_objects
from omniconv.data.preprocessing import Preprocessing, channel_statistics, default_size
from omniconv.data.split import hold_out
from omniconv.errors import FileError
from omniconv.files import write_bytes
from omniconv.report.pictures import contact_sheet, overlay, png_bytes
from omniconv.surfaces import surface
from omniconv.training.material import Material
from omniconv.training.settings import RunConfig

SHOWN = 12
FEW_STEPS = 200
RARE = 0.03


@dataclass(frozen=True)
class Understanding:
    """Samples to train on and to measure on, and what was found in them.

    Attributes:
        material: the samples.
        inspections: what was found in each split, by its name.
    """

    material: Material
    inspections: dict[str, Inspection]

    def facts(self, config: RunConfig) -> dict[str, str]:
        """What was understood, a line each, and what the user may want to know before it is too late."""
        classes, measured = self.material.classes, self.material.measured
        facts = {"classes": ", ".join(classes), "to train on": f"{len(self.material.training.samples)} images"}
        facts["held out"] = f"{len(measured.samples)} images" if measured else "none: quality is not measured"
        shares = zip(classes, self.material.shares, strict=True)
        facts["class shares"] = ", ".join(f"{name} {100 * share:.1f} %" for name, share in shares)
        ignored = sum(found.ignored for found in self.inspections.values())
        if ignored:
            labelled = sum(found.class_counts.sum() for found in self.inspections.values())
            facts["ignored pixels"] = f"{100 * ignored / (ignored + labelled):.1f} %"
        facts["image sizes"] = _sizes(self.inspections)
        facts["brought to"] = "{}x{}".format(*self.material.preprocessing.size)
        facts["surface"] = str(self.material.preprocessing.surface)
        facts |= self._advice(config)
        skipped = [item for found in self.inspections.values() for item in found.folder.skipped]
        for path, reason in skipped[:5]:
            facts[f"skipped {path}"] = reason
        if len(skipped) > 5:
            facts["skipped besides"] = f"{len(skipped) - 5} more files"
        return facts

    def _advice(self, config: RunConfig) -> dict[str, str]:
        advice = {}
        steps = -(-len(self.material.training.samples) * config.repeat // config.batch_size) * config.epochs
        if steps < FEW_STEPS:
            advice["note"] = f"only {steps} steps of training; more with --epochs, --repeat or a smaller --batch-size"
        odd = sum(
            count
            for found in self.inspections.values()
            for size, count in found.sizes.items()
            if not _is_panorama(size)
        )
        if odd and surface(config.surface).spherical:
            advice["attention"] = f"{odd} images, not twice as wide as high, are taken for whole spheres"
        if min(self.material.shares) < RARE and not config.balance:
            advice["rare classes"] = "the network may never choose them; --balance weighs them up"
        return advice


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
    if not np.any(inspections.get("train", inspections.get("all", next(iter(inspections.values())))).class_counts):
        raise FileError(training.root, "has no labelled pixel: all are 255, which is ignored", "label some of them")
    if measured is None:
        training, measured = hold_out(training, config.validation, config.seed)
    preprocessing = _preparation(config, training, inspections)
    counts = np.sum([found.class_counts for found in inspections.values()], axis=0)
    shares = tuple((counts / counts.sum()).round(6).tolist())
    return Understanding(Material(training, measured, preprocessing, shares), inspections)


def write_samples(material: Material, path: Path) -> None:
    """Write a page of labelled samples, at the size that they come to the network's surface with."""
    samples = material.training.samples
    picked = [samples[index] for index in np.linspace(0, len(samples) - 1, min(SHOWN, len(samples))).astype(int)]
    tiles = [_tile(material, sample) for sample in picked]
    write_bytes(path, png_bytes(contact_sheet(tiles, columns=min(4, len(tiles)))))


def _preparation(config: RunConfig, training: Folder, inspections: dict[str, Inspection]) -> Preprocessing:
    where = surface(config.surface)
    sizes = [size for found in inspections.values() for size in found.sizes]
    size = config.size or default_size(where, sizes)
    raw = Preprocessing(where, (size[0], size[1]), binary=config.binary)
    mean, std = channel_statistics(raw, training.samples)
    return replace(raw, mean=mean, std=std)


def _tile(material: Material, sample: Sample) -> tuple[np.ndarray, str]:
    image = np.moveaxis(np.round(material.preprocessing.image(sample.image) * 255).astype(np.uint8), 0, -1)
    if isinstance(sample.target, int):
        return image, f"{material.classes[sample.target]}: {sample.image.name}"
    labels = material.preprocessing.labels(sample.target, read_header(sample.image))
    return overlay(image, labels, len(material.classes)), sample.image.name


def _is_panorama(size: tuple[int, int]) -> bool:
    return abs(size[1] / size[0] - 2) < 0.02


def _sizes(inspections: dict[str, Inspection]) -> str:
    sizes = sum((found.sizes for found in inspections.values()), start=type(next(iter(inspections.values())).sizes)())
    shown = [f"{height}x{width} ({count})" for (height, width), count in sizes.most_common(3)]
    return ", ".join(shown) + (f" and {len(sizes) - 3} more" if len(sizes) > 3 else "")
