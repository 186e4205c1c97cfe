"""Row kernels of one layer, by ridge regression towards the flat kernel projected on the tangent plane.

Su and Grauman train each row's kernel by gradient steps on the squared difference between its output and the exact one.
That is a linear least-squares problem, which is solved here in closed form. The ridge term pulls weights that the
panoramas do not determine towards the flat kernel, interpolated on the tangent plane (the initial kernel of KTN, and
that of SphereNet).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from omniconv.convert.sphconv.checkpoint import CheckpointFolder
from omniconv.convert.sphconv.targets import TargetCache
from omniconv.surfaces import RowStencil, panorama
from omniconv.surfaces.equirectangular.tangent import KernelCentres, tap_directions
from omniconv.surfaces.neighbours.row_stencil import RowBand


class RowKernel(NamedTuple):
    """Kernel and bias of one row."""

    weight: Tensor  # (out, in / groups, taps)
    bias: Tensor  # (out,)


def fit_layer(
    targets: TargetCache, network: nn.Sequential, below: int, index: int, ridge: float, folder: CheckpointFolder,
    advance: Callable[[], None],
) -> None:  # fmt: skip
    """Fit the kernels of ``network[index]`` to its exact outputs, from those of the convolution ``network[below]``.

    Rows are fitted in bands of equal kernel shapes. ``folder`` keeps each band; those that it has are not fitted again.
    """
    layer: Any = network[index]
    for number, band in enumerate(layer.op.stencil.bands):
        name = f"kernels-{index}-{number}"
        weight = layer.weight[:, :, band.first_tap : band.first_tap + band.taps]
        bias = layer.bias[:, band.first_row : band.first_row + band.rows]
        kernels = folder.load(name, {"weight": tuple(weight.shape), "bias": tuple(bias.shape)})
        if kernels is None:
            kernels = _fit_band(targets, network, below, index, band, ridge, advance)
            folder.save(name, kernels)
        else:
            for _ in range(band.rows):
                advance()
        with torch.no_grad():
            weight.copy_(kernels["weight"])
            bias.copy_(kernels["bias"])


def _fit_band(
    targets: TargetCache, network: nn.Sequential, below: int, index: int, band: RowBand, ridge: float,
    advance: Callable[[], None],
) -> dict[str, Tensor]:  # fmt: skip
    """Return the kernels ``(out, in, taps)`` and biases ``(out, rows)`` of a band."""
    layer: Any = network[index]
    with torch.no_grad():
        x = nn.Sequential(*list(network)[below + 1 : index])(targets.outputs(below))
    outputs, weights, biases = targets.outputs(index), [], []
    for row in range(band.first_row, band.first_row + band.rows):
        source: Any = targets.layers[index].layer
        kernel = fit_row(source, layer.op.stencil, row, x, outputs[:, :, row], ridge)
        weights.append(kernel.weight)
        biases.append(kernel.bias)
        advance()
    return {"weight": torch.cat(weights, 2), "bias": torch.stack(biases, 1)}


def fit_row(layer: nn.Conv2d, stencil: RowStencil, row: int, x: Tensor, targets: Tensor, ridge: float) -> RowKernel:
    """Return the kernel of a row that fits exact inputs ``(N, C, H, W)`` to exact outputs of the row, ``(N, O, W)``.

    ``ridge`` is the weight of the projected kernel of the flat ``layer``, relative to the mean square of the inputs.
    """
    prior, groups = project_kernel(layer, stencil, row), layer.groups
    pixels = torch.from_numpy(stencil.pixels(row)).flatten(1)  # (W, taps)
    parts = zip(x.flatten(2).chunk(groups, 1), targets.chunk(groups, 1), prior.weight.chunk(groups),
                prior.bias.chunk(groups), strict=True)  # fmt: skip
    weights, biases = zip(
        *(_solve_ridge(values[:, :, pixels], y, RowKernel(*kernel), ridge) for values, y, *kernel in parts), strict=True
    )
    return RowKernel(torch.cat(weights), torch.cat(biases))


def project_kernel(layer: nn.Conv2d, stencil: RowStencil, row: int) -> RowKernel:
    """Return the flat kernel on the tangent plane of a row, interpolated to the taps of that row's kernel.

    Interpolation weights of pixels that the row's kernel does not reach are dropped.
    """
    size, width = layer.kernel_size, 2 * stencil.height
    centres = KernelCentres(stencil.height, (0.0, 0.0), 1)
    directions = tap_directions(centres, (size[0], size[1]), (layer.dilation[0], layer.dilation[1]))[row]
    pixels, shares = panorama.bilinear_pixels(directions, stencil.height, width)
    tap_pixels = stencil.pixels(row)[0].ravel()
    # a wide kernel may meet a pixel twice, around a pole; its first tap gets the weight
    tap_of_pixel = {int(pixel): tap for tap, pixel in reversed(list(enumerate(tap_pixels)))}
    matrix = np.zeros((len(pixels), len(tap_pixels)))
    for tap, corner in np.ndindex(*pixels.shape):
        if int(pixels[tap, corner]) in tap_of_pixel:
            matrix[tap, tap_of_pixel[int(pixels[tap, corner])]] += shares[tap, corner]
    weight = layer.weight.detach().flatten(2) @ torch.from_numpy(matrix).to(layer.weight)
    bias = layer.weight.new_zeros(layer.out_channels) if layer.bias is None else layer.bias.detach()
    return RowKernel(weight, bias)


def _solve_ridge(inputs: Tensor, targets: Tensor, prior: RowKernel, ridge: float) -> RowKernel:
    """Solve the ridge regression of ``(N, C, W, taps)`` to ``(N, O, W)`` by its normal equations."""
    # float64, since normal equations square the condition number; the bias is the weight of a column of ones
    rows = inputs.permute(0, 2, 1, 3).flatten(2).flatten(0, 1).double()  # (N · W, C · taps)
    rows = torch.cat([rows, rows.new_ones(len(rows), 1)], 1)
    prior_matrix = torch.cat([prior.weight.flatten(1), prior.bias[:, None]], 1).double().T
    residual = targets.transpose(1, 2).flatten(0, 1).double() - rows @ prior_matrix
    # of two equal forms the one with the smaller matrix: near the poles a kernel has far more weights than there are
    # pixels, and the cost is cubic: (XᵀX + λ)⁻¹Xᵀ = Xᵀ(XXᵀ + λ)⁻¹
    count, unknowns = rows.shape
    is_dual = count < unknowns
    gram = rows @ rows.T if is_dual else rows.T @ rows
    # relative to the mean diagonal of XᵀX, and positive for inputs that are all zero
    gram.diagonal().add_(ridge * (gram.diagonal().sum() / unknowns).clamp_min(1e-12))
    factor = torch.linalg.cholesky(gram)
    if is_dual:
        matrix = prior_matrix + rows.T @ torch.cholesky_solve(residual, factor)
    else:
        matrix = prior_matrix + torch.cholesky_solve(rows.T @ residual, factor)
    weight, bias = matrix.T.to(prior.weight.dtype).split([matrix.shape[0] - 1, 1], 1)
    return RowKernel(weight.unflatten(1, prior.weight.shape[1:]), bias[:, 0])
