"""Random augmentations of images and of targets with one value per pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.random import Generator
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from omniconv.checks import check_extra, did_you_mean
from omniconv.data.affine import RANDOM_MAPS, Interpolation, warp, warp_target
from omniconv.errors import InputError, one_line
from omniconv.surfaces import Surface, panorama

Target = np.ndarray | None
Pair = tuple[np.ndarray, Target]
Augmentation = Callable[[np.ndarray, Target, Generator, Interpolation], Pair]
LARGEST_BLUR = 1.5
"""Largest standard deviation of ``blur`` in pixels."""
LARGEST_NOISE = 0.1
"""Largest standard deviation of ``noise``, of values in 0 … 1."""
KORNIA_PREFIX = "kornia:"
PANORAMA_MARGIN = 16
"""Pixels by which a panorama is continued beyond its edges for filters, so that they make no seam."""
CHEAP_AUGMENTATIONS = ("flip", "quarter", "turn", "cutmix", "mixup")
"""Augmentations that take next to no time in the preparation of a sample."""
BATCH_AUGMENTATIONS = ("cutmix", "mixup")
"""Augmentations of whole batches, see ``omniconv.training.mixing``."""


def flip(image: np.ndarray, target: Target, random: Generator, interpolation: Interpolation = "nearest") -> Pair:
    """Mirror left and right with probability 1/2."""
    if random.random() < 0.5:
        return image, target
    return image[..., ::-1], None if target is None else target[..., ::-1]


def quarter(image: np.ndarray, target: Target, random: Generator, interpolation: Interpolation = "nearest") -> Pair:
    """Turn a flat image by 0°, 90°, 180° or 270°; one that is not square by 0° or 180°."""
    is_square = image.shape[-2] == image.shape[-1]
    turns = int(random.integers(4)) if is_square else 2 * int(random.integers(2))
    return np.rot90(image, turns, (-2, -1)), None if target is None else np.rot90(target, turns, (-2, -1))


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


def blur(image: np.ndarray, target: Target, random: Generator, interpolation: Interpolation = "nearest") -> Pair:
    """Blur by a Gaussian of 0.3 to 1.5 pixels with probability 1/2."""
    if random.random() < 0.5:
        return image, target
    deviation = random.uniform(0.3, LARGEST_BLUR)
    return gaussian_filter(image, (0, deviation, deviation), mode="reflect"), target


def noise(image: np.ndarray, target: Target, random: Generator, interpolation: Interpolation = "nearest") -> Pair:
    """Add normal noise of standard deviation up to 0.1 with probability 1/2."""
    if random.random() < 0.5:
        return image, target
    deviation = random.uniform(0, LARGEST_NOISE)
    noisy = image + random.standard_normal(image.shape, np.float32) * np.float32(deviation)
    return np.clip(noisy, 0, 1).astype(image.dtype), target


AUGMENTATIONS: dict[str, Augmentation] = {
    "flip": flip, "quarter": quarter, "turn": turn, "rotate": rotate, "colour": colour, "blur": blur, "noise": noise,
}  # fmt: skip
"""Augmentations of one image, without the affine maps of ``RANDOM_MAPS``."""


def augment(
    image: np.ndarray,
    target: Target,
    names: Sequence[str],
    random: Generator,
    interpolation: Interpolation = "nearest",
    ignore_index: int | None = None,
    spherical: bool = False,
) -> Pair:
    """Apply augmentations one after the other; affine maps that follow each other are one resampling.

    Args:
        image: ``(channels, height, width)``, floating point, 0 … 1.
        target: ``(..., height, width)``, or ``None`` for a target with one value per image.
        names: keys of ``AUGMENTATIONS`` and ``RANDOM_MAPS``, or ``kornia:NAME``; names of ``BATCH_AUGMENTATIONS`` have
            no effect here.
        random: random number generator.
        interpolation: ``nearest`` for labels, ``linear`` for real values.
        ignore_index: value of the target beyond the edges of a flat image, which affine maps may show.
        spherical: the image is a panorama, which filters continue beyond its edges.

    Example:
        >>> image, _ = augment(np.zeros((3, 4, 8), np.float32), None, ["flip", "turn"], np.random.default_rng(0))
        >>> image.shape
        (3, 4, 8)
    """
    matrix: np.ndarray | None = None
    for name, following in pairwise([*names, ""]):
        if name in RANDOM_MAPS:
            new = RANDOM_MAPS[name](random, (image.shape[-2], image.shape[-1]))
            matrix = new if matrix is None else matrix @ new
            if following not in RANDOM_MAPS:
                image = warp(image, matrix)
                target = None if target is None else warp_target(target, matrix, interpolation, ignore_index)
                matrix = None
        elif name.startswith(KORNIA_PREFIX):
            image = _filtered(image, spherical, lambda x, name=name: _apply_kornia(x, name, random))  # type: ignore[misc]
        elif name == "blur":
            image = _filtered(image, spherical, lambda x: blur(x, None, random)[0])
        elif name not in BATCH_AUGMENTATIONS:
            image, target = AUGMENTATIONS[name](image, target, random, interpolation)
    return np.ascontiguousarray(image), None if target is None else np.ascontiguousarray(target)


def parse_augmentations(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of augmentations in the order given, checked to be known.

    Raises:
        InputError: an unknown name, or kornia is not installed or has no such augmentation.
    """
    known = [*AUGMENTATIONS, *RANDOM_MAPS, *BATCH_AUGMENTATIONS]
    for name in names:
        if name.startswith(KORNIA_PREFIX):
            _make_kornia(name)
        elif name not in known:
            cure = did_you_mean(name, known, "use augment='none' for no augmentation")
            raise InputError("augment", name, f"must be among {', '.join(known)}, {KORNIA_PREFIX}NAME", cure)
    return tuple(names)


