"""Equirectangular images as functions on the sphere: pixel geometry, sampling, resizing, rotation.

Samples are cell centres, never on the poles: row i has latitude 90° − (i + ½)·180°/H, column j longitude −180° + (j +
½)·360°/W. Every function continues an image over the poles (mirrored rows rolled by half the width) and across the
left and right edge, so that none has a seam.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from scipy import sparse

from omniconv.errors import InputError
from omniconv.surfaces.neighbours.border import border_index
from omniconv.surfaces.neighbours.stencil import csr_from_rows

MIN_ROWS = 19
"""Rows from which a grid can be one of geodata: 10° from pole to pole. Smaller ones are feature maps or tests."""
_said: set[tuple[int, int]] = set()
"""Sizes that were warned of."""
_known_to_layers: set[tuple[int, int]] = set()
"""Sizes that layers have seen, and those of the feature maps that strides of 2 make of them."""


def may_have_pole_rows(height: int, width: int) -> bool:
    """Return True if the rows of a panorama of this size may lie on the poles instead of at the centres of cells.

    Grids of weather and climate data often have an odd number of rows, the first and last of them on the poles: 181 ×
    360, 721 × 1440, 361 × 576. Panoramas have half as many rows as columns. Images of another kind, whose pixels would
    be more than twice as high as wide or the other way round, are not such grids.
    """
    return height % 2 == 1 and height >= MIN_ROWS and width != 2 * height and height - 1 <= width <= 4 * (height - 1)


def warn_of_pole_rows(height: int, width: int) -> None:
    """Warn once for each size if the rows of a panorama may lie on the poles instead of at the centres of cells.

    The commands say it in a line of ``data.image_notes`` instead.
    """
    if not may_have_pole_rows(height, width) or (height, width) in _said:
        return
    first = 90 - 90 / height
    warnings.warn(
        f"panorama of {height} × {width}: its rows are taken as cell centres, from {first:.6g}° to −{first:.6g}°, but "
        f"an odd number of rows that is not half the columns often means rows on both poles; if so, average adjacent "
        f"rows, (x[..., :-1, :] + x[..., 1:, :]) / 2, which gives {height - 1} rows of cell centres; if they are cell "
        "centres, ignore this by warnings.filterwarnings('ignore', 'panorama of')",
        stacklevel=3,
    )
    _said.add((height, width))


def warn_layer_of_pole_rows(height: int, width: int) -> None:
    """Warn of the signal of a layer if rows on both poles would be as far apart as its columns: 181 × 360, 721 × 1440.

    Feature maps may have any size, as strides of 2 make them: those of a larger signal are not warned of.
    """
    if (height, width) in _known_to_layers:
        return
    if width == 2 * (height - 1):
        warn_of_pole_rows(height, width)
    rounded_up = rounded_down = height, width
    while min(rounded_up) > 1:
        _known_to_layers.update((rounded_up, rounded_down))
        rounded_up = -(-rounded_up[0] // 2), -(-rounded_up[1] // 2)
        rounded_down = rounded_down[0] // 2, rounded_down[1] // 2


def pixel_directions(height: int, width: int) -> np.ndarray:
    """Return the unit vectors of the pixel centres, ``(height, width, 3)``."""
    latitude = np.pi / 2 - (np.arange(height) + 0.5) * np.pi / height
    longitude = -np.pi + (np.arange(width) + 0.5) * 2 * np.pi / width
    return unit_vectors(latitude[:, None], longitude[None, :])


def unit_vectors(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return the directions ``(…, 3)`` of angles in radians."""
    latitude, longitude = np.broadcast_arrays(latitude, longitude)
    cosine = np.cos(latitude)
    return np.stack([cosine * np.cos(longitude), cosine * np.sin(longitude), np.sin(latitude)], axis=-1)


