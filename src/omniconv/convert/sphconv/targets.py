"""Exact projection: outputs of a flat network on flat views of the panorama, one view centred on each pixel.

A view is an image on the tangent plane of the sphere at the pixel. Its pixels have the size of the panorama's at the
equator, and are interpolated bilinearly, around the circle of columns and over the poles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.convert.sphconv.source_network import ChainLayer
from omniconv.surfaces import panorama

MAX_VALUES = 2**25
"""Approximate limit of the values that views and their activations take in memory at a time."""
ACTIVATION_ALLOWANCE = 16
"""Assumed size of all activations of a view, relative to the view itself."""


class TargetCache:
    """Exact outputs of the convolutions ``layers[index]``, computed when first asked for."""

    def __init__(self, layers: Sequence[ChainLayer], panoramas: Tensor, advance: Callable[[], None]) -> None:
        self.layers = layers
        # fitting a layer needs its own targets and those of the convolution below
        self.outputs = lru_cache(maxsize=2)(lambda index: exact_outputs(layers, index, panoramas, advance))


def exact_outputs(layers: Sequence[ChainLayer], index: int, panoramas: Tensor, advance: Callable[[], None]) -> Tensor:
    """Return the exact outputs of the convolution ``layers[index]``, before the layers that follow it.

    ``panoramas`` are ``(N, C, H, 2 · H)``, the outputs ``(N, O, H / stride, 2 · H / stride)``; ``advance`` is called
    after each row.
    """
    layer = layers[index]
    rows = []
    with torch.no_grad():
        for pixels, weights in _view_samples(panoramas.shape[2], layer):
            outputs = [
                _run_on_views(layers[: index + 1], _sample_views(part, pixels, weights)).unflatten(0, (len(part), -1))
                for part in panoramas.split(_panoramas_at_a_time(panoramas, layer))
            ]
            rows.append(torch.cat(outputs).transpose(1, 2))  # (N, O, W')
            advance()
    return torch.stack(rows, 2)


def _view_directions(size: int, pixel: float) -> np.ndarray:
    """Return outward, east and north components of a view's pixels, ``(size², 3)``, not normalized."""
    offsets = np.tan(pixel) * (np.arange(size) - (size - 1) / 2)
    east, south = np.meshgrid(offsets, offsets)
    return np.stack([np.ones_like(east), east, -south], axis=-1).reshape(-1, 3)


def _view_samples(height: int, layer: ChainLayer) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield for each output row the pixels around each view pixel, ``(W', field², 4)``, and their bilinear weights."""
    components, width = _view_directions(layer.field, np.pi / height), 2 * height
    middle = (layer.stride - 1) / 2  # an output of an even stride is centred between pixels
    longitude = np.asarray(-np.pi + (middle + 0.5) * np.pi / height)
    # views of one row differ by a rotation about the polar axis, which adds to the column of every pixel
    columns = torch.arange(0, width, layer.stride)[:, None, None]
    for row in np.arange(0, height, layer.stride) + middle:
        latitude = np.pi / 2 - (row + 0.5) * np.pi / height
        directions = components @ panorama.local_frames(latitude, longitude)
        pixels, weights = panorama.bilinear_pixels(directions, height, width)
        first = torch.from_numpy(pixels)
        yield first // width * width + (first % width + columns) % width, torch.from_numpy(weights)


def _sample_views(panoramas: Tensor, pixels: Tensor, weights: Tensor) -> Tensor:
    """Return the views of one row, ``(N · W', C, field, field)``."""
    flat, size = panoramas.flatten(2), round(pixels.shape[1] ** 0.5)
    # one corner at a time: all four at once would take four times the memory
    views = flat[:, :, pixels[..., 0]] * weights[:, 0].to(flat)
    for corner in range(1, 4):
        views += flat[:, :, pixels[..., corner]] * weights[:, corner].to(flat)
    return views.transpose(1, 2).unflatten(3, (size, size)).flatten(0, 1)


def _run_on_views(layers: Sequence[ChainLayer], views: Tensor) -> Tensor:
    """Run layers without padding, from views ``(n, C, field, field)`` to one output each, ``(n, O)``."""
    for chain_layer in layers:
        layer = chain_layer.layer
        if isinstance(layer, nn.Conv2d):
            views = F.conv2d(views, layer.weight, layer.bias, 1, 0, layer.dilation, layer.groups)
        else:
            views = layer(views)
    return views.flatten(1)


def _panoramas_at_a_time(panoramas: Tensor, layer: ChainLayer) -> int:
    views = panoramas.shape[3] // layer.stride
    return max(1, MAX_VALUES // (views * layer.field**2 * panoramas.shape[1] * ACTIVATION_ALLOWANCE))