def check_augmentations(names: Iterable[str], surface: Surface, size: tuple[int, int] | None = None) -> None:
    """Check that augmentations have a meaning for the images of a training.

    Args:
        names: names of known augmentations.
        surface: surface of the network's input.
        size: height and width that images are resized to; ``None`` if they are not known yet.

    Raises:
        InputError: one has none.
    """
    for name in names:
        if name in (*RANDOM_MAPS, "quarter") and surface.spherical:
            rule = f"is an augmentation of flat images, and the surface is {surface}"
            raise InputError("augment", name, rule, "use augment='turn' or augment='rotate'")
        if name == "rotate" and size is not None and size[1] != 2 * size[0]:
            rule = f"needs images twice as wide as high; they are resized to {size[0]}x{size[1]}"
            raise InputError("augment", name, rule, f"use size='{size[0]}x{2 * size[0]}'")


def _filtered(image: np.ndarray, spherical: bool, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Apply a function to an image, on a sphere to one that is continued beyond its edges and cut out afterwards."""
    if not spherical:
        return function(image)
    rows, columns = (min(PANORAMA_MARGIN, side) for side in image.shape[-2:])
    changed = function(panorama.pad_panorama(image, rows, columns))
    return changed[..., rows : rows + image.shape[-2], columns : columns + image.shape[-1]]


def _make_kornia(name: str) -> Any:
    """Return an augmentation of kornia that changes values only, with its default arguments.

    Raises:
        InputError: kornia is not installed, or has no such augmentation that needs no arguments.
    """
    check_extra("augment", f"augment={name!r}", ["kornia"])
    kornia = import_module("kornia.augmentation")  # late: takes 0.6 s
    base = kornia.IntensityAugmentationBase2D
    own = name.removeprefix(KORNIA_PREFIX)
    known = {key: value for key, value in vars(kornia).items() if isinstance(value, type) and issubclass(value, base)}
    if own not in known or known[own] is base:
        rule = "is no augmentation of kornia that changes the values of an image and leaves its geometry"
        near = did_you_mean(own, known, "list them by vars(kornia.augmentation)")
        raise InputError("augment", name, rule, near)
    try:
        return known[own]()
    except Exception as error:  # of optional packages, too
        rule = f"cannot be made without arguments ({one_line(error)})"
        raise InputError("augment", name, rule, "choose another one") from error


def _apply_kornia(image: np.ndarray, name: str, random: Generator) -> np.ndarray:
    """Apply an augmentation of kornia to an image; kornia draws from torch's global generator, seeded here."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(random.integers(2**63)))
        changed = _make_kornia(name)(torch.from_numpy(np.ascontiguousarray(image))[None])
    return changed[0].clamp(0, 1).numpy()
