"""Annual mean temperature of the members of a climate model's ensemble, as anomalies of unit variance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io import netcdf_file

from omniconv.errors import FileError
from omniconv.surfaces import Border, Equirectangular, Plane, Surface
from omniconv.surfaces.base import Resampling
from omniconv.surfaces.neighbours.border import Mode

HEIGHT, WIDTH = 64, 128
"""Size of the maps in the files."""


@dataclass(frozen=True)
class Climate:
    """Temperature maps, and the mean and standard deviation of each place over the training members.

    Attributes:
        training: anomalies of the training members, divided by ``std``, ``(n, H, W)``.
        held_out: anomalies of the held-out member.
        mean: mean temperature of each place over the training members, K, ``(H, W)``.
        std: standard deviation there over the years and members, K.
        names: names of the members, the held-out one last.
    """

    training: np.ndarray
    held_out: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    names: tuple[str, ...]


def load(folder: Path, height: int = HEIGHT) -> Climate:
    """Read ``trefht_member*.nc``; the last member by name is held out.

    Args:
        folder: folder of the files.
        height: rows of the maps, 64 or 32; the mean of 2 × 2 values, by area.

    Raises:
        FileError: fewer than two members, or a file of other contents.
    """
    paths = sorted(folder.glob("trefht_member*.nc"))
    if len(paths) < 2:
        raise FileError(folder, "has no two files trefht_member*.nc", "give the folder of the climate data")
    members = [_coarsen(_read(path), HEIGHT // height) for path in paths]
    training = np.concatenate(members[:-1])
    mean, std = training.mean(0), training.std(0)
    anomalies = ((training - mean) / std).astype(np.float32)
    held_out = ((members[-1] - mean) / std).astype(np.float32)
    return Climate(anomalies, held_out, mean, std, tuple(path.stem.removeprefix("trefht_") for path in paths))


def places(climate: Climate, surface: Surface) -> np.ndarray:
    """Return constant input channels that describe each place: direction (3), mean temperature, log of its deviation.

    A network that commutes with rolls of the panorama cannot learn from the maps alone where the continents are. The
    direction, unlike the number of the column, has no jump at the seam.

    Returns:
        ``(5, *grid)``, float32, the last two channels of mean 0 and variance 1.
    """
    channels = [(field - field.mean()) / field.std() for field in (climate.mean, np.log(climate.std))]
    directions = Equirectangular().directions(climate.mean.shape).transpose(2, 0, 1)
    return to_surface(np.concatenate([directions, np.stack(channels)]), surface)


def to_surface(maps: np.ndarray, surface: Surface) -> np.ndarray:
    """Resample panoramas ``(…, H, W)`` to a surface; on surfaces of any size they stay as they are."""
    return (maps if surface.any_size else surface.from_equirectangular(maps)).astype(np.float32)


def to_panorama(signals: np.ndarray, surface: Surface, height: int) -> np.ndarray:
    """Resample signals to panoramas ``(…, height, 2 · height)``."""
    return signals if surface.any_size else surface.to_equirectangular(signals, height)


@dataclass(frozen=True)
class CircularConvolutions(Plane):
    """Images whose convolutions alone pad circularly along the width, the usual cure for the seam of a flat network.

    They do so as ``torch.nn.Conv2d(padding_mode="circular")``; rows are padded with zeros. All other layers are those
    of flat images: resizing ends at the edges, and transposed convolutions pad with zeros, which is all that torch
    offers.
    """

    border: Mode | tuple[Mode, ...] = ("zeros", "circular")

    def transposed_neighbours(self, kernel_size: int = 3, stride: int = 2, dilation: int = 1) -> Border:
        """Return zeros beyond all edges, for transposed convolutions."""
        return Border.of("zeros", self.ndim)

    def pool_neighbours(self, kernel_size: int = 2, stride: int = 2) -> Border:
        """Return zeros beyond all edges, for pooling."""
        return Border.of("zeros", self.ndim)

    def resize_neighbours(self, scale_factor: int = 2, mode: Resampling = "linear") -> Border:
        """Return edges that interpolation does not look past."""
        return Border.of("zeros", self.ndim)


def areas(shape: tuple[int, ...]) -> np.ndarray:
    """Return the share of each pixel in the area of the sphere, ``(H, W)``."""
    areas = Equirectangular().areas(shape)
    return areas / areas.sum()


def _coarsen(maps: np.ndarray, factor: int) -> np.ndarray:
    """Return the means of blocks, by area."""
    weights = areas(maps.shape[-2:])
    blocks = [
        (array.reshape(-1, maps.shape[-2] // factor, factor, maps.shape[-1] // factor, factor)).sum((2, 4))
        for array in (maps * weights, weights)
    ]
    return blocks[0] / blocks[1]


def _read(path: Path) -> np.ndarray:
    try:
        with netcdf_file(path, mmap=False) as file:
            field = np.array(file.variables["TREFHT"].data, np.float64)
            north_first = file.variables["lat"].data[0] > 0
    except (OSError, TypeError, ValueError, KeyError) as error:
        raise FileError(path, "is not a NetCDF file of TREFHT", "copy it again") from error
    if field.shape[1:] != (HEIGHT, WIDTH) or not np.isfinite(field).all():
        raise FileError(path, f"must hold finite maps of {HEIGHT} × {WIDTH}", "copy it again")
    return field if north_first else field[:, ::-1]
