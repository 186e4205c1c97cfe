"""Panoramas from a folder, or from images that cartopy and scikit-learn contain, and flat views of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

import omniconv as oc
from omniconv.errors import FileError
from omniconv.surfaces import View, panorama, view_of

SUFFIXES = (".jpg", ".jpeg", ".png")
FOLDS = 4
"""Number of folds; one in four panoramas of a folder, in the order of names, is held out."""
MAX_HEIGHT = 512
"""Panoramas with more rows are resized to this height when they are read."""


@dataclass(frozen=True)
class Split:
    """Panoramas for training and held-out ones by name, each float32 ``(3, h, 2h)`` from −½ to ½."""

    training: dict[str, np.ndarray]
    held_out: dict[str, np.ndarray]


def load(folder: Path | None, fold: int = FOLDS) -> Split:
    """Return the panoramas of a folder, split; without a folder, those of ``_built_in``.

    Args:
        folder: with jpg or png images of 2:1.
        fold: held-out panoramas: number ``fold``, from 1, and every fourth after it.

    Raises:
        FileError: the folder has fewer than two images, or one is damaged or not 2:1.
    """
    if folder is None:
        return _built_in()
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if len(paths) < 2:
        raise FileError(folder, f"has {len(paths)} panoramas (jpg, png), must have at least two", "give another folder")
    images = {path.name: _read(path) for path in paths}
    held_out = set(list(images)[fold - 1 :: FOLDS] or list(images)[-1:])
    return Split(
        {name: image for name, image in images.items() if name not in held_out},
        {name: image for name, image in images.items() if name in held_out},
    )


def views(
    images: dict[str, np.ndarray], height: int, size: int, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return flat views in random directions ``(n, 3, size, size)``, and the index of the panorama of each ``(n,)``.

    Their pixels have the size of those of a panorama of ``height`` rows at its equator.
    """
    generator, samples = np.random.default_rng(seed), []
    field_of_view = np.degrees(2 * np.arctan(size / 2 * np.tan(np.pi / height)))
    for image in images.values():
        for _ in range(count):
            latitude = np.degrees(np.arcsin(generator.uniform(-1, 1)))
            view = View((size, size), field_of_view, generator.uniform(-180, 180), latitude)
            samples.append(view_of(image, view))
    return np.stack(samples).astype(np.float32), np.repeat(np.arange(len(images)), count)


def _read(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as file:
            pixels = np.asarray(file.convert("RGB"), np.float32)
    except (OSError, UnidentifiedImageError) as error:
        raise FileError(path, "is not a complete image", "remove it or copy it again") from error
    if pixels.shape[1] != 2 * pixels.shape[0]:
        size = f"{pixels.shape[1]} × {pixels.shape[0]}"
        raise FileError(path, f"is {size} pixels, must be twice as wide as high", "give panoramas of the whole sphere")
    return _centred(pixels)


def _built_in() -> Split:
    """Return the Earth of cartopy and the flower of scikit-learn for training, and its Chinese temple held out."""
    from sklearn.datasets import load_sample_image

    try:
        import cartopy
    except ImportError:
        raise FileError("cartopy", "is not installed", "pip install 'omniconv[demo]', or give --panoramas") from None
    earth = Path(cartopy.config["repo_data_dir"]) / "raster" / "natural_earth" / "50-natural-earth-1-downsampled.png"
    flower, temple = (_on_cube(load_sample_image(f"{name}.jpg")) for name in ("flower", "china"))
    return Split({"the Earth": _read(earth), "flower": flower}, {"china": temple})


def _on_cube(photograph: np.ndarray) -> np.ndarray:
    """Return a panorama of a cube whose six faces are parts of a photograph ``(427, 640, 3)``."""
    size = photograph.shape[0] // 2
    corners = [(row, column) for row in (0, size) for column in (0, size, photograph.shape[1] - size)]
    faces = np.stack([photograph[row : row + size, column : column + size] for row, column in corners])
    return oc.Cubemap(size).to_equirectangular(np.moveaxis(faces, -1, 0) / np.float32(255), 2 * size) - 0.5


def _centred(pixels: np.ndarray) -> np.ndarray:
    image = np.moveaxis(pixels, -1, 0) / 255 - 0.5
    height = min(MAX_HEIGHT, image.shape[1])
    return panorama.resize(image, height, 2 * height)
