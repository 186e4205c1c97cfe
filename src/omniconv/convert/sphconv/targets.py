"""What a flat network gives where a flat view of the panorama is centred on each pixel: the exact targets.

A view lies on the plane that touches the sphere at the pixel; its own pixels are as large as those of the panorama's
equator, and are interpolated between four of the panorama's, round the ring and over the poles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.convert.sphconv.source_network import Step
from omniconv.surfaces import panorama

VALUES = 2**25
"""Values of views that are held at a time, about."""


def exact_outputs(steps: Sequence[Step], last: int, panoramas: Tensor, tick: Callable[[], None]) -> Tensor:
    """Outputs of step ``last``, a convolution, before what follows it: ``(N, C, H, W)`` to ``(N, O, H', W')``.

    Args:
        steps: of the flat network.
        last: which of them.
        panoramas: in the values that the network takes.
        tick: called after each row.
    """
    step, below = steps[last], steps[: last + 1]
    rows = []
    with torch.no_grad():
        for pixels, shares in _views(panoramas.shape[2], step):
            parts = panoramas.split(_at_a_time(panoramas, step))
            found = [_through(below, _seen(part, pixels, shares)).unflatten(0, (len(part), -1)) for part in parts]
            rows.append(torch.cat(found).transpose(1, 2))  # (N, O, W')
            tick()
    return torch.stack(rows, 2)


def view_directions(size: int, pixel: float) -> np.ndarray:
    """Outward, east and north of the pixels of a view, row by row, ``(size², 3)``; not of unit length."""
    place = np.tan(pixel) * (np.arange(size) - (size - 1) / 2)
    east, south = np.meshgrid(place, place)
    return np.stack([np.ones_like(east), east, -south], axis=-1).reshape(-1, 3)


def _views(height: int, step: Step) -> Iterator[tuple[Tensor, Tensor]]:
    """For each output row the four pixels around each pixel of its views, ``(W', field², 4)``, and their shares."""
    seen, width = view_directions(step.field, np.pi / height), 2 * height
    middle = (step.stride - 1) / 2
    longitude = np.asarray(-np.pi + (middle + 0.5) * np.pi / height)
    turns = torch.arange(0, width, step.stride)[:, None, None]
    for row in np.arange(0, height, step.stride) + middle:
        latitude = np.pi / 2 - (row + 0.5) * np.pi / height
        outward = panorama.unit_vectors(latitude, longitude)
        east = panorama.unit_vectors(np.zeros(()), longitude + np.pi / 2)
        directions = seen @ np.stack([outward, east, np.cross(outward, east)])
        pixels, shares = panorama.bilinear_pixels(directions, height, width)
        places = torch.from_numpy(pixels)
        turned = places // width * width + (places % width + turns) % width
        yield turned, torch.from_numpy(shares)


def _seen(panoramas: Tensor, pixels: Tensor, shares: Tensor) -> Tensor:
    """Views ``(N · W', C, field, field)``."""
    flat, size = panoramas.flatten(2), round(pixels.shape[1] ** 0.5)
    seen = flat[:, :, pixels[..., 0]] * shares[:, 0].to(flat)
    for corner in range(1, 4):
        seen += flat[:, :, pixels[..., corner]] * shares[:, corner].to(flat)
    return seen.transpose(1, 2).unflatten(3, (size, size)).flatten(0, 1)


def _through(steps: Sequence[Step], views: Tensor) -> Tensor:
    """The layers without padding, from views ``(n, C, field, field)`` to one output each, ``(n, O)``."""
    for step in steps:
        layer = step.layer
        if isinstance(layer, nn.Conv2d):
            views = F.conv2d(views, layer.weight, layer.bias, 1, 0, layer.dilation, layer.groups)
        else:
            views = layer(views)
    return views.flatten(1)


def _at_a_time(panoramas: Tensor, step: Step) -> int:
    width = panoramas.shape[3] // step.stride
    return max(1, VALUES // (width * step.field**2 * panoramas.shape[1] * 16))
