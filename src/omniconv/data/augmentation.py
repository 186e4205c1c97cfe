"""Changes of images and masks that leave their meaning as it is, drawn anew each time an image is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches

import numpy as np
from scipy.spatial.transform import Rotation

from omniconv.errors import InputError
from omniconv.surfaces import panorama

Pair = tuple[np.ndarray, np.ndarray | None]
Augmentation = Callable[[np.ndarray, np.ndarray | None, np.random.Generator], Pair]


def flip(image: np.ndarray, labels: np.ndarray | None, random: np.random.Generator) -> Pair:
    """Mirror left and right, every second time."""
    if random.random() < 0.5:
        return image, labels
    return image[..., ::-1], None if labels is None else labels[..., ::-1]


def turn(image: np.ndarray, labels: np.ndarray | None, random: np.random.Generator) -> Pair:
    """Turn a panorama about the vertical by any number of columns."""
    columns = int(random.integers(image.shape[-1]))
    return np.roll(image, columns, -1), None if labels is None else np.roll(labels, columns, -1)


def rotate(image: np.ndarray, labels: np.ndarray | None, random: np.random.Generator) -> Pair:
    """Turn the sphere of a panorama by any rotation."""
    rotation = Rotation.random(rng=random).as_matrix()
    turned = None if labels is None else panorama.rotate(labels, rotation, "nearest")
    return panorama.rotate(image, rotation), turned


def colour(image: np.ndarray, labels: np.ndarray | None, random: np.random.Generator) -> Pair:
    """Mix the channels by a random matrix near the identity, then change contrast and brightness.

    It keeps a network from learning one picture's colours by heart.
    """
    channels = image.shape[0]
    mixing = np.eye(channels) + random.normal(0, 0.1, (channels, channels))
    contrast, brightness = random.uniform(0.8, 1.2), random.uniform(-0.1, 0.1)
    mixed = np.einsum("dc,chw->dhw", mixing * contrast, image - 0.5, dtype=image.dtype, casting="same_kind")
    return np.clip(mixed + image.dtype.type(0.5 + brightness), 0, 1), labels


AUGMENTATIONS: dict[str, Augmentation] = {"flip": flip, "turn": turn, "rotate": rotate, "colour": colour}


def augment(image: np.ndarray, labels: np.ndarray | None, names: Sequence[str], random: np.random.Generator) -> Pair:
    """Apply augmentations one after the other.

    Args:
        image: ``(channels, height, width)``, floating point, 0 … 1.
        labels: ``(height, width)``, or ``None`` where the label belongs to the whole image.
        names: keys of ``AUGMENTATIONS``.
        random: where the choices come from.

    Example:
        >>> image, _ = augment(np.zeros((3, 4, 8), np.float32), None, ["flip", "turn"], np.random.default_rng(0))
        >>> image.shape
        (3, 4, 8)
    """
    for name in names:
        image, labels = AUGMENTATIONS[name](image, labels, random)
    return np.ascontiguousarray(image), None if labels is None else np.ascontiguousarray(labels)


def parse_augmentations(names: Sequence[str]) -> tuple[str, ...]:
    """Known names of augmentations, in the order given.

    Raises:
        InputError: an unknown name.
    """
    for name in names:
        if name not in AUGMENTATIONS:
            near = get_close_matches(str(name), AUGMENTATIONS, n=1)
            cure = f"did you mean {near[0]}?" if near else "write none to do without"
            raise InputError("augment", name, f"must be among {', '.join(AUGMENTATIONS)}", cure)
    return tuple(names)
