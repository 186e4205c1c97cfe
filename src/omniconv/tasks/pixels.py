"""Pictures of network outputs that are images."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from omniconv.data.preprocessing import Preprocessing
from omniconv.tasks.base import rows_at_size


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
