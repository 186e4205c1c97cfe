"""Network outputs at the size of image files, and images of outputs that are images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from omniconv.data.images import BLOCK_PIXELS
from omniconv.data.preprocessing import Preprocessing
from omniconv.nn.grid.padding import pad
from omniconv.nn.grid.resize import resize
from omniconv.surfaces import Border, Equirectangular, panorama


def to_pixels(output: Tensor, size: tuple[int, int], preprocessing: Preprocessing) -> np.ndarray:
    """Return a picture of an image on the surface of a network, uint8 ``(*size, 3)``.

    Args:
        output: normalized image ``(3, *grid)``, on the CPU.
        size: rows and columns; on a surface that is not a grid the picture is a panorama.
        preprocessing: preprocessing of the network.
    """
    pixels = np.empty((*size, 3), np.uint8)
    for rows, channels in rows_at_size(output.float(), size, preprocessing):
        values = denormalize(torch.from_numpy(channels)[None], preprocessing)[0].clamp(0, 1)
        pixels[rows] = (values * 255).round().movedim(0, -1).numpy()
    return pixels


def denormalize(signals: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Return normalized signals ``(batch, channels, *grid)`` in the units of images, where black is 0 and white is 1.

    Values of an image of a network may be below 0 or above 1.
    """
    shape = (1, -1, *[1] * (signals.ndim - 2))
    mean, std = (signals.new_tensor(values).reshape(shape) for values in (preprocessing.mean, preprocessing.std))
    return signals * std + mean


def channels_at_size(output: Tensor, size: tuple[int, int], preprocessing: Preprocessing) -> Iterator[np.ndarray]:
    """Resample a dense output ``(channels, *grid)`` to an image, one channel at a time to save memory.

    Args:
        output: the network's output, on the CPU.
        size: rows and columns of the image; on a surface that is not a grid the image is a panorama.
        preprocessing: preprocessing of the network.

    Yields:
        One array of ``size`` for each channel.
    """
    surface = preprocessing.surface
    neighbours = surface.resize_neighbours(2, "linear")
    for channel in output:
        if surface.any_size and isinstance(neighbours, Border):
            yield resize(channel[None, None], size, neighbours)[0, 0].numpy()
        else:
            height = min(size[0], 4 * (surface.panorama_height() or size[0]))
            yield panorama.resize(surface.to_equirectangular(channel.numpy(), height), *size)


def rows_at_size(
    output: Tensor, size: tuple[int, int], preprocessing: Preprocessing
) -> Iterator[tuple[slice, np.ndarray]]:
    """Resample a dense output as ``channels_at_size``, all channels of a block of rows at a time.

    For large images: the memory is that of the network's output and of ``BLOCK_PIXELS`` values. Equal to
    ``channels_at_size`` but for rounding.

    Yields:
        A block of rows, and its array ``(channels, rows, columns)``.
    """
    surface = preprocessing.surface
    border = surface.resize_neighbours(2, "linear")
    signal = output
    if not (surface.any_size and isinstance(border, Border)):
        height = min(size[0], 4 * (surface.panorama_height() or size[0]))
        output = torch.stack([torch.from_numpy(surface.to_equirectangular(one.numpy(), height)) for one in output])
        border = Equirectangular().resize_neighbours(2, "linear")
    grid = output.shape[1:]
    if not isinstance(border, Border) or any(new < old for old, new in zip(grid, size, strict=True)):
        yield slice(0, size[0]), np.stack(list(channels_at_size(signal, size, preprocessing)))
        return
    margins = [int(wraps) for wraps in border.wraps]  # other axes end at their edge samples
    output = pad(output[None], [(margin, margin) for margin in margins], border)[0]
    (above, below, lower), (left, right, farther) = map(_linear_taps, grid, size, margins)
    step = max(1, BLOCK_PIXELS // (size[1] * len(output)))
    for start in range(0, size[0], step):
        rows = slice(start, min(start + step, size[0]))
        first = int(above[rows].min())
        source = output[:, first : int(below[rows].max()) + 1]
        source = source[..., left].lerp(source[..., right], farther)
        yield rows, source[:, above[rows] - first].lerp(source[:, below[rows] - first], lower[rows, None]).numpy()


def _linear_taps(old: int, new: int, margin: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the two source samples of each sample of an enlarged axis, and the weight of the second one."""
    centres = (torch.arange(new, dtype=torch.float64) + 0.5) * old / new - 0.5
    before = centres.floor()
    first, second = ((before + margin + offset).clamp(0, old + 2 * margin - 1).long() for offset in (0, 1))
    return first, second, (centres - before).float()
