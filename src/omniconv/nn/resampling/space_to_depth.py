"""Space to depth and back: the samples in one sample of the coarser level become channels, without loss."""

from __future__ import annotations

from torch import Tensor, nn

from omniconv.errors import InputError
from omniconv.nn.arguments import check_on_surface, check_surface, is_grid
from omniconv.nn.conv.conv import Conv, ConvTranspose
from omniconv.nn.jit_tracing import Traceable
from omniconv.nn.symbolic import statically_true
from omniconv.surfaces import Plane, Surface


class _Rearrangement(Traceable, nn.Module):
    """Base of both layers; ``fine`` is the surface of the larger grid."""

    def __init__(self, surface: Surface, output_surface: Surface, fine: Surface) -> None:
        super().__init__()
        if not has_space_to_depth(fine):
            rule = "has no blocks of samples that form a sample of its coarser level"
            raise InputError("surface", str(fine), rule, "use Patchify and Unpatchify, which convolve there")
        self.surface, self.output_surface = surface, output_surface
        self.axes = 0 if fine.nested_children else fine.kernel_ndim
        self.factor = 2**self.axes if self.axes else fine.nested_children

    def extra_repr(self) -> str:
        return str(self.surface)


class SpaceToDepth(_Rearrangement):
    """Samples as channels: of each block of two along every axis of a grid, or of the children of each mesh cell.

    Channels of a grid are ordered as by ``torch.nn.PixelUnshuffle``; on a mesh those of the first child come first, so
    that a channels-last signal is not copied. Beyond a pole and over the edges of a cube or of HEALPix's faces a
    convolution meets blocks in another orientation, as it meets their other features.

    Args:
        surface: surface of the input: a grid of even size, a cube map, HEALPix or an icosahedron.

    Shape:
        ``(batch, channels, *grid)`` to ``(batch, channels · factor, *grid of output_surface)``.

    Attributes:
        factor: 2 to the number of axes of a kernel, 4 on a mesh.
        output_surface: the coarser surface.

    Raises:
        InputError: a surface without such blocks (an icosphere) or without a coarser level; an odd size.

    Example:
        >>> SpaceToDepth()(torch.arange(4.0).view(1, 1, 2, 2)).flatten().tolist()
        [0.0, 1.0, 2.0, 3.0]
    """

    def __init__(self, surface: Surface = Plane()) -> None:  # noqa: B008  # surfaces are immutable
        check_surface(surface)
        super().__init__(surface, surface.coarser(), fine=surface)

    def forward(self, x: Tensor) -> Tensor:
        """Rearrange ``(batch, channels, *grid)``."""
        check_on_surface(x, self.surface)
        if not self.axes:
            rows = x.transpose(1, 2).unflatten(1, (-1, self.factor))  # (B, N / 4, 4, C)
            return rows.flatten(2).transpose(1, 2)
        if any(statically_true(size % 2 == 1) for size in x.shape[-self.axes :]):
            rule = "must have an even size on every axis, to be arranged in blocks of two"
            raise InputError("input", tuple(x.shape), rule, "resize or crop the image by one")
        first = x.ndim - self.axes
        for axis in range(self.axes):
            x = x.unflatten(first + 2 * axis, (-1, 2))
        pairs = range(first, x.ndim, 2)
        order = 0, 1, *(axis + 1 for axis in pairs), *range(2, first), *pairs
        return x.permute(order).flatten(1, 1 + self.axes)


