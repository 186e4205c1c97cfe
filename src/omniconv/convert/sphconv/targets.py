"""Exact projection: outputs of a flat network on flat views of the panorama, one view centred on each pixel.

A view is an image on the tangent plane of the sphere at the pixel. Its pixels have the size of the panorama's at the
equator, and are interpolated bilinearly, around the circle of columns and over the poles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

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
MAX_KEPT = 2**28
"""Largest number of exact outputs that one pass over the views keeps: 1 GiB of float32."""


class TargetCache:
    """Exact outputs of the convolutions ``layers[index]``, computed when first asked for, with those of later ones."""

    def __init__(self, layers: Sequence[ChainLayer], panoramas: Tensor, advance: Callable[[], None]) -> None:
        self.layers, self._panoramas, self._advance = layers, panoramas, advance
        self._outputs: dict[int, Tensor] = {}

    def outputs(self, index: int) -> Tensor:
        """Return the result of ``exact_outputs`` of one convolution; layers are asked for in ascending order."""
        if index not in self._outputs:
            # fitting a layer also needs the outputs of the convolution below it
            self._outputs = {max(self._outputs): self._outputs[max(self._outputs)]} if self._outputs else {}
            group = next(_groups(self.layers, index, self._panoramas))
            self._outputs |= exact_outputs(self.layers, group, self._panoramas, self._advance)
        return self._outputs[index]


def all_exact_outputs(
    layers: Sequence[ChainLayer], panoramas: Tensor, advance: Callable[[], None]
) -> dict[int, Tensor]:
    """Return the exact outputs of all convolutions by their index, see ``exact_outputs``."""
    outputs: dict[int, Tensor] = {}
    for group in _groups(layers, 0, panoramas):
        outputs |= exact_outputs(layers, group, panoramas, advance)
    return outputs


def exact_outputs(
    layers: Sequence[ChainLayer], indices: Sequence[int], panoramas: Tensor, advance: Callable[[], None]
) -> dict[int, Tensor]:
    """Return the exact outputs of some convolutions, before the layers that follow them, from one pass over the views.

    A view for the last convolution contains in its middle those for the earlier ones: one pass over a chain of 17
    convolutions takes a quarter of the time of one pass for each.

    Args:
        layers: the chain.
        indices: ascending indices of convolutions of one stride.
        panoramas: ``(N, C, H, 2 · H)``.
        advance: called for each row of each convolution.

    Returns:
        Outputs ``(N, O, H / stride, 2 · H / stride)`` by index.
    """
    last = layers[indices[-1]]
    rows: dict[int, list[Tensor]] = {index: [] for index in indices}
    with torch.no_grad():
        for pixels, weights in _view_samples(panoramas.shape[2], last):
            parts = [
                _run_on_views(layers, indices, _sample_views(part, pixels, weights), len(part))
                for part in panoramas.split(_panoramas_at_a_time(panoramas, last))
            ]
            for index, outputs in zip(indices, zip(*parts, strict=True), strict=True):
                rows[index].append(torch.cat(outputs).transpose(1, 2))  # (N, O, W')
                advance()
    return {index: torch.stack(found, 2) for index, found in rows.items()}


def _groups(layers: Sequence[ChainLayer], start: int, panoramas: Tensor) -> Iterator[list[int]]:
    """Yield the indices of convolutions from ``start`` on, in groups of one stride that ``MAX_KEPT`` values hold."""
    group: list[int] = []
    kept = 0
    for index in (index for index in range(start, len(layers)) if layers[index].is_conv):
        layer: Any = layers[index]
        values = len(panoramas) * layer.layer.out_channels * (panoramas.shape[2] // layer.stride) ** 2 * 2
        if group and (layer.stride != layers[group[0]].stride or kept + values > MAX_KEPT):
            yield group
            group, kept = [], 0
        group.append(index)
        kept += values
    yield group


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


def _run_on_views(layers: Sequence[ChainLayer], indices: Sequence[int], views: Tensor, panoramas: int) -> list[Tensor]:
    """Run layers without padding on views ``(n, C, field, field)``; return the middle output of each convolution.

    Each result has the shape ``(panoramas, n / panoramas, O)``.
    """
    found = []
    for index, chain_layer in enumerate(layers[: indices[-1] + 1]):
        layer = chain_layer.layer
        if isinstance(layer, nn.Conv2d):
            views = F.conv2d(views, layer.weight, layer.bias, 1, 0, layer.dilation, layer.groups)
        else:
            views = layer(views)
        if index in indices:
            middle = views.shape[2] // 2  # sizes are odd: kernels are, and the last output is one pixel
            found.append(views[:, :, middle, middle].unflatten(0, (panoramas, -1)))
    return found


def _panoramas_at_a_time(panoramas: Tensor, layer: ChainLayer) -> int:
    views = panoramas.shape[3] // layer.stride
    return max(1, MAX_VALUES // (views * layer.field**2 * panoramas.shape[1] * ACTIVATION_ALLOWANCE))
