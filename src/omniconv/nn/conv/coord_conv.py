"""Coordinates of samples as channels, and the convolution over them (CoordConv)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from omniconv.checks import check_channels, check_flag
from omniconv.nn.arguments import Padding, Size, check_on_surface, check_surface
from omniconv.nn.conv.conv import Conv
from omniconv.nn.jit_tracing import Traceable
from omniconv.nn.surface_tables.table_module import TableModule
from omniconv.surfaces import Plane, Surface


class PlaneCoordinates(nn.Module):
    """x (columns), y (rows), z (slices) of a grid, each from −1 to 1, and optionally the distance from the centre."""

    def __init__(self, ndim: int, radius: bool) -> None:
        super().__init__()
        self.ndim, self.radius = ndim, radius
        self.channels = ndim + radius

    def forward(self, x: Tensor) -> Tensor:
        """Return coordinates ``(1, channels, *grid)`` for a signal ``(batch, …, *grid)``."""
        axes = [_linspace(size, x) for size in x.shape[2:]]
        channels = list(reversed(torch.meshgrid(*axes, indexing="ij")))
        if self.radius:
            channels.append(torch.stack(channels).square().sum(0).sqrt())
        return torch.stack(channels)[None].to(x.dtype)


class LatitudeCoordinates(nn.Module):
    """Latitude from −1 (south) to 1, sine and cosine of longitude, optionally x, y, z, of a panorama of any size."""

    def __init__(self, radius: bool) -> None:
        super().__init__()
        self.radius, self.channels = radius, 6 if radius else 3

    def forward(self, x: Tensor) -> Tensor:
        """Return coordinates ``(1, channels, H, W)`` for a signal ``(batch, …, H, W)``."""
        height, width = x.shape[2:]
        latitude = (1 - (_arange(height, x) + 0.5) * 2 / height)[:, None]
        longitude = (((_arange(width, x) + 0.5) * 2 / width - 1) * torch.pi)[None, :]
        sine, cosine = longitude.sin(), longitude.cos()
        channels = [latitude, sine, cosine]
        if self.radius:
            level = (latitude * torch.pi / 2).cos()
            channels += [level * cosine, level * sine, (latitude * torch.pi / 2).sin()]
        return torch.stack([channel.expand(height, width) for channel in channels])[None].to(x.dtype)


class FixedCoordinates(TableModule):
    """Coordinates as of ``LatitudeCoordinates`` for a spherical surface of fixed size."""

    def __init__(self, surface: Surface, radius: bool) -> None:
        super().__init__()
        self.channels = 6 if radius else 3
        self.set_table("coordinates", _coordinates, surface, radius)

    def forward(self, x: Tensor) -> Tensor:
        """Return coordinates ``(1, channels, *grid)``."""
        return self.table("coordinates", x).tensors[0].to(x.dtype)


def _coordinates(surface: Surface, radius: bool) -> tuple[list[int], list[Tensor]]:
    xyz = torch.from_numpy(surface.directions()).movedim(-1, 0)  # (3, *grid)
    level = xyz[:2].square().sum(0).sqrt()  # cosine of the latitude
    # A pole has no longitude: sine and cosine are 0 there. 1e-12 is far above float64 rounding of a unit vector,
    # far below the distance of any other sample from the axis.
    longitude = torch.where(level > 1e-12, xyz[:2] / level.clamp_min(1e-12), torch.zeros_like(xyz[:2]))
    latitude = torch.atan2(xyz[2], level)[None] * 2 / torch.pi
    return [], [torch.cat([latitude, longitude.flip(0), *([xyz] if radius else [])])[None]]


class CoordConv(Traceable, nn.Module):
    """Convolution over a signal and the coordinates of its samples (Liu et al., CoordConv, NeurIPS 2018).

    The weight has the input channels of the signal, then those of the coordinates. By linearity the coordinates are
    convolved once for all elements of the batch, and the result is added.

    Args:
        in_channels: channels of the signal.
        out_channels: channels of the output.
        kernel_size, stride, padding, dilation, bias: as in ``Conv``.
        radius: add the distance from the centre as a coordinate; on a sphere add x, y, z.
        surface: surface of the input. On a plane coordinates are x (columns), y (rows), from −1 to 1; on a sphere
            latitude from −1 to 1, sine and cosine of longitude.

    Attributes:
        conv: the convolution, with a weight ``(out, in + coordinates, …)``.

    Raises:
        InputError: as ``Conv``.

    Example:
        >>> layer = CoordConv(3, 8, kernel_size=1)
        >>> layer(torch.zeros(2, 3, 4, 6)).shape, tuple(layer.conv.weight.shape)
        (torch.Size([2, 8, 4, 6]), (8, 5, 1, 1))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size = 3,
        stride: Size = 1,
        padding: Padding = "same",
        dilation: Size = 1,
        bias: bool = True,
        radius: bool = False,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    ) -> None:
        super().__init__()
        in_channels, out_channels, _ = check_channels(in_channels, out_channels, 1)
        check_surface(surface)
        self.in_channels, self.surface = in_channels, surface
        self.coordinates = make_coordinates(surface, check_flag("radius", radius))
        channels = in_channels + self.coordinates.channels
        self.conv = Conv(channels, out_channels, kernel_size, stride, padding, dilation, 1, bias, surface=surface)
        self.output_surface = self.conv.output_surface

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *grid of output_surface)``."""
        weight = self.conv.weight
        check_on_surface(x, self.surface, self.in_channels, weight.dtype)
        signal_weight, coordinate_weight = weight.tensor_split([self.in_channels], 1)
        from_coordinates = self.conv.op(self.coordinates(x), coordinate_weight, self.conv.bias)
        return self.conv.op(x, signal_weight, None) + from_coordinates


def make_coordinates(surface: Surface, radius: bool) -> PlaneCoordinates | LatitudeCoordinates | FixedCoordinates:
    """Return the module that computes the coordinates of a surface's samples."""
    if not surface.spherical:
        return PlaneCoordinates(surface.ndim, radius)
    return LatitudeCoordinates(radius) if surface.latitude_axis is not None else FixedCoordinates(surface, radius)


def _linspace(size: int, like: Tensor) -> Tensor:
    """Return ``size`` numbers from −1 to 1, or a single 0."""
    if size == 1:
        return _arange(1, like)
    return _arange(size, like) * (2 / (size - 1)) - 1


def _arange(size: int, like: Tensor) -> Tensor:
    """Return 0, 1, … in float32 at least: bfloat16 has not all integers above 256; callers round at the end."""
    return torch.arange(size, device=like.device, dtype=torch.promote_types(like.dtype, torch.float32))
