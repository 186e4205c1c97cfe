"""Measures of generated images compared with real ones, for ``evaluate`` and the report.

Samples are drawn with a fixed seed, as many as there are real images that the network was not trained on (at most
``MAX_COMPARED``, fewer of costly networks). Distances are between features of a small network that is trained on the
training images of the run and kept in its folder. Each measure comes with its reference, the value that a perfect
network would have: the *floor*, of one half of the training images against the other, or that of the real images.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from omniconv.data.classes import match_classes
from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample, pick_evenly
from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import pluralize, validation_reason
from omniconv.metrics.copies import authenticity, copied_share, nearest_images
from omniconv.metrics.distances import floor_halves, frechet_distance, kernel_distance
from omniconv.metrics.features import train_features
from omniconv.metrics.manifolds import manifold_metrics
from omniconv.metrics.seams import cube_faces, omni_frechet_distance, seam_score
from omniconv.models import Model
from omniconv.summaries import summary
from omniconv.surfaces import Surface
from omniconv.tasks.base import Table, TrainedNetwork
from omniconv.tasks.generate.image_sets import (
    ImageSet,
    compared_channels,
    feature_network,
    image_set,
    picture_surface,
    signal_batches,
    training_samples,
)
from omniconv.tasks.generate.sampling import has_option, sample_batches, sample_labels

MAX_COMPARED, MIN_COMPARED = 2000, 64
"""Largest number of samples of an evaluation, and the number that is drawn at any cost, if there are as many images."""
SAMPLING_BUDGET = 1e13
"""Multiply-adds of all samples of an evaluation, above which fewer are drawn: some minutes on two cores."""
EVALUATIONS = 35
"""Evaluations of a denoiser for a sample: 18 steps of Heun's method."""
FACES_BUDGET = 1e11
"""Multiply-adds of the training of the features of cube faces."""
COPIES_MARGIN = 0.1
"""Share of copies, beyond that among real images, above which a note is made: twice the standard error 0.05 of the
difference of two shares of 0.1 among ``MIN_COMPARED`` samples each."""
LOW_RECALL = 0.1
"""Recall below which a generator may have collapsed; its standard error is 0.04 with ``MIN_COMPARED`` samples."""
NEIGHBOURS = 5
"""Default of ``manifold_metrics``; fewer with fewer images."""
KINDS = {"classifier": "a classifier", "autoencoder": "the encoder of an autoencoder"}
ROWS = {
    "frechet": "Fréchet distance",
    "kernel": "kernel distance (KID)",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "label_accuracy": "label accuracy",
    "authentic": "authentic samples (AuthPct)",
    "copies": "copies of training images",
    "seam": "seam score, at the seam / elsewhere",
    "omni_frechet": "Fréchet distance of cube faces (OmniFID)",
}
"""Measures in the order of the table."""
Measures = dict[str, float | None]


class _Features(BaseModel):
    model_config = ConfigDict(strict=True)
    kind: str
    hash: str
    dimensions: Annotated[int, Field(ge=1)]
    images: Annotated[int, Field(ge=0)]


