"""Convolutions with torch's names, signatures and state: what torch has, and the paddings that it lacks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from omniconv.checks import check_channels, check_flag
from omniconv.nn.arguments import Padding, Size, check_factory, check_signal, check_tensor, check_weight, last_axes
from omniconv.nn.grid.conv import (
    GridConv,
    GridConvTranspose,
    make_grid_conv,
    make_grid_conv_transpose,
)
from omniconv.nn.jit_tracing import Traceable
from omniconv.surfaces.neighbours.border import Border, PaddingMode


class _Flat(Traceable):
    """Shared by all six: arguments parsed once, a batch dimension that may be left out as in torch."""

    rank: int

    def _batched(self, x: Tensor, channels: int, dtype: torch.dtype) -> tuple[Tensor, bool]:
        check_tensor(x)
        alone = x.ndim == self.rank + 1
        x = x.unsqueeze(0) if alone else x
        check_signal(x, channels, self.rank, dtype=dtype)
        return x, alone


class _FlatConvolution(_Flat):
    """A convolution that is torch's own with more of padding and padding modes.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps, one number for all axes or one each.
        stride: step from one output to the next.
        padding: a number, one an axis, one ``(before, after)`` pair an axis, ``"valid"``, ``"same"`` (symmetric),
            ``"same_upper"`` (TensorFlow, Keras, JAX) or ``"same_lower"``, at any stride and dilation.
        dilation: step between taps.
        groups: groups of channels that do not see one another.
        bias: add a learned number to each output channel.
        padding_mode: ``zeros``, ``reflect``, ``replicate`` or ``circular``; one for all, one an axis, or one
            ``(before, after)`` pair an axis. ``circular`` may go round more than once.
        device: of the parameters.
        dtype: of the parameters.
        padding_value: what ``zeros`` pads with.

    Shape:
        ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *smaller grid)``; the batch may be left out.

    Raises:
        InputError: an argument out of range, an input of the wrong shape or kind.
    """

    op: GridConv

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        padding_value: float = 0.0,
    ) -> None:
        in_channels, out_channels, groups = check_channels(in_channels, out_channels, groups)
        border = Border.of(padding_mode, self.rank, padding_value)
        op = make_grid_conv(border, kernel_size, stride, padding, dilation, groups)
        check_weight((out_channels, in_channels // groups, *op.kernel_size))
        check_factory(device, dtype)
        super().__init__(  # type: ignore[call-arg]  # torch's class of this rank, with padding left to us
            in_channels, out_channels, op.kernel_size, op.stride, 0, op.dilation, groups,
            check_flag("bias", bias), "zeros", device, dtype,
        )  # fmt: skip
        self.padding, self.padding_mode, self.op = op.padding.described, padding_mode, op

    def forward(self, x: Tensor) -> Tensor:
        """Convolve a signal."""
        weight = self.weight  # type: ignore[attr-defined]
        x, alone = self._batched(x, self.in_channels, weight.dtype)  # type: ignore[attr-defined]
        y = self.op(x, weight, self.bias)  # type: ignore[attr-defined]
        return y.squeeze(0) if alone else y


class _FlatTransposed(_Flat):
    """A transposed convolution: the exact adjoint of the convolution of the same arguments, padding modes included.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps, one number for all axes or one each.
        stride: how many times finer the output is.
        padding: as in the convolution; the names of SAME give ``size · stride``.
        output_padding: which of the ``stride`` sizes that convolve to the input's size is meant.
        groups: groups of channels that do not see one another.
        bias: add a learned number to each output channel.
        dilation: step between taps.
        padding_mode: as in the convolution: what that one reads past an edge, this one adds to where it came from.
        device: of the parameters.
        dtype: of the parameters.

    Shape:
        ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *output_size)``; the batch may be left out.

    Raises:
        InputError: an argument out of range, an ``output_size`` that does not convolve to the input's size.
    """

    op: GridConvTranspose

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: PaddingMode = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        in_channels, out_channels, groups = check_channels(in_channels, out_channels, groups)
        border = Border.of(padding_mode, self.rank)
        op = make_grid_conv_transpose(border, kernel_size, stride, padding, dilation, groups, output_padding)
        check_weight((in_channels, out_channels // groups, *op.kernel_size))
        check_factory(device, dtype)
        super().__init__(  # type: ignore[call-arg]  # torch's class of this rank, with padding left to us
            in_channels, out_channels, op.kernel_size, op.stride, 0, op.output_padding, groups,
            check_flag("bias", bias), op.dilation, "zeros", device, dtype,
        )  # fmt: skip
        self.padding, self.padding_mode, self.op = op.padding.described, padding_mode, op

    def forward(self, x: Tensor, output_size: Size | None = None) -> Tensor:
        """Convolve a signal back to ``output_size`` (the last numbers are taken, as in torch)."""
        weight = self.weight  # type: ignore[attr-defined]
        x, alone = self._batched(x, self.in_channels, weight.dtype)  # type: ignore[attr-defined]
        size = None if output_size is None else last_axes(output_size, self.rank)
        y = self.op(x, weight, self.bias, size)  # type: ignore[attr-defined]
        return y.squeeze(0) if alone else y


class Conv1d(_FlatConvolution, nn.Conv1d):  # type: ignore[misc]  # padding says more than in torch
    """Convolution of signals (L): ``torch.nn.Conv1d`` with every padding.

    Example:
        >>> Conv1d(2, 4, 3, padding="same", padding_mode="circular")(torch.zeros(1, 2, 10)).shape
        torch.Size([1, 4, 10])
    """

    __doc__ += (_FlatConvolution.__doc__ or "").partition("\n")[2]
    rank = 1


class Conv2d(_FlatConvolution, nn.Conv2d):  # type: ignore[misc]  # padding says more than in torch
    """Convolution of pictures (H, W): ``torch.nn.Conv2d`` with every padding.

    Example:
        >>> Conv2d(3, 8, 3, stride=2, padding="same_upper")(torch.zeros(1, 3, 9, 12)).shape
        torch.Size([1, 8, 5, 6])
    """

    __doc__ += (_FlatConvolution.__doc__ or "").partition("\n")[2]
    rank = 2


class Conv3d(_FlatConvolution, nn.Conv3d):  # type: ignore[misc]  # padding says more than in torch
    """Convolution of volumes (D, H, W): ``torch.nn.Conv3d`` with every padding.

    Example:
        >>> Conv3d(1, 2, 3, padding=(1, (0, 2), 1))(torch.zeros(1, 1, 4, 5, 6)).shape
        torch.Size([1, 2, 4, 5, 6])
    """

    __doc__ += (_FlatConvolution.__doc__ or "").partition("\n")[2]
    rank = 3


class ConvTranspose1d(_FlatTransposed, nn.ConvTranspose1d):  # type: ignore[misc]  # padding says more than in torch
    """Transposed convolution of signals (L): ``torch.nn.ConvTranspose1d`` with every padding.

    Example:
        >>> ConvTranspose1d(2, 4, 3, stride=2, padding="same", padding_mode="circular")(torch.zeros(1, 2, 5)).shape
        torch.Size([1, 4, 10])
    """

    __doc__ += (_FlatTransposed.__doc__ or "").partition("\n")[2]
    rank = 1


class ConvTranspose2d(_FlatTransposed, nn.ConvTranspose2d):  # type: ignore[misc]  # padding says more than in torch
    """Transposed convolution of pictures (H, W): ``torch.nn.ConvTranspose2d`` with every padding.

    Example:
        >>> ConvTranspose2d(8, 3, 4, stride=2, padding=1)(torch.zeros(1, 8, 5, 6)).shape
        torch.Size([1, 3, 10, 12])
    """

    __doc__ += (_FlatTransposed.__doc__ or "").partition("\n")[2]
    rank = 2


class ConvTranspose3d(_FlatTransposed, nn.ConvTranspose3d):  # type: ignore[misc]  # padding says more than in torch
    """Transposed convolution of volumes (D, H, W): ``torch.nn.ConvTranspose3d`` with every padding.

    Example:
        >>> ConvTranspose3d(2, 1, 2, stride=2)(torch.zeros(1, 2, 2, 3, 4)).shape
        torch.Size([1, 1, 4, 6, 8])
    """

    __doc__ += (_FlatTransposed.__doc__ or "").partition("\n")[2]
    rank = 3
