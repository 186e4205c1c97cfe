"""Magnitude-preserving layers (EDM2; Karras et al., CVPR 2024): weights are normalized in place of signals.

Signals of unit variance keep it: weights have unit norm for each output channel, activations are divided by the root
mean square that they give to normal numbers, sums and concatenations are weighted. Networks of such layers need no
normalization layer, and so behave alike on every surface.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.checks import check_channels
from omniconv.nn.arguments import Padding, Size, check_on_surface, check_tensor
from omniconv.nn.conv.conv import Conv
from omniconv.nn.stencil.modules import concatenate
from omniconv.surfaces import Plane, Surface

EPS = 1e-4
"""Number added to the norm of weights and pixels."""
ACTIVATION_RMS = {"relu": 0.70711, "leaky_relu": 0.72111, "elu": 0.80308, "gelu": 0.65209, "silu": 0.59647, "none": 1.0}
"""Root mean square of each activation of a standard normal number (the paper rounds SiLU's to 0.596)."""


class MPConv(Conv):
    """Convolution with weights of unit norm for each output channel.

    The weight is divided by its norm at each use, so that its gradient is orthogonal to it. In training mode the
    parameter itself is also normalized, in place, so that the step size of the optimizer keeps its meaning. With row
    kernels the norm is that of an average row.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size, stride, padding, dilation, groups: as in ``Conv``.
        bias: as in ``Conv``, without normalization; the paper has none.
        surface: surface of the input.

    Shape:
        ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *grid of output_surface)``.

    Raises:
        InputError: as ``Conv``.

    Example:
        >>> conv = MPConv(64, 32)
        >>> conv.normalized_weight().flatten(1).norm(dim=1).round(decimals=2).unique().tolist()
        [1.0]
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size = 3,
        stride: Size = 1,
        padding: Padding = "same",
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = False,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, surface)
        # Row kernels have the taps of all rows on the last axis, and a bias for each row.
        stencil: Any = getattr(self.op, "stencil", None)
        self.rows = sum(band.rows for band in getattr(stencil, "bands", ())) or 1
        nn.init.normal_(self.weight)

    def forward(self, x: Tensor, gain: Tensor | float = 1.0) -> Tensor:
        """Convolve ``(batch, in_channels, *grid)`` and multiply by ``gain``, a number."""
        check_on_surface(x, self.surface, self.in_channels, self.weight.dtype)
        return self.op(x, self.normalized_weight(gain), self.bias)

    def normalized_weight(self, gain: Tensor | float = 1.0) -> Tensor:
        """Return the weight at unit norm for each output channel (and row of row kernels), times ``gain``."""
        if self.training:
            _normalize_in_place(self.weight)
        fan_in = self.weight[0].numel() / self.rows
        return _unit_variance(self.weight) * (gain / math.sqrt(fan_in))


class MPLinear(nn.Linear):
    """Linear layer with weights of unit norm for each output, as in ``MPConv``, and without bias.

    Args:
        in_features: length of the input.
        out_features: length of the output.

    Example:
        >>> MPLinear(8, 4)(torch.randn(2, 8)).shape
        torch.Size([2, 4])
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        in_features, out_features, _ = check_channels(in_features, out_features, 1)
        super().__init__(in_features, out_features, bias=False)
        nn.init.normal_(self.weight)

    def forward(self, x: Tensor, gain: Tensor | float = 1.0) -> Tensor:
        """Map ``(…, in_features)`` and multiply by ``gain``, a number."""
        if self.training:
            _normalize_in_place(self.weight)
        return F.linear(x, _unit_variance(self.weight) * (gain / math.sqrt(self.in_features)))


class MPActivation(nn.Module):
    """Activation divided by the root mean square that it gives to normal numbers.

    Args:
        activation: layer of the activation.
        rms: that root mean square.
    """

    def __init__(self, activation: nn.Module, rms: float) -> None:
        super().__init__()
        self.activation, self.rms = activation, rms

    def forward(self, x: Tensor) -> Tensor:
        """Activate a signal of any shape."""
        return self.activation(x) * (1 / self.rms)

    def extra_repr(self) -> str:  # noqa: D102
        return f"rms={self.rms}"


def mp_silu(x: Tensor) -> Tensor:
    """Return SiLU divided by 0.596, the root mean square that it gives to normal numbers.

    Example:
        >>> round(mp_silu(torch.randn(10**5, generator=torch.Generator().manual_seed(0))).square().mean().item(), 1)
        1.0
    """
    return F.silu(x) * (1 / ACTIVATION_RMS["silu"])


def mp_sum(a: Tensor, b: Tensor, t: float = 0.5) -> Tensor:
    """Return ``((1 − t) a + t b) / √((1 − t)² + t²)``, of unit variance if a and b are and are uncorrelated.

    Example:
        >>> mp_sum(torch.tensor(1.0), torch.tensor(0.0), t=0.0).item()
        1.0
    """
    return torch.lerp(a, b, t) * (1 / math.hypot(1 - t, t))


def mp_cat(a: Tensor, b: Tensor, t: float = 0.5) -> Tensor:
    """Concatenate the channels of two signals of which the second contributes a share ``t`` whatever their channels.

    The result has unit variance if both have.

    Example:
        >>> mp_cat(torch.ones(1, 2, 1), torch.ones(1, 6, 1)).square().mean().round(decimals=4).item()
        1.0
    """
    check_tensor(a, "a")
    check_tensor(b, "b")
    scale = math.sqrt((a.shape[1] + b.shape[1]) / ((1 - t) ** 2 + t**2))
    first, second = (scale * part / math.sqrt(x.shape[1]) for x, part in ((a, 1 - t), (b, t)))
    return concatenate([a * first, b * second])


def pixel_norm(x: Tensor, dim: int = 1, eps: float = EPS) -> Tensor:
    """Divide the vector of channels of each sample by its root mean square.

    Example:
        >>> pixel_norm(torch.tensor([[3.0, 4.0]])).square().mean().round(decimals=3).item()
        1.0
    """
    return _divide_by_rms(x, [dim], eps)


def _unit_variance(weight: Tensor) -> Tensor:
    """Return a weight whose elements for each output have a mean square of 1."""
    return _divide_by_rms(weight, list(range(1, weight.ndim)), EPS)


def _divide_by_rms(x: Tensor, dims: list[int], eps: float) -> Tensor:
    norm = torch.linalg.vector_norm(x, dim=dims, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))
    count = math.prod([x.shape[dim] for dim in dims])  # a list: Dynamo refuses a generator (torch 2.13)
    return x / (eps + norm * (1 / math.sqrt(count))).to(x.dtype)


def _normalize_in_place(weight: Tensor) -> None:
    """Give the elements for each output a mean square of 1.

    By ``data``, which does not mark the parameter as changed: two calls before a backward pass differ in rounding only.
    """
    with torch.no_grad():
        weight.data.copy_(_unit_variance(weight.data))