class _Evaluation(BaseModel):
    """Entries of ``evaluation.json``; ``None`` for a measure over nothing."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)
    samples: Annotated[int, Field(ge=0)]
    seed: int
    features: _Features | None
    measures: dict[str, float | None]
    reference: dict[str, float | None]


def evaluate(
    predictor: TrainedNetwork,
    folder: DatasetFolder,
    step: Callable[[], None],
    trained_on: Container[Path] | None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the measures of samples of a network beside the images of a folder, see ``Task.evaluate``."""
    network, preprocessing, classes = predictor.model, predictor.preprocessing, predictor.classes
    indices = match_classes(folder.root, folder.classes, classes, "the network") if classes else None
    unseen = [sample for sample in folder.samples if trained_on is None or sample.image not in trained_on]
    known = len(folder.samples) - len(unseen)
    picked = pick_evenly(unseen or folder.samples, sample_count(network, preprocessing, len(unseen or folder.samples)))
    result: dict[str, Any] = {"images": len(folder.samples), "samples": len(picked), "seed": seed}
    result |= {} if trained_on is None else {"trained_on": known}
    source = predictor.training or folder  # outside of a run: distances alone, by features of the images themselves
    training = training_samples(source.samples, preprocessing)
    if min(len(training), len(picked)) < 2:  # no distribution to compare with
        _scaled(step, 1, len(folder.samples))(1)
        return result | {"features": None, "measures": {}, "reference": {}}
    has_labels = bool(classes and folder.classes)
    labels = _asked_labels(picked, indices) if has_labels else sample_labels(classes, len(picked))
    signals = np.concatenate([compared_channels(x, preprocessing) for x in signal_batches(training, preprocessing)])
    targets = [sample.target or 0 for sample in training] if source.classes else None
    features = feature_network(predictor, signals, targets)
    del signals
    trained = image_set(signal_batches(training, preprocessing), features, preprocessing)
    real = image_set(signal_batches(picked, preprocessing), features, preprocessing)
    advance = _scaled(step, len(picked), len(folder.samples))
    drawn = (x.numpy() for _, x in sample_batches(network, len(picked), labels, seed, step=advance))
    generated = image_set(drawn, features, preprocessing)
    found, reference = _feature_measures(trained, real, generated)
    if predictor.training:
        _add_copies(found, reference, trained, real, generated, picture_surface(preprocessing.surface))
    if labels is not None and source.classes:
        _add_label_accuracy(found, reference, labels, real if has_labels else None, generated)
    if preprocessing.surface.spherical:
        _add_panorama_measures(found, reference, trained, real, generated)
    description = {
        "kind": features.kind, "hash": features.hash,
        "dimensions": int(trained.features.shape[1]), "images": len(training),
    }  # fmt: skip
    return result | {"features": description, "measures": _in_order(found), "reference": _in_order(reference)}


def sample_count(network: Model, preprocessing: Preprocessing, images: int) -> int:
    """Return the number of samples that are drawn for an evaluation with a number of real images."""
    grid = preprocessing.size if network.surface.any_size else ()
    cost = summary(network, (network.arguments["in_channels"], *grid)).multiply_adds or 1
    cost *= EVALUATIONS if has_option(network, "steps") else 1
    return min(images, max(MIN_COMPARED, min(MAX_COMPARED, int(SAMPLING_BUDGET / cost))))


def check_evaluation(evaluation: Mapping[str, Any]) -> None:
    """Check the structure of measures that were read from a file.

    Raises:
        ValueError: they are not what ``evaluate`` returns.
    """
    try:
        _Evaluation.model_validate(evaluation)
    except ValidationError as error:
        raise ValueError(validation_reason(error)) from error


def quality_table(evaluation: Mapping[str, Any]) -> Table:
    """Return the measures, each with its reference."""
    measures, reference = evaluation["measures"], evaluation["reference"]
    rows: list[list[str | float | None]] = [
        [label, measures.get(name), reference.get(name)] for name, label in ROWS.items() if name in measures
    ]
    return ["measure", "samples", "real images"], rows


def quality_line(evaluation: Mapping[str, Any]) -> str:
    """Return the main measures as one line."""
    if evaluation["features"] is None:
        return ""
    measures, reference = evaluation["measures"], evaluation["reference"]
    shown = [
        f"{ROWS[name]} {measures[name]:.4g} ({_reference_name(name)} {reference[name]:.4g})"
        for name in ("frechet", "coverage", "label_accuracy")
        if measures.get(name) is not None and reference.get(name) is not None
    ]
    return ", ".join([*shown, pluralize(evaluation["samples"], "sample")])


