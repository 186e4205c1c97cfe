"""The kernel of each row, fitted by itself: least squares in closed form, drawn towards the projected flat kernel.

Su and Grauman train each kernel by gradient steps on the squared difference between its output and the exact one. That
is a linear problem with one lowest point; here it is solved, and what panoramas do not say is left as the flat kernel
has it, interpolated on the touching plane (as KTN starts, and SphereNet stays).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from omniconv.surfaces import RowStencil, panorama
from omniconv.surfaces.equirectangular.tangent_geometry import Centres, tap_directions


class RowKernel(NamedTuple):
    """A kernel ``(out, in / groups, taps)`` and a bias ``(out,)``."""

    weight: Tensor
    bias: Tensor


def projected(layer: nn.Conv2d, stencil: RowStencil, row: int) -> RowKernel:
    """The flat kernel on the plane that touches the sphere at a row, as taps of that row's kernel."""
    size, width = layer.kernel_size, 2 * stencil.height
    centres = Centres(stencil.height, (0.0, 0.0), 1)
    directions = tap_directions(centres, (size[0], size[1]), (layer.dilation[0], layer.dilation[1]))[row]
    pixels, shares = panorama.bilinear_pixels(directions, stencil.height, width)
    places = stencil.pixels(row)[0].ravel()
    first = {int(place): tap for tap, place in reversed(list(enumerate(places)))}
    spread = np.zeros((len(pixels), len(places)))
    for tap, corner in np.ndindex(*pixels.shape):
        if int(pixels[tap, corner]) in first:
            spread[tap, first[int(pixels[tap, corner])]] += shares[tap, corner]
    weight = layer.weight.detach().flatten(2) @ torch.from_numpy(spread).to(layer.weight)
    return RowKernel(weight, _bias(layer))


def fitted(layer: nn.Conv2d, stencil: RowStencil, row: int, x: Tensor, wanted: Tensor, ridge: float) -> RowKernel:
    """The kernel of a row whose outputs are nearest to the exact ones.

    Args:
        layer: the flat convolution.
        stencil: shapes of the kernels.
        row: which output row.
        x: exact inputs ``(N, C, H, W)``.
        wanted: exact outputs of the row, ``(N, O, W)``.
        ridge: how strongly the projected flat kernel draws, as a share of the inputs' mean square.
    """
    start, groups = projected(layer, stencil, row), layer.groups
    pixels = torch.from_numpy(stencil.pixels(row)).flatten(1)  # (W, taps)
    parts = zip(x.flatten(2).chunk(groups, 1), wanted.chunk(groups, 1), start.weight.chunk(groups),
                start.bias.chunk(groups), strict=True)  # fmt: skip
    found = [
        _solved(values[:, :, pixels], goal, RowKernel(weight, bias), ridge) for values, goal, weight, bias in parts
    ]
    return RowKernel(torch.cat([kernel.weight for kernel in found]), torch.cat([kernel.bias for kernel in found]))


def _solved(seen: Tensor, wanted: Tensor, start: RowKernel, ridge: float) -> RowKernel:
    """Least squares in double precision: ``(N, C, W, taps)`` and ``(N, O, W)``, the bias with a column of ones."""
    rows = seen.permute(0, 2, 1, 3).flatten(2).flatten(0, 1).double()  # (N · W, C · taps)
    rows = torch.cat([rows, rows.new_ones(len(rows), 1)], 1)
    before = torch.cat([start.weight.flatten(1), start.bias[:, None]], 1).double().T
    rest = wanted.transpose(1, 2).flatten(0, 1).double() - rows @ before
    gram = rows.T @ rows
    gram.diagonal().add_(ridge * gram.diagonal().mean().clamp_min(1e-12))
    found = before + torch.cholesky_solve(rows.T @ rest, torch.linalg.cholesky(gram))
    weight, bias = found.T.to(start.weight.dtype).split([found.shape[0] - 1, 1], 1)
    return RowKernel(weight.unflatten(1, start.weight.shape[1:]), bias[:, 0])


def _bias(layer: nn.Conv2d) -> Tensor:
    return layer.weight.new_zeros(layer.out_channels) if layer.bias is None else layer.bias.detach()
