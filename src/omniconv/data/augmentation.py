"""Random augmentations of images and of targets with one value per pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.random import Generator
from scipy.spatial.transform import Rotation

from omniconv.checks import did_you_mean
from omniconv.errors import InputError
from omniconv.surfaces import panorama

Interpolation = Literal["nearest", "linear"]
Target = np.ndarray | None
Pair = tuple[np.ndarray, Target]
Augmentation = Callable[[np.ndarray, Target, Generator, Interpolation], Pair]


def flip(image: np.ndarray, target: Target, random: Generator, interpolation: Interpolation = "nearest") -> Pair:
    """Mirror left and right with probability 1/2."""
    if random.random() < 0.5:
        return image, target
    return image[..., ::-1], None if target is None else target[..., ::-1]


def turn(image: np.ndarray, target: Target, random: Generator, interpolation: Interpolation = "nearest") -> Pair:
    """Roll a panorama about the vertical axis by a random number of columns."""
    columns = int(random.integers(image.shape[-1]))
    return np.roll(image, columns, -1), None if target is None else np.roll(target, columns, -1)


def rotate(image: np.ndarray, target: Target, random: Generator, interpolation: Interpolation = "nearest") -> Pair:
    """Rotate the sphere of a panorama by a random rotation, uniform over all of them."""
    rotation = Rotation.random(rng=random).as_matrix()
    rotated = None if target is None else panorama.rotate(target, rotation, interpolation)
    return panorama.rotate(image, rotation), rotated


def colour(image: np.ndarray, target: Target, random: Generator, interpolation: Interpolation = "nearest") -> Pair:
    """Mix the channels by a random matrix near the identity, then change contrast and brightness.

    This keeps a network from memorising the colours of a single image.
    """
    channels = image.shape[0]
    mixing = np.eye(channels) + random.normal(0, 0.1, (channels, channels))
    contrast, brightness = random.uniform(0.8, 1.2), random.uniform(-0.1, 0.1)
    mixed = np.einsum("dc,chw->dhw", mixing * contrast, image - 0.5, dtype=image.dtype, casting="same_kind")
    return np.clip(mixed + image.dtype.type(0.5 + brightness), 0, 1), target


AUGMENTATIONS: dict[str, Augmentation] = {"flip": flip, "turn": turn, "rotate": rotate, "colour": colour}


def augment(
    image: np.ndarray, target: Target, names: Sequence[str], random: Generator, interpolation: Interpolation = "nearest"
) -> Pair:
    """Apply augmentations one after the other.

    Args:
        image: ``(channels, height, width)``, floating point, 0 … 1.
        target: ``(..., height, width)``, or ``None`` for a target with one value per image.
        names: keys of ``AUGMENTATIONS``.
        random: random number generator.
        interpolation: ``nearest`` for labels, ``linear`` for real values.

    Example:
        >>> image, _ = augment(np.zeros((3, 4, 8), np.float32), None, ["flip", "turn"], np.random.default_rng(0))
        >>> image.shape
        (3, 4, 8)
    """
    for name in names:
        image, target = AUGMENTATIONS[name](image, target, random, interpolation)
    return np.ascontiguousarray(image), None if target is None else np.ascontiguousarray(target)


def parse_augmentations(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of augmentations in the order given, checked to be known.

    Raises:
        InputError: an unknown name.
    """
    for name in names:
        if name not in AUGMENTATIONS:
            cure = did_you_mean(name, AUGMENTATIONS, "use augment='none' for no augmentation")
            raise InputError("augment", name, f"must be among {', '.join(AUGMENTATIONS)}", cure)
    return tuple(names)
