"""Conv1d to ConvTranspose3d with torch's signatures and state_dict, and the padding options that torch lacks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from omniconv.checks import check_channels, check_flag
from omniconv.nn.arguments import Padding, Size, check_factory, check_signal, check_tensor, check_weight, last_axes
from omniconv.nn.grid.conv import GridConv, make_grid_conv, make_grid_conv_transpose
from omniconv.nn.jit_tracing import Traceable
from omniconv.surfaces.neighbours.border import Border, PaddingMode


class _ConvNdBase(Traceable):
    """Base of the six layers: the batch axis may be left out, as in torch."""

    rank: int
    in_channels: int
    op: GridConv
    weight: Tensor
    bias: Tensor | None

    def _convolve(self, x: Tensor, *output_size: Any) -> Tensor:
        check_tensor(x)
        weight = self.weight
        is_unbatched = x.ndim == self.rank + 1
        x = x.unsqueeze(0) if is_unbatched else x
        check_signal(x, self.in_channels, self.rank, dtype=weight.dtype)
        y = self.op(x, weight, self.bias, *output_size)
        return y.squeeze(0) if is_unbatched else y


class _ConvNd(_ConvNdBase):
    """Convolution with every padding and padding mode.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps, one number for all axes or one per axis.
        stride: step from one output to the next.
        padding: a number, one per axis, one ``(before, after)`` pair per axis, ``"valid"``, ``"same"`` (symmetric),
            ``"same_upper"`` (TensorFlow, Keras, JAX) or ``"same_lower"``, at any stride and dilation.
        dilation: step between taps.
        groups: groups of channels, as in ``torch.nn.Conv2d``.
        bias: add a learned number to each output channel.
        padding_mode: ``zeros``, ``reflect``, ``replicate`` or ``circular``; one for all, one per axis, or
            one ``(before, after)`` pair per axis. ``circular`` padding may be longer than the axis.
        device: device of the parameters.
        dtype: dtype of the parameters.
        padding_value: constant that ``zeros`` pads with.

    Shape:
        ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *smaller grid)``; the batch may be left out.

    Raises:
        InputError: an argument out of range, an input of the wrong shape or dtype.
    """

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
        super().__init__(  # type: ignore[call-arg]  # torch's class of this rank; its own padding is 0
            in_channels, out_channels, op.kernel_size, op.stride, 0, op.dilation, groups,
            check_flag("bias", bias), "zeros", device, dtype,
        )  # fmt: skip
        self.padding, self.padding_mode, self.op = op.window.padding, padding_mode, op

    def forward(self, x: Tensor) -> Tensor:
        """Convolve a signal."""
        return self._convolve(x)


class _ConvTransposeNd(_ConvNdBase):
    """Transposed convolution: the exact adjoint of the convolution with the same arguments, padding modes included.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps, one number for all axes or one per axis.
        stride: factor by which the output is finer.
        padding: padding of the convolution that this one transposes; the names of SAME give ``size · stride``.
        output_padding: selects one of the ``stride`` output sizes that convolve to the input's size.
        groups: groups of channels, as in ``torch.nn.Conv2d``.
        bias: add a learned number to each output channel.
        dilation: step between taps.
        padding_mode: as in the convolution: outputs in the padding are added to the samples that it pads with.
        device: device of the parameters.
        dtype: dtype of the parameters.

    Shape:
        ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *output_size)``; the batch may be left out.

    Raises:
        InputError: an argument out of range, an ``output_size`` that does not convolve to the input's size.
    """

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
        super().__init__(  # type: ignore[call-arg]  # torch's class of this rank; its own padding is 0
            in_channels, out_channels, op.kernel_size, op.stride, 0, op.output_padding, groups,
            check_flag("bias", bias), op.dilation, "zeros", device, dtype,
        )  # fmt: skip
        self.padding, self.padding_mode, self.op = op.window.padding, padding_mode, op

    def forward(self, x: Tensor, output_size: Size | None = None) -> Tensor:
        """Convolve a signal back to ``output_size`` (or to the last axes of a full shape, as in torch)."""
        return self._convolve(x, None if output_size is None else last_axes(output_size, self.rank))


class Conv1d(_ConvNd, nn.Conv1d):  # type: ignore[misc]  # padding takes more types
    """Convolution of signals (L): ``torch.nn.Conv1d`` with every padding.

    Example:
        >>> Conv1d(2, 4, 3, padding="same", padding_mode="circular")(torch.zeros(1, 2, 10)).shape
        torch.Size([1, 4, 10])
    """

    __doc__ += (_ConvNd.__doc__ or "").partition("\n")[2]
    rank = 1


class Conv2d(_ConvNd, nn.Conv2d):  # type: ignore[misc]  # padding takes more types
    """Convolution of images (H, W): ``torch.nn.Conv2d`` with every padding.

    Example:
        >>> Conv2d(3, 8, 3, stride=2, padding="same_upper")(torch.zeros(1, 3, 9, 12)).shape
        torch.Size([1, 8, 5, 6])
    """

    __doc__ += (_ConvNd.__doc__ or "").partition("\n")[2]
    rank = 2


class Conv3d(_ConvNd, nn.Conv3d):  # type: ignore[misc]  # padding takes more types
    """Convolution of volumes (D, H, W): ``torch.nn.Conv3d`` with every padding.

    Example:
        >>> Conv3d(1, 2, 3, padding=(1, (0, 2), 1))(torch.zeros(1, 1, 4, 5, 6)).shape
        torch.Size([1, 2, 4, 5, 6])
    """

    __doc__ += (_ConvNd.__doc__ or "").partition("\n")[2]
    rank = 3


class ConvTranspose1d(_ConvTransposeNd, nn.ConvTranspose1d):  # type: ignore[misc]  # padding takes more types
    """Transposed convolution of signals (L): ``torch.nn.ConvTranspose1d`` with every padding.

    Example:
        >>> ConvTranspose1d(2, 4, 3, stride=2, padding="same", padding_mode="circular")(torch.zeros(1, 2, 5)).shape
        torch.Size([1, 4, 10])
    """

    __doc__ += (_ConvTransposeNd.__doc__ or "").partition("\n")[2]
    rank = 1


class ConvTranspose2d(_ConvTransposeNd, nn.ConvTranspose2d):  # type: ignore[misc]  # padding takes more types
    """Transposed convolution of images (H, W): ``torch.nn.ConvTranspose2d`` with every padding.

    Example:
        >>> ConvTranspose2d(8, 3, 4, stride=2, padding=1)(torch.zeros(1, 8, 5, 6)).shape
        torch.Size([1, 3, 10, 12])
    """

    __doc__ += (_ConvTransposeNd.__doc__ or "").partition("\n")[2]
    rank = 2


class ConvTranspose3d(_ConvTransposeNd, nn.ConvTranspose3d):  # type: ignore[misc]  # padding takes more types
    """Transposed convolution of volumes (D, H, W): ``torch.nn.ConvTranspose3d`` with every padding.

    Example:
        >>> ConvTranspose3d(2, 1, 2, stride=2)(torch.zeros(1, 2, 2, 3, 4)).shape
        torch.Size([1, 1, 4, 6, 8])
    """

    __doc__ += (_ConvTransposeNd.__doc__ or "").partition("\n")[2]
    rank = 3
