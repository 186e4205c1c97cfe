"""Panoramas to learn from: checked, brought to one height, and turned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from omniconv.errors import InputError
from omniconv.surfaces import panorama


def checked(argument: str, panoramas: Any, channels: int) -> list[np.ndarray]:
    """Panoramas of any sizes, each ``(channels, h, 2h)`` in single precision.

    Raises:
        InputError: none at all, one that is not 2 : 1, that has other channels, or holds no numbers.
    """
    if not isinstance(panoramas, torch.Tensor | np.ndarray | list | tuple) or not len(panoramas):
        raise InputError(argument, type(panoramas).__name__, "must be panoramas, one at least", "give (N, C, H, 2H)")
    found = []
    for place, one in enumerate(panoramas):
        image = one.detach().cpu().numpy() if isinstance(one, torch.Tensor) else np.asarray(one)
        name = f"{argument}[{place}]"
        if image.ndim != 3 or image.shape[0] != channels:
            raise InputError(name, image.shape, f"must be ({channels}, h, 2h), as the model takes", "move the channels")
        if image.shape[2] != 2 * image.shape[1]:
            cure = "crop or pad it to the whole sphere, 360° by 180°"
            raise InputError(name, image.shape, "must be twice as wide as high", cure)
        if not np.isfinite(image).all():
            raise InputError(name, image.shape, "must hold finite numbers", "remove NaN and infinities")
        found.append(image.astype(np.float32))
    return found


def sized(images: Sequence[np.ndarray], height: int) -> Tensor:
    """Panoramas at one height, ``(N, C, height, 2 · height)``, averaged where they shrink."""
    return torch.from_numpy(np.stack([panorama.resize(image, height, 2 * height) for image in images]))


def turned_copies(images: Sequence[np.ndarray], height: int, count: int, seed: int) -> list[np.ndarray]:
    """``count`` copies of each panorama after random rotations of its sphere, with detail for ``height`` rows."""
    generator, found = np.random.default_rng(seed), []
    for image in images if count else ():
        fine = min(image.shape[1], 2 * height)
        detailed = panorama.resize(image, fine, 2 * fine)
        found += [panorama.rotate(detailed, Rotation.random(rng=generator).as_matrix()) for _ in range(count)]
    return found