class DepthToSpace(_Rearrangement):
    """Inverse of ``SpaceToDepth``.

    Args:
        surface: surface of the input, the coarse one.

    Shape:
        ``(batch, channels · factor, *grid)`` to ``(batch, channels, *grid of output_surface)``.

    Attributes:
        factor: as of ``SpaceToDepth``.
        output_surface: the finer surface.

    Raises:
        InputError: as ``SpaceToDepth``; a number of channels that ``factor`` does not divide.

    Example:
        >>> DepthToSpace()(torch.arange(4.0).view(1, 4, 1, 1)).tolist()
        [[[[0.0, 1.0], [2.0, 3.0]]]]
    """

    def __init__(self, surface: Surface = Plane()) -> None:  # noqa: B008  # surfaces are immutable
        check_surface(surface)
        super().__init__(surface, surface.finer(), fine=surface.finer())

    def forward(self, x: Tensor) -> Tensor:
        """Rearrange ``(batch, channels · factor, *grid)``."""
        check_on_surface(x, self.surface)
        if x.shape[1] % self.factor:
            rule = f"must have a multiple of {self.factor} channels on axis 1"
            raise InputError("input", tuple(x.shape), rule, "check the layer before it")
        if not self.axes:
            rows = x.transpose(1, 2).unflatten(2, (self.factor, -1))  # (B, N, 4, C)
            return rows.flatten(1, 2).transpose(1, 2)
        x = x.unflatten(1, (-1, *[2] * self.axes))
        first = x.ndim - self.axes
        order = [0, 1, *range(2 + self.axes, first)]
        for axis in range(self.axes):
            order += [first + axis, 2 + axis]
        x = x.permute(order)
        for axis in range(first - self.axes, first):
            x = x.flatten(axis, axis + 1)
        return x


class Patchify(nn.Module):
    """First layer of a network that works on the coarser level: space to depth and a convolution.

    On an icosphere, whose vertices form no blocks, a convolution of stride 2.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps of the convolution on each axis.
        bias: as in ``Conv``.
        surface: surface of the input.

    Shape:
        ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *grid of output_surface)``.

    Attributes:
        conv: the convolution.
        output_surface: the coarser surface.

    Raises:
        InputError: as ``Conv`` and ``SpaceToDepth``.

    Example:
        >>> Patchify(3, 16)(torch.zeros(1, 3, 8, 6)).shape
        torch.Size([1, 16, 4, 3])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        bias: bool = True,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    ) -> None:
        super().__init__()
        check_surface(surface)
        self.rearrange: nn.Module = nn.Identity()
        if has_space_to_depth(surface):
            self.rearrange = before = SpaceToDepth(surface)
            channels, coarse = in_channels * before.factor, before.output_surface
            self.conv = Conv(channels, out_channels, kernel_size, bias=bias, surface=coarse)
        else:
            self.conv = Conv(in_channels, out_channels, kernel_size, 2, bias=bias, surface=surface)
        self.output_surface = self.conv.output_surface

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, in_channels, *grid)`` to the coarser level."""
        return self.conv(self.rearrange(x))


class Unpatchify(nn.Module):
    """Last layer of a network that works on the coarser level: a convolution and depth to space.

    On an icosphere, whose vertices form no blocks, a transposed convolution of stride 2.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps of the convolution on each axis.
        bias: as in ``Conv``.
        surface: surface of the input, the coarse one.

    Shape:
        ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *grid of output_surface)``.

    Attributes:
        conv: the convolution.
        output_surface: the finer surface.

    Raises:
        InputError: as ``Conv`` and ``DepthToSpace``.

    Example:
        >>> Unpatchify(16, 3)(torch.zeros(1, 16, 4, 3)).shape
        torch.Size([1, 3, 8, 6])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        bias: bool = True,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    ) -> None:
        super().__init__()
        check_surface(surface)
        self.rearrange: nn.Module = nn.Identity()
        self.conv: Conv | ConvTranspose
        if has_space_to_depth(surface.finer()):
            self.rearrange = after = DepthToSpace(surface)
            self.conv = Conv(in_channels, out_channels * after.factor, kernel_size, bias=bias, surface=surface)
        else:
            self.conv = ConvTranspose(in_channels, out_channels, kernel_size, 2, bias=bias, surface=surface)
        self.output_surface = surface.finer()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, in_channels, *grid)`` to the finer level."""
        return self.rearrange(self.conv(x))


def has_space_to_depth(surface: Surface) -> bool:
    """Return True if blocks of samples form the samples of the coarser level: grids, HEALPix, icosahedron.

    Example:
        >>> from omniconv.surfaces import Healpix, Icosphere
        >>> has_space_to_depth(Healpix(4)), has_space_to_depth(Icosphere(3))
        (True, False)
    """
    return bool(surface.nested_children) or is_grid(surface) or surface.latitude_axis is not None
