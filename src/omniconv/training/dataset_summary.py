"""Check and summary of a data set before the first training step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from math import ceil, sqrt
from pathlib import Path
from typing import TypeVar

import numpy as np

from omniconv.data.content import hash_files
from omniconv.data.file_listing import Skipped
from omniconv.data.image_notes import ImageNotes, describe_skipped
from omniconv.data.images import Header, read_header, read_image
from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample, pick_evenly
from omniconv.data.preprocessing import Preprocessing, channel_statistics, default_size, full_size
from omniconv.data.split import hold_out
from omniconv.errors import FileError, pluralize, printable
from omniconv.files import write_bytes
from omniconv.report.pictures import contact_sheet, png_bytes
from omniconv.surfaces import Surface, surface
from omniconv.tasks.data_folder import scan_splits
from omniconv.training.copies import describe_copies
from omniconv.training.dataset_splits import DatasetSplits, sample_files
from omniconv.training.datasets import EpochSampler, SampleReader, repeat_factors
from omniconv.training.setting_values import MIN_TRAINING_SIDE
from omniconv.training.settings import RunConfig

T = TypeVar("T")
SHOWN_SAMPLES = 12
FEW_STEPS = 200
"""Number of training steps below which more are recommended."""
_CHECK_SIZE = (64, 64)
"""Size at which images that are not cached are decoded for the check: large JPEG files decode faster at small sizes."""


@dataclass(frozen=True, eq=False)
class Inspection:
    """Result of the check of every file of a folder.

    Attributes:
        folder: the folder, without the bad samples where these are skipped.
        sizes: number of images of each upright (height, width).
        sample_counts: number of pixels or images of each class in each sample, see ``Task.count_target``.
        notes: properties of images that change how they are read.
    """

    folder: DatasetFolder
    sizes: Counter[tuple[int, int]]
    sample_counts: dict[Sample, Counter[int]]
    notes: ImageNotes

    @property
    def counts(self) -> Counter[int]:
        """Number of pixels or images of each class."""
        return _total(self.sample_counts.values())


@dataclass(frozen=True, eq=False)
class DatasetSummary:
    """Samples of a run, with the results of their check.

    Attributes:
        splits: the samples.
        inspections: result of the check of each split, by its name.
        reader: reader with all samples in its cache, if they fit into it.
        training_counts: number of pixels or images of each class in the training samples.
        validation_counts: the same of the held-out samples, ``None`` without any.
        sample_counts: the same of each sample.
    """

    splits: DatasetSplits
    inspections: dict[str, Inspection]
    reader: SampleReader
    training_counts: Counter[int]
    validation_counts: Counter[int] | None
    sample_counts: dict[Sample, Counter[int]]

    def facts(self, config: RunConfig) -> dict[str, str]:
        """Return facts and warnings to be printed before training, by their headings."""
        splits, validation = self.splits, self.splits.validation
        sizes = _total(inspection.sizes for inspection in self.inspections.values())
        counts = self.training_counts, self.validation_counts
        targets, advice = splits.task.describe_targets(splits.classes, *counts, config.balance)
        held_out = pluralize(len(validation.samples), "image") if validation else "none, so quality is not measured"
        if not self.is_measurable and validation:
            held_out += ", whose targets hold nothing to measure, so that the network of the last epoch is kept"
        common = [f"{height}x{width} ({count})" for (height, width), count in sizes.most_common(3)]
        return {
            "training": pluralize(len(splits.training.samples), "image"),
            "validation": held_out,
            **targets,
            **self._oversampling(config),
            "image sizes": ", ".join(common) + (f" and {len(sizes) - 3} more" if len(sizes) > 3 else ""),
            "resized to": "{}x{}".format(*splits.preprocessing.size),
            "surface": str(splits.preprocessing.surface),
            **self._advice(config),
            **advice,
            **describe_copies(splits, Path(config.data)),
            **ImageNotes.merge([inspection.notes for inspection in self.inspections.values()]).lines(),
            **describe_skipped([item for part in self.inspections.values() for item in part.folder.skipped]),
        }

    @property
    def is_measurable(self) -> bool:
        """False if nothing is held out, or only targets that hold nothing to measure, such as ignored pixels."""
        counts = self.validation_counts
        return counts is not None and self.splits.task.is_measurable(counts)

    def _oversampling(self, config: RunConfig) -> dict[str, str]:
        """Return which classes are drawn more often, and the length of an epoch."""
        factors, samples = self.splits.repeat_factors, self.splits.training.samples
        if not factors:
            return {}
        counts = [self.sample_counts[sample] for sample in samples]
        rare = []
        for index, name in enumerate(self.splits.classes):
            of_class = [factor for factor, present in zip(factors, counts, strict=True) if present[index]]
            share = len(of_class) / len(samples)
            if of_class and share < config.oversample:
                factor = sqrt(config.oversample / share)
                rare.append(f"{name} (in {100 * share:.2g} % of the images) {factor:.2g} times as often")
        drawn = len(EpochSampler(len(samples), config.repeat, factors=factors))
        if not rare:
            return {"oversampling": f"no class is in less than {100 * config.oversample:.2g} % of the images"}
        plain = len(samples) * config.repeat
        return {"oversampling": f"images are drawn with {', '.join(rare)}; {drawn} images an epoch instead of {plain}"}

    def _advice(self, config: RunConfig) -> dict[str, str]:
        advice = {}
        factors = self.splits.repeat_factors
        drawn = len(EpochSampler(len(self.splits.training.samples), config.repeat, factors=factors))
        steps = ceil(drawn / config.batch_size) * config.epochs
        if steps < FEW_STEPS:
            advice["note"] = (
                f"only {pluralize(steps, 'training step')}; more epochs, repetitions or a smaller batch size give more"
            )
        return advice


def summarize_dataset(config: RunConfig) -> DatasetSummary:
    """Find, check and split the samples of a run, and choose their preprocessing.

    Each file is decoded once if all samples fit into the cache, else once here and once in each epoch.

    Raises:
        FileError: the folder or a file in it cannot be used.
    """
    task, network_surface = config.task_object, surface(config.surface)
    cure = f"use: omniconv train {{task}} {config.data}"
    folders = scan_splits(task, config.data, ("train", "val"), cure)
    task.check_trainable(folders.get("train") or folders["all"])
    sizes = _header_sizes(folders.values(), network_surface)
    holes = config.holes if "holes" in task.settings else ""
    while True:
        size = config.size or default_size(network_surface, sizes)
        if size in sizes and min(size) < MIN_TRAINING_SIDE:
            rule = f"has images of {size[0]} × {size[1]} pixels; images for training have at least "
            rule += f"{MIN_TRAINING_SIDE} rows and columns"
            larger = "{}x{}".format(*(side * ceil(MIN_TRAINING_SIDE / min(size)) for side in size))
            raise FileError(config.data, rule, f"enlarge them by size={larger!r}, or give larger images")
        preprocessing = Preprocessing(network_surface, (size[0], size[1]), binary=config.binary, holes=holes)
        count = sum(len(folder.samples) for folder in folders.values())
        reader = SampleReader(task, preprocessing, count, config.cache)
        inspections = {name: inspect(folder, reader, config.skip_bad) for name, folder in folders.items()}
        good = list(_total(inspection.sizes for inspection in inspections.values()))
        if set(good) == set(sizes) or config.size:
            break
        sizes = good  # again without the skipped images, whose sizes changed the default size
    counts = _total(inspection.counts for inspection in inspections.values())
    inspected = inspections.get("train") or inspections["all"]
    task.check_counts(inspected.folder, inspected.counts, counts)
    classes = task.class_names(inspected.folder, counts)
    training = replace(inspected.folder, classes=classes)
    validation = replace(inspections["val"].folder, classes=classes) if "val" in inspections else None
    files = hash_files(file for folder in (training, validation) if folder for file in sample_files(task, folder))
    if validation is None:
        training, validation = hold_out(
            training,
            config.validation,
            config.seed,
            task.split_groups(training.samples).__getitem__,
            lambda sample: files[sample.image].digest,
        )
    mean, std = (config.mean, config.std) if config.mean else channel_statistics(training.samples, reader.image)
    preprocessing = replace(preprocessing, mean=mean, std=std)
    by_sample = {sample: of for part in inspections.values() for sample, of in part.sample_counts.items()}
    factors: tuple[float, ...] = ()
    if config.oversample:
        indices = range(len(classes))  # other labels, such as the ignored one, are no classes
        present = [{index for index in indices if by_sample[sample][index]} for sample in training.samples]
        factors = repeat_factors(present, config.oversample)
    frequencies = task.class_frequencies(classes, counts)
    splits = DatasetSplits(task, training, validation, preprocessing, frequencies, files, factors)
    training_counts = _total(by_sample[sample] for sample in training.samples)
    validation_counts = _total(by_sample[sample] for sample in validation.samples) if validation else None
    return DatasetSummary(splits, inspections, reader, training_counts, validation_counts, by_sample)


def inspect(folder: DatasetFolder, reader: SampleReader, skip_bad: bool = False) -> Inspection:
    """Decode and check every image and target of a folder, and count sizes and classes.

    Args:
        folder: result of a scan.
        reader: reads the samples, and caches them if they fit.
        skip_bad: move bad samples to ``folder.skipped``, each with its reason, instead of raising.

    Raises:
        FileError: a sample cannot be used; with ``skip_bad``, none can.
    """
    good: list[Sample] = []
    bad: list[Skipped] = []
    sizes: Counter[tuple[int, int]] = Counter()
    counts: dict[Sample, Counter[int]] = {}
    distinct: dict[frozenset[tuple[int, int]], Counter[int]] = {}  # in class folders many samples have equal counts
    surface = reader.preprocessing.surface
    notes = ImageNotes(surface.spherical)
    for sample in folder.samples:
        try:
            header, counted = _check_sample(sample, folder.classes, reader)
            notes.add(sample.image, header)
        except FileError as error:
            if not skip_bad:
                raise
            bad.append((sample.image, str(error).removeprefix(f"{printable(sample.image)}: ")))
        else:
            good.append(sample)
            sizes[full_size(header, surface)] += 1
            counts[sample] = distinct.setdefault(frozenset(counted.items()), counted)
    if bad and not good:
        path, reason = bad[0]
        raise FileError(folder.root, f"all {len(bad)} samples are bad", f"repair them; the first is {path}: {reason}")
    return Inspection(replace(folder, samples=tuple(good), skipped=folder.skipped + tuple(bad)), sizes, counts, notes)


def write_samples(splits: DatasetSplits, reader: SampleReader, path: Path) -> None:
    """Write a contact sheet of training samples with their targets, at the size of the training images."""
    tiles = []
    for sample in pick_evenly(splits.training.samples, SHOWN_SAMPLES):
        image, target = reader.read(sample)
        tiles.append(splits.task.tile(np.moveaxis(image, 0, -1), target, sample, splits.classes))
    write_bytes(path, png_bytes(contact_sheet(tiles, columns=min(4, len(tiles)))))


def _header_sizes(folders: Iterable[DatasetFolder], network_surface: Surface) -> list[tuple[int, int]]:
    """Return the sizes of the images whose header can be read, without decoding them."""
    sizes = set()
    for sample in (sample for folder in folders for sample in folder.samples):
        with suppress(FileError):  # `inspect` reports or skips the file
            sizes.add(full_size(read_header(sample.image), network_surface))
    return list(sizes)


def _check_sample(sample: Sample, classes: tuple[str, ...], reader: SampleReader) -> tuple[Header, Counter[int]]:
    header = read_header(sample.image)
    image = reader.load_image(sample) if reader.fits_cache() else read_image(sample.image, _CHECK_SIZE)
    target = reader.task.load_target(sample, reader.preprocessing)
    counts = reader.task.count_target(sample, target, classes)
    if reader.fits_cache():
        reader.store(sample, image, target)
    return header, counts


def _total(counters: Iterable[Counter[T]]) -> Counter[T]:
    total: Counter[T] = Counter()
    for counter in counters:
        total.update(counter)
    return total