def local_frames(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return the unit vectors outward, east and north at points given by angles in radians, ``(…, 3 vectors, 3)``."""
    latitude, longitude = np.broadcast_arrays(latitude, longitude)
    outward, east = unit_vectors(latitude, longitude), unit_vectors(np.zeros_like(latitude), longitude + np.pi / 2)
    return np.stack([outward, east, np.cross(outward, east)], axis=-2)


def linear_weights(position: np.ndarray, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the samples before and after positions on an axis and their weights, with replicated edges."""
    position = np.clip(position, 0, size - 1)
    before = np.floor(position).astype(np.int64)
    return [(before, 1 - (position - before)), (np.minimum(before + 1, size - 1), position - before)]


def pixel_areas(height: int, width: int) -> np.ndarray:
    """Return the area of each pixel on the unit sphere, ``(height, width)``; they sum to 4π."""
    edges = np.sin(np.pi / 2 - np.arange(height + 1) * np.pi / height)
    return np.repeat((edges[:-1] - edges[1:])[:, None] * 2 * np.pi / width, width, axis=1)


def pixel_coordinates(directions: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return fractional row and column of directions ``(…, 3)``; 0 is the centre of the first pixel."""
    x, y, z = np.moveaxis(np.asarray(directions, dtype=np.float64), -1, 0)
    latitude = np.arctan2(z, np.hypot(x, y))
    rows = (np.pi / 2 - latitude) * height / np.pi - 0.5
    columns = (np.arctan2(y, x) + np.pi) * width / (2 * np.pi) - 0.5
    return rows, columns


def nearest_pixels(directions: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the flat index of the pixel that contains each direction, ``(…,)``."""
    rows, columns = pixel_coordinates(directions, height, width)
    row = np.clip(np.floor(rows + 0.5).astype(np.int64), 0, height - 1)
    return row * width + np.floor(columns + 0.5).astype(np.int64) % width


def bilinear_pixels(directions: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return flat indices and bilinear weights, both ``(…, 4)``, of the four pixels around each direction."""
    rows, columns = pixel_coordinates(directions, height, width)
    top = np.floor(rows).astype(np.int64)
    indices, weights = [], []
    for row, row_weight in ((top, 1 - (rows - top)), (top + 1, rows - top)):
        source, is_rolled, _ = border_index(row, height, "pole")
        rolled = np.where(is_rolled, columns + width / 2, columns)
        left = np.floor(rolled).astype(np.int64)
        for column, column_weight in ((left, 1 - (rolled - left)), (left + 1, rolled - left)):
            indices.append(source * width + column % width)
            weights.append(row_weight * column_weight)
    return np.stack(indices, axis=-1), np.stack(weights, axis=-1)


def bilinear_matrix(directions: np.ndarray, height: int, width: int) -> sparse.csr_array:
    """Return bilinear sampling of a flattened panorama at directions ``(n, 3)`` as a matrix (n, height · width)."""
    indices, weights = bilinear_pixels(directions, height, width)
    return csr_from_rows(indices, weights, height * width)


def sample(image: np.ndarray, directions: np.ndarray, mode: str = "linear") -> np.ndarray:
    """Sample a panorama ``(…, H, W)`` at directions ``(*shape, 3)``; returns ``(…, *shape)``.

    ``linear`` interpolates (floating-point result), ``nearest`` keeps the dtype.
    """
    height, width = image.shape[-2:]
    flat = image.reshape(*image.shape[:-2], height * width)
    if mode == "nearest":
        return flat[..., nearest_pixels(directions, height, width)]
    indices, weights = bilinear_pixels(directions, height, width)
    dtype = np.result_type(image.dtype, np.float32)
    result = np.zeros((*flat.shape[:-1], *directions.shape[:-1]), dtype)
    for corner in range(4):
        result += flat[..., indices[..., corner]] * weights[..., corner].astype(dtype)
    return result


def rotate(image: np.ndarray, rotation: np.ndarray, mode: str = "linear") -> np.ndarray:
    """Rotate a panorama ``(…, H, W)`` by a matrix R: the value at direction ``d`` moves to ``R d``.

    ``surfaces.rotate`` serves every surface by a sparse matrix. Here pixels are gathered without one, which takes less
    memory: rotations of panoramas are mostly random, so that no matrix would be used twice.

    Raises:
        InputError: ``rotation`` is not a 3×3 rotation matrix.
    """
    warn_of_pole_rows(*image.shape[-2:])
    return sample(image, pixel_directions(*image.shape[-2:]) @ check_rotation(rotation), mode)


def check_rotation(rotation: np.ndarray) -> np.ndarray:
    """Return a rotation matrix as float64, or raise InputError if it is not orthogonal and 3 × 3."""
    rotation = np.asarray(rotation, dtype=np.float64)
    if rotation.shape != (3, 3) or not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-6):
        cure = "make one with scipy.spatial.transform.Rotation"
        raise InputError("rotation", rotation.shape, "must be an orthogonal 3×3 matrix", cure)
    return rotation


def resize(image: np.ndarray, height: int, width: int, mode: str = "linear") -> np.ndarray:
    """Resize a panorama ``(…, H, W)``: interpolation where it grows, averages where it shrinks."""
    if image.shape[-2:] == (height, width):
        return image
    if mode == "nearest":
        rows = np.floor((np.arange(height) + 0.5) * image.shape[-2] / height).astype(np.int64)
        columns = np.floor((np.arange(width) + 0.5) * image.shape[-1] / width).astype(np.int64)
        return image[..., rows[:, None], columns]
    dtype = np.result_type(image.dtype, np.float32)
    by_rows, row_margin = resize_matrix(image.shape[-2], height)
    by_columns, column_margin = resize_matrix(image.shape[-1], width)
    padded = pad_panorama(image.astype(dtype), row_margin, column_margin)
    flat = padded.reshape(-1, *padded.shape[-2:])
    result = [by_columns.dot(by_rows.dot(plane).T).T for plane in flat]
    return np.stack(result).reshape(*image.shape[:-2], height, width).astype(dtype)


def apply_matrix(
    image: np.ndarray, max_rows: int, matrix: Callable[[int, int], sparse.csr_array], shape: tuple[int | None, ...]
) -> np.ndarray:
    """Map a panorama ``(…, H, W)`` to a signal ``(…, *shape)`` by ``matrix(height, width)``, (samples, pixels).

    The panorama is first resized to at most ``max_rows`` rows, which bounds the memory of the matrix.
    """
    dtype, lead, (height, width) = np.result_type(image.dtype, np.float32), image.shape[:-2], image.shape[-2:]
    warn_of_pole_rows(height, width)
    rows = min(height, max_rows)
    image = resize(image, rows, max(1, round(width * rows / height)))
    flat = image.reshape(-1, image.shape[-2] * image.shape[-1])
    return matrix(*image.shape[-2:]).dot(flat.T).T.reshape(*lead, *shape).astype(dtype)


def pad_panorama(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Pad a panorama by ``rows`` over each pole and by ``columns`` beyond each edge."""
    height, width = image.shape[-2:]
    row, is_rolled, _ = border_index(np.arange(-rows, height + rows), height, "pole")
    column = np.arange(-columns, width + columns)
    roll = np.where(is_rolled, width // 2, 0)
    return image[..., row[:, None], (column[None, :] - roll[:, None]) % width]


def resize_matrix(size: int, target: int) -> tuple[sparse.csr_array, int]:
    """Return a triangle filter from an axis, padded on both sides, to ``target`` samples, and the padding."""
    scale = size / target
    support = max(scale, 1.0)
    margin = int(np.ceil(support))
    centres = (np.arange(target) + 0.5) * scale - 0.5
    taps = np.floor(centres - support).astype(np.int64)[:, None] + 1 + np.arange(2 * margin)
    weights = np.clip(1 - np.abs(taps - centres[:, None]) / support, 0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    padded_size = size + 2 * margin
    return csr_from_rows(np.clip(taps + margin, 0, padded_size - 1), weights, padded_size), margin
