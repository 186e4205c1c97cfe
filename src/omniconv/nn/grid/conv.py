"""Convolution and its adjoint on regular grids: ``pad`` and ``border_strips`` handle what the backend cannot pad."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.arithmetic import check_output_padding, size_after
from omniconv.errors import InputError
from omniconv.nn.arguments import GridWindow, Padding, Size, per_axis
from omniconv.nn.grid.axis import Axis, convolve_and_crop, crop_adjoint, fast_path_is_cheaper
from omniconv.nn.grid.border_strips import border_edges, gather_strips, scatter_add_strips, use_border_strips
from omniconv.nn.grid.padding import pad, pad_adjoint
from omniconv.nn.symbolic import is_symbolic, statically_true, to_int_if_static
from omniconv.surfaces.neighbours.border import Border

SAME_NAMES = ("same", "same_upper", "same_lower")
BLOCK_CHANNELS = 8
"""Channels that oneDNN processes together; inputs of fewer have kernels of their own."""
UNPADDED = (0, (0,), (0, 0), (0, 0, 0))
CONVOLVE: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
CONVOLVE_TRANSPOSED: dict[int, Callable[..., Tensor]] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}


class GridConv(nn.Module):
    """Convolution without parameters of its own: ``forward(x, weight, bias)``.

    Zeros in equal numbers before and after an axis are left to the backend. Any other border is padded first or, on
    large CPU signals, added as strips (``border_strips``).
    """

    def __init__(self, border: Border, window: GridWindow, groups: int) -> None:
        super().__init__()
        self.border, self.window, self.groups = border, window, groups
        self.kernel_size, self.stride, self.dilation = window.kernel_size, window.stride, window.dilation
        symmetric = [axis.symmetric_padding for axis in window.axes]
        is_zeros = [border.value == 0 and modes == ("zeros", "zeros") for modes in border.modes]
        self.backend_padding = tuple((amount or 0) * zeros for amount, zeros in zip(symmetric, is_zeros, strict=True))
        self.pads = self.backend_padding != tuple(symmetric)
        self.lacks_axes = border.kernel_ndim < border.ndim
        self.convolve = CONVOLVE[border.ndim]
        self.skips_samples = set(self.kernel_size) == {1} and max(self.stride) > 1

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve ``(batch, in, *grid)`` to ``(batch, out, *output grid)``."""
        sizes, weight = x.shape[2:], self.expand_weight(weight)
        if self.pads and use_border_strips(x) and fast_path_is_cheaper(axes := self.axes(sizes)):
            return self._with_border_strips(x, weight, bias, axes)
        if self.pads:
            x = pad(x, self.own_amounts(sizes), self.border)
        self._check_kernel_fits(sizes, x.shape[2:])
        return self._convolve(x, weight, bias, self.backend_padding)

    def _with_border_strips(self, x: Tensor, weight: Tensor, bias: Tensor | None, axes: Sequence[Axis]) -> Tensor:
        """Convolve with the backend's zeros, then add the convolved border strips."""
        edges = border_edges(self.border, axes)
        x, *strips = gather_strips(x, [edge.strip for edge in edges])
        zeros = [axis.backend_padding for axis in axes]
        y = convolve_and_crop(lambda chunk: self._convolve(chunk, weight, bias, zeros), x, axes)
        pieces = [
            self._convolve(edge.pad_strip(strip), edge.taps.gather(weight), None)
            for edge, strip in zip(edges, strips, strict=True)
        ]
        return scatter_add_strips(y, [edge.outputs for edge in edges], pieces)

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None, zeros: Size = 0) -> Tensor:
        if self.skips_samples and weight.shape[1] < BLOCK_CHANNELS and zeros in UNPADDED and _is_channels_last(x):
            # The samples that a kernel of one tap reads. oneDNN's backward pass writes beyond its memory for such an
            # input (torch 2.13: Conv2d(3, 16, 1, stride=2) crashes, with 8 channels it does not).
            steps = [slice(None, None, stride) for stride in self.stride]
            return self.convolve(x[:, :, *steps], weight, bias, 1, 0, 1, self.groups)
        return self.convolve(x, weight, bias, self.stride, zeros, self.dilation, self.groups)

    def expand_weight(self, weight: Tensor) -> Tensor:
        """Insert the axes that the kernel does not extend along (the faces of a cube), with one tap each."""
        return weight.view(*weight.shape[:2], *self.kernel_size) if self.lacks_axes else weight

    def axes(self, sizes: Sequence[int]) -> list[Axis]:
        """Return the axes of a grid of these sizes."""
        axes = []
        for size, window in zip(sizes, self.window.axes, strict=True):
            before, after = window.amounts(size)
            outputs = (size + before + after - window.span) // window.stride + 1
            axes.append(Axis(size, outputs, window.kernel_size, window.stride, window.dilation, before))
        return axes

    def own_amounts(self, sizes: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """Return the padding that is not left to the backend."""
        amounts = self.window.amounts(sizes)
        return tuple((0, 0) if left else sides for left, sides in zip(self.backend_padding, amounts, strict=True))

    def _check_kernel_fits(self, sizes: Sequence[int], padded: Sequence[int]) -> None:
        for axis, (size, zeros, window) in enumerate(zip(padded, self.backend_padding, self.window.axes, strict=True)):
            if statically_true(size + 2 * zeros < window.span):
                rule = f"is smaller on grid axis {axis} than the kernel, which spans {window.span}"
                raise InputError("input", tuple(sizes), rule, "pad more or use a smaller kernel or dilation")


class GridConvTranspose(GridConv):
    """Exact adjoint of ``GridConv`` with the same arguments: ``forward(x, weight, bias, output_size)``."""

    def __init__(self, border: Border, window: GridWindow, groups: int, output_padding: tuple[int, ...]) -> None:
        super().__init__(border, window, groups)
        self.output_padding = output_padding
        self.convolve = CONVOLVE_TRANSPOSED[border.ndim]

    def forward(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, output_size: tuple[int, ...] | None = None
    ) -> Tensor:
        """Convolve ``(batch, in, *grid)`` back to ``(batch, out, *output_size)``."""
        weight = self.expand_weight(weight)
        sizes = self.default_size(x.shape[2:]) if output_size is None else output_size
        unread = self._unread(x.shape[2:], sizes)
        if self.pads and use_border_strips(x) and fast_path_is_cheaper(axes := self.axes(sizes)):
            return self._with_border_strips(x, weight, bias, axes)
        if is_symbolic(*unread):  # as output_padding torch compares them with the stride, which adds guards (2.13)
            y = self._convolve_transposed(x, weight, None, 0)
            y = F.pad(y, [side for rest in reversed(unread) for side in (0, rest)])
            y = pad_adjoint(y, self.window.amounts(sizes), self.border)
        elif self.pads:
            y = self._convolve_transposed(x, weight, None, unread, self.backend_padding)
            y = pad_adjoint(y, self.own_amounts(sizes), self.border)
        else:
            return self._convolve_transposed(x, weight, bias, unread, self.backend_padding)
        # The bias is added last: the adjoint of the padding would add the biases of padded samples to their sources.
        return y if bias is None else y + bias.to(y.dtype).view(-1, *[1] * self.border.ndim)

    def _with_border_strips(self, x: Tensor, weight: Tensor, bias: Tensor | None, axes: Sequence[Axis]) -> Tensor:
        """Let the backend drop the outputs beyond the edges, then add these to their source samples."""
        edges = border_edges(replace(self.border, value=0.0), axes)
        x, *pieces = gather_strips(x, [edge.outputs for edge in edges])
        zeros, unread = [axis.backend_padding for axis in axes], [axis.unread for axis in axes]
        y = self._convolve_transposed(crop_adjoint(x, axes), weight, bias, unread, zeros)
        strips = [
            edge.pad_strip_adjoint(self._convolve_transposed(piece, edge.taps.gather(weight), None, edge.unread))
            for edge, piece in zip(edges, pieces, strict=True)
        ]
        return scatter_add_strips(y, [edge.strip for edge in edges], strips)

    def _convolve_transposed(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, unread: Size, zeros: Size = 0
    ) -> Tensor:
        return self.convolve(x, weight, bias, self.stride, zeros, unread, self.groups, self.dilation)

    def default_size(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Return ``size · stride`` for the names of SAME padding, PyTorch's formula for numbers."""
        axes = zip(sizes, self.window.axes, self.output_padding, strict=True)
        return tuple(
            size_after(size, kernel, stride, padding, dilation, transposed=True, output_padding=extra)
            for size, (padding, kernel, stride, dilation), extra in axes
        )

    def _unread(self, sizes: Sequence[int], output_sizes: Sequence[int]) -> tuple[int, ...]:
        """Return how many samples at the end of each padded output axis no window of the convolution reaches.

        Raises:
            InputError: a convolution of ``output_sizes`` does not give ``sizes``.
        """
        unread = []
        for size, target, window in zip(sizes, output_sizes, self.window.axes, strict=True):
            padding, _, stride, dilation = window
            rest = to_int_if_static(target + sum(window.amounts(target)) - (size - 1) * stride - window.span)
            if not is_symbolic(rest) and not 0 <= rest < max(stride, dilation):
                smallest = (size - 1) * stride + 1 if padding in SAME_NAMES else target - rest
                rule = f"cannot come from {tuple(sizes)} at stride {stride}"
                cure = f"ask for {smallest} to {smallest + stride - 1} on that axis"
                raise InputError("output_size", tuple(output_sizes), rule, cure)
            unread.append(rest)
        return tuple(unread)


def _is_channels_last(x: Tensor) -> bool:
    """Return True for an image or volume in ``channels_last`` memory; False for sizes that a compiler does not know."""
    # By the stride: torch calls a tensor of one channel contiguous in both memory formats.
    return x.ndim in (4, 5) and not is_symbolic(*x.shape) and x.stride(1) == 1


def make_grid_conv(
    border: Border, kernel_size: Size, stride: Size, padding: Padding, dilation: Size, groups: int
) -> GridConv:
    """Return the convolution on a grid for arguments as the user gave them."""
    return GridConv(border, GridWindow.parse(border, kernel_size, stride, padding, dilation), groups)


def make_grid_conv_transpose(
    border: Border, kernel_size: Size, stride: Size, padding: Padding, dilation: Size, groups: int, output_padding: Size
) -> GridConvTranspose:
    """Return the transposed convolution on a grid for arguments as the user gave them."""
    window = GridWindow.parse(border, kernel_size, stride, padding, dilation)
    extra = per_axis("output_padding", output_padding, border.kernel_ndim, least=0)
    extra = (0,) * (border.ndim - border.kernel_ndim) + extra
    rules = [axis.padding for axis in window.axes]
    cure = "pass an output_size to the layer's forward"
    check_output_padding(extra, rules, window.stride, window.dilation, cure)
    return GridConvTranspose(border, window, groups, extra)