def quality_notes(evaluation: Mapping[str, Any]) -> list[str]:
    """Return what the measures are, and what they show to be wrong."""
    count, features = evaluation["samples"], evaluation["features"]
    if features is None:
        return ["Too few images to measure samples by: at least 2 to train on and 2 to compare with."]
    measures, reference = evaluation["measures"], evaluation["reference"]
    notes = [
        f"{pluralize(count, 'sample')} with seed {evaluation['seed']} beside as many images that the network was not "
        f"trained on. Real images: distances and shares of one half of the training images against the other, else the "
        f"measure of the images themselves.",
        f"Features: {features['dimensions']} numbers of {KINDS.get(features['kind'], 'a network')} trained here on "
        f"{pluralize(features['images'], 'image')}, {features['hash'][:19]}: compare distances of these "
        f"features and this number of samples only.",
    ]
    if count < 10 * features["dimensions"]:
        notes.append(f"Fewer than {10 * features['dimensions']} samples: the Fréchet distance is mostly its own bias.")
    if (measures.get("copies") or 0) > (reference.get("copies") or 0) + COPIES_MARGIN:
        notes.append("Many samples are copies of training images: use more images, augmentation or fewer epochs.")
    recall = measures.get("recall")
    if count >= MIN_COMPARED and recall is not None and recall < LOW_RECALL < (reference.get("recall") or 0):
        notes.append("The samples show a small part of what the training images show: the network may have collapsed.")
    return notes


def _reference_name(name: str) -> str:
    return "real images" if name == "label_accuracy" else "floor"


def _feature_measures(trained: ImageSet, real: ImageSet, generated: ImageSet) -> tuple[Measures, Measures]:
    """Return measures of the features of samples, and of one half of the training images against the other."""
    pairs: list[tuple[np.ndarray, np.ndarray]] = [(real.features, generated.features)]
    if len(trained.features) >= 4:
        pairs.append(floor_halves(trained.features, max(2, len(generated.features))))
    found: list[Measures] = []
    for one, other in pairs:
        measures: Measures = {"frechet": frechet_distance(one, other), "kernel": kernel_distance(one, other).mean}
        neighbours = min(NEIGHBOURS, len(one) - 1, len(other) - 1)
        if neighbours > 0:
            measures |= manifold_metrics(one, other, neighbours)._asdict()
        found.append(measures)
    return found[0], found[1] if len(found) > 1 else {}


def _add_copies(
    found: Measures, reference: Measures, trained: ImageSet, real: ImageSet, generated: ImageSet, surface: Surface
) -> None:
    """Add the shares of authentic images and of copies of training images."""
    for values, images in ((found, generated), (reference, real)):
        values["authentic"] = authenticity(images.pictures, trained.pictures, surface)
        values["copies"] = copied_share(nearest_images(images.pictures, trained.pictures, surface))


def _add_label_accuracy(
    found: Measures, reference: Measures, labels: Sequence[int], real: ImageSet | None, generated: ImageSet
) -> None:
    """Add the share of images whose class the network of the features recognizes."""
    for values, images in ((found, generated), (reference, real)):
        if images is not None and images.classes is not None:
            values["label_accuracy"] = float((images.classes == np.array(labels)).mean())


def _add_panorama_measures(
    found: Measures, reference: Measures, trained: ImageSet, real: ImageSet, generated: ImageSet
) -> None:
    """Add the measures of the seam and of cube faces."""
    sets = [images.panoramas for images in (trained, real, generated)]
    if any(images is None or len(images) < 2 or min(images.shape[2:]) < 6 for images in sets):
        return
    own, others, samples = (np.asarray(images) for images in sets)
    for values, images in ((found, samples), (reference, others)):
        values["seam"] = seam_score(images).ratio
    faces = np.concatenate(list(cube_faces(own).values()))
    if min(faces.shape[2:]) < 8:
        return
    network = train_features(faces, budget=FACES_BUDGET)
    found["omni_frechet"] = omni_frechet_distance(others, samples, network)
    half = min(len(own) // 2, len(samples))
    if half > 1:
        reference["omni_frechet"] = omni_frechet_distance(own[0::2][:half], own[1::2][:half], network)


def _in_order(measures: Measures) -> Measures:
    return {name: measures[name] for name in ROWS if name in measures}


def _asked_labels(picked: Sequence[Sample], indices: Sequence[int] | None) -> tuple[int, ...]:
    """Return the classes of real images among those of the network."""
    return tuple(sample.target if indices is None else indices[sample.target] for sample in picked)


def _scaled(step: Callable[[], None], total: int, shown: int) -> Callable[[int], None]:
    """Return a function of the number of samples done; at ``total`` it has called ``step`` ``shown`` times."""
    called = 0

    def advance(done: int) -> None:
        nonlocal called
        for _ in range(called, done * shown // max(1, total)):
            step()
        called = max(called, done * shown // max(1, total))

    return advance
