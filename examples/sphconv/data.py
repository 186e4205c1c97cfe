"""Panoramas from a folder, or made from what comes with cartopy and scikit-learn; and flat views of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

import omniconv as oc
from omniconv.errors import FileError
from omniconv.surfaces import View, panorama, view_of

KINDS = (".jpg", ".jpeg", ".png")
FOLDS = 4
"""Every fourth panorama of a folder, by name, is held out."""
TALLEST = 512


@dataclass(frozen=True)
class Panoramas:
    """Panoramas to learn from and to measure on, each float32 ``(3, h, 2h)`` from −½ to ½, by name."""

    learnt: dict[str, np.ndarray]
    held_out: dict[str, np.ndarray]


def load(folder: Path | None, fold: int = FOLDS) -> Panoramas:
    """Panoramas of a folder, every fourth held out; nothing for the Earth and two photographs on cubes.

    Args:
        folder: jpg or png, 2 : 1.
        fold: which of them are held out: the first and every fourth after it, ..., or the fourth and so on.

    Raises:
        FileError: fewer than two, one that is no picture, or that is not 2 : 1.
    """
    if folder is None:
        return _built_in()
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in KINDS)
    if len(paths) < 2:
        raise FileError(folder, f"has {len(paths)} panoramas (jpg, png), not two at least", "give another folder")
    images = {path.name: _read(path) for path in paths}
    held_out = set(list(images)[fold - 1 :: FOLDS] or list(images)[-1:])
    return Panoramas(
        {name: image for name, image in images.items() if name not in held_out},
        {name: image for name, image in images.items() if name in held_out},
    )


def views(
    images: dict[str, np.ndarray], height: int, size: int, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Flat views in random directions, and of which panorama each is: ``(n, 3, size, size)`` and ``(n,)``.

    Their pixels are as large as those of a panorama of ``height`` rows at its equator.
    """
    generator, found = np.random.default_rng(seed), []
    field_of_view = np.degrees(2 * np.arctan(size / 2 * np.tan(np.pi / height)))
    for image in images.values():
        for _ in range(count):
            latitude = np.degrees(np.arcsin(generator.uniform(-1, 1)))
            view = View((size, size), field_of_view, generator.uniform(-180, 180), latitude)
            found.append(view_of(image, view))
    return np.stack(found).astype(np.float32), np.repeat(np.arange(len(images)), count)


def _read(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as file:
            pixels = np.asarray(file.convert("RGB"), np.float32)
    except (OSError, UnidentifiedImageError) as error:
        raise FileError(path, "is no whole picture", "remove it or copy it again") from error
    if pixels.shape[1] != 2 * pixels.shape[0]:
        size = f"{pixels.shape[1]} × {pixels.shape[0]}"
        raise FileError(path, f"is {size}, not twice as wide as high", "give panoramas of the whole sphere")
    return _centred(pixels)


def _built_in() -> Panoramas:
    """The Earth of cartopy and the flower of scikit-learn to learn from; its Chinese temple held out."""
    from sklearn.datasets import load_sample_image

    try:
        import cartopy
    except ImportError:
        raise FileError("cartopy", "is not installed", "pip install 'omniconv[demo]', or give --panoramas") from None
    earth = Path(cartopy.config["repo_data_dir"]) / "raster" / "natural_earth" / "50-natural-earth-1-downsampled.png"
    flower, temple = (_on_cube(load_sample_image(f"{name}.jpg")) for name in ("flower", "china"))
    return Panoramas({"the Earth": _read(earth), "flower": flower}, {"china": temple})


def _on_cube(picture: np.ndarray) -> np.ndarray:
    """A photograph ``(427, 640, 3)`` in six pieces, one on each face of a cube, as a panorama."""
    size = picture.shape[0] // 2
    corners = [(row, column) for row in (0, size) for column in (0, size, picture.shape[1] - size)]
    faces = np.stack([picture[row : row + size, column : column + size] for row, column in corners])
    return oc.Cubemap(size).to_equirectangular(np.moveaxis(faces, -1, 0) / np.float32(255), 2 * size) - 0.5


def _centred(pixels: np.ndarray) -> np.ndarray:
    image = np.moveaxis(pixels, -1, 0) / 255 - 0.5
    height = min(TALLEST, image.shape[1])
    return panorama.resize(image, height, 2 * height)
