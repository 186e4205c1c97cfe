"""Panoramas of a folder, or one of the whole Earth; rotated copies to train with; holes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from scipy.stats import special_ortho_group
from torch import Tensor

from omniconv.data.hole_masks import draw_hole
from omniconv.errors import FileError
from omniconv.surfaces import Equirectangular, panorama
from omniconv.surfaces.resampling.rotation import rotate

SUFFIXES = (".jpg", ".jpeg", ".png")
SURFACE = Equirectangular()
TEST_EVERY = 4
"""One in four panoramas of a folder, in the order of names, is held out; the one after the first of them validates."""
EAST_OF = 60
"""Longitude in degrees from which the Earth is held out, up to 180° east."""
TEST_STYLES = ("thin", "medium", "thick", "deepfill", "lama")
MAX_SHARE = 0.6
"""Largest share of the area of test holes: larger ones are drawn again."""
CAP = 20.0
"""Radius in degrees of the caps at the seam and at the pole."""


@dataclass(frozen=True)
class Part:
    """Images and where they may be seen, both float32.

    Args:
        images: ``(n, 3, height, 2 · height)`` from 0 to 1.
        open: ``(n, 1, height, 2 · height)``, 0 where the image belongs to another part: always in the hole, in no loss.
    """

    images: Tensor
    open: Tensor


@dataclass(frozen=True)
class Split:
    """Parts to train, to choose settings and to test, and the names of the images of each."""

    training: Part
    validation: Part
    test: Part
    names: dict[str, list[str]]


def load(path: Path, height: int, copies: int, seed: int) -> Split:
    """Return the panoramas of a folder, or the Earth of an ``.npz`` file with ``rgb``, split.

    Args:
        path: folder with jpg or png images of 2:1, or the file.
        height: rows of the panoramas.
        copies: rotated copies of each training image, the first one as it is.
        seed: of the rotations.

    Raises:
        FileError: it cannot be read, or has fewer than four images.
    """
    random = np.random.default_rng(seed)
    if path.is_file():
        return _earth(path, height, copies, random)
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES) if path.is_dir() else []
    if len(files) < TEST_EVERY:
        rule = f"has {len(files)} panoramas (jpg, png), must have at least {TEST_EVERY}"
        raise FileError(path, rule, "give another folder, or an .npz file with an array 'rgb'")
    test = files[TEST_EVERY - 1 :: TEST_EVERY]
    rest = [file for file in files if file not in test]
    validation, training = rest[-1:], rest[:-1]
    parts = []
    for chosen, count in ((training, copies), (validation, 1), (test, 1)):
        sources = [(_read(file), np.ones((1, 1, 1), np.float32)) for file in chosen]
        parts.append(_rotated(sources, height, count, random))
    lists = {"training": training, "validation": validation, "test": test}
    return Split(*parts, {name: [file.name for file in chosen] for name, chosen in lists.items()})


def training_holes(count: int, height: int, seed: int) -> Tensor:
    """Return holes of LaMa's training mixture, which are turned and mirrored in each step, ``(n, 1, …)``."""
    random = np.random.default_rng(seed)
    holes = [draw_hole("lama", random, SURFACE, (height, 2 * height)) for _ in range(count)]
    return torch.from_numpy(np.stack(holes))[:, None].float()


def test_holes(count: int, height: int, seed: int) -> Tensor:
    """Return ``count`` holes of all published styles in turn, ``(n, 1, height, 2 · height)``."""
    random = np.random.default_rng(seed)
    shares = panorama.pixel_areas(height, 2 * height) / (4 * np.pi)
    holes: list[np.ndarray] = []
    while len(holes) < count:
        hole = draw_hole(TEST_STYLES[len(holes) % len(TEST_STYLES)], random, SURFACE, (height, 2 * height))
        if (hole * shares).sum() <= MAX_SHARE:
            holes.append(hole)
    return torch.from_numpy(np.stack(holes))[:, None].float()


def cap(height: int, latitude: float, longitude: float) -> Tensor:
    """Return a hole of ``CAP`` degrees around a point, ``(1, 1, height, 2 · height)``."""
    centre = panorama.unit_vectors(np.radians(latitude), np.radians(longitude))
    inside = panorama.pixel_directions(height, 2 * height) @ centre > np.cos(np.radians(CAP))
    return torch.from_numpy(inside)[None, None].float()


def mean_areas(height: int) -> Tensor:
    """Return the area of each pixel, with a mean of 1, ``(height, 1)``."""
    areas = panorama.pixel_areas(height, 2 * height)[:, :1]
    return torch.from_numpy(areas / areas.mean()).float()


def _earth(path: Path, height: int, copies: int, random: np.random.Generator) -> Split:
    try:
        rgb = np.load(path)["rgb"]
    except (OSError, ValueError, KeyError) as error:
        raise FileError(path, "is not an .npz file with an array 'rgb'", "give a folder of panoramas") from error
    image = np.moveaxis(rgb, -1, 0).astype(np.float32) / 255
    longitudes = (np.arange(image.shape[2]) + 0.5) * 360 / image.shape[2] - 180
    seen = np.broadcast_to(longitudes < EAST_OF, (1, *image.shape[1:])).astype(np.float32)
    training = _rotated([(image, seen)], height, copies, random)
    validation, test = _rotated([(image, seen)], height, 1, random), _rotated([(image, 1 - seen)], height, 1, random)
    names = {"training": [f"west of {EAST_OF}° E"], "validation": [f"west of {EAST_OF}° E"]}
    return Split(training, validation, test, names | {"test": [f"{EAST_OF}° E to 180° E"]})


def _rotated(
    sources: list[tuple[np.ndarray, np.ndarray]], height: int, copies: int, random: np.random.Generator
) -> Part:
    images, masks = [], []
    for image, seen in sources:
        # Twice the rows that are wanted, then means of four pixels: bilinear interpolation alone would blur or alias.
        fine = panorama.resize(image, 2 * height, 4 * height)
        fine_seen = panorama.resize(np.broadcast_to(seen, (1, *image.shape[1:])), 2 * height, 4 * height)
        for copy in range(copies):
            turn = special_ortho_group.rvs(3, random_state=random) if copy else np.eye(3)
            images.append(_halved(rotate(fine, SURFACE, turn)))
            masks.append(_halved(rotate(fine_seen, SURFACE, turn)) > 0.99)
    return Part(torch.from_numpy(np.stack(images)).float().clamp(0, 1), torch.from_numpy(np.stack(masks)).float())


def _halved(image: np.ndarray) -> np.ndarray:
    return image.reshape(len(image), image.shape[1] // 2, 2, image.shape[2] // 2, 2).mean((2, 4))


def _read(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as file:
            pixels = np.asarray(file.convert("RGB"), np.float32) / 255
    except (OSError, UnidentifiedImageError) as error:
        raise FileError(path, "is not a complete image", "remove it or copy it again") from error
    if pixels.shape[1] != 2 * pixels.shape[0]:
        size = f"{pixels.shape[1]} × {pixels.shape[0]}"
        raise FileError(path, f"is {size} pixels, must be twice as wide as high", "give panoramas of the whole sphere")
    return np.moveaxis(pixels, -1, 0)
