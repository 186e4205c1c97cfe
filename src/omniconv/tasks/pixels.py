"""Pictures of network outputs that are images."""

from __future__ import annotations

import numpy as np
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
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (preprocessing.mean, preprocessing.std))
    for rows, channels in rows_at_size(output.float(), size, preprocessing):
        values = np.clip(channels * std + mean, 0, 1)
        pixels[rows] = np.moveaxis(np.rint(values * 255), 0, -1)
    return pixels
