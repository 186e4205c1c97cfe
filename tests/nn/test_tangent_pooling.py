from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from omniconv.nn import AvgPool, Downsample, GlobalAvgPool, LpPool, MaxPool, MaxUnpool, Upsample
from omniconv.surfaces import Equirectangular, panorama
from omniconv.surfaces.equirectangular.tangent import KernelCentres, tap_directions


def tangent(height):
    return Equirectangular(height=height, kernels="tangent")


SURFACE = tangent(8)


def signal(channels=4, batch=2, surface=SURFACE):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, channels, *surface.shape, generator=generator, dtype=torch.float64)


def smooth(height, channels=3):
    """Waves of a few turns, ``(1, channels, H, 2 · H)``."""
    directions = panorama.pixel_directions(height, 2 * height)
    rates = np.random.default_rng(0).uniform(-2, 2, (3, channels))
    return torch.from_numpy(np.sin(directions @ rates + 0.5)).movedim(-1, 0)[None]


def in_windows(surface, kernel_size, stride, x):
    """Return the samples of each window, ``(taps, B, C, H', W')``."""
    stencil = surface.window_neighbours(kernel_size, stride)
    operators = [torch.from_numpy(operator.toarray()) for operator in stencil.operators]
    return torch.stack([x.flatten(2) @ operator.T for operator in operators]).unflatten(3, stencil.output_shape)


@pytest.mark.parametrize(("kernel_size", "stride"), [(2, 2), (3, 1), (3, 2), ((2, 3), 2), (4, 2)])
@pytest.mark.parametrize("pool", [MaxPool, LpPool])
def test_pooling_compares_interpolated_samples(pool, kernel_size, stride):
    seen = in_windows(SURFACE, kernel_size, stride, signal())
    wanted = seen.amax(0) if pool is MaxPool else seen.square().sum(0).sqrt()
    torch.testing.assert_close(pool(kernel_size, stride, surface=SURFACE).double()(signal()), wanted)


@pytest.mark.parametrize(("kernel_size", "stride"), [(2, 2), (3, 2), (3, 1)])
def test_switches_name_the_pixel_nearest_to_the_largest_sample(kernel_size, stride):
    values, switches = MaxPool(kernel_size, stride, return_switches=True, surface=SURFACE).double()(signal())
    start = (0.5, 0.5) if kernel_size == 2 else (0.0, 0.0)
    first = tap_directions(KernelCentres(8, start, stride), (kernel_size, kernel_size), (1, 1))  # (H', taps, 3)
    rows, columns = panorama.pixel_coordinates(first, 8, 16)
    row = torch.from_numpy(np.clip(np.round(rows), 0, 7)).long()
    column = torch.from_numpy(columns)[..., None] + stride * torch.arange(16 // stride)
    nearest = 16 * row[..., None] + column.round().long() % 16  # (H', taps, W')
    winner = in_windows(SURFACE, kernel_size, stride, signal()).argmax(0)  # (B, C, H', W')
    wanted = nearest.transpose(1, 2).expand(2, 4, -1, -1, -1).gather(4, winner[..., None])[..., 0]
    assert switches.dtype == torch.int64
    torch.testing.assert_close(switches, wanted)
    assert values.shape == switches.shape == (2, 4, 8 // stride, 16 // stride)


def test_unpooling_puts_the_mean_of_maxima_at_their_switches():
    values, switches = MaxPool(return_switches=True, surface=SURFACE).double()(signal())
    back = MaxUnpool(surface=SURFACE.coarser())(values, switches)
    assert back.shape == (2, 4, 8, 16)
    for picture, channel in ((0, 0), (1, 3)):
        owner, value = switches[picture, channel].flatten(), values[picture, channel].flatten()
        for pixel, found in enumerate(back[picture, channel].flatten()):
            wanted = value[owner == pixel].mean() if (owner == pixel).any() else found.new_zeros(())
            torch.testing.assert_close(found, wanted)


def test_near_the_equator_pooling_is_the_flat_one():
    x = smooth(64)
    for kernel_size, padding in ((2, 0), (3, 1)):
        found = MaxPool(kernel_size, 2, surface=tangent(64)).double()(x)
        wanted = nn.MaxPool2d(kernel_size, 2, padding)(x)
        assert (found - wanted)[:, :, 15:17, 1:].abs().max() < 2e-3


def test_mean_is_kept_on_the_way_down():
    for layer in (AvgPool, Downsample):
        means = GlobalAvgPool(SURFACE.coarser()).double()(layer(surface=SURFACE).double()(signal()))
        torch.testing.assert_close(means, GlobalAvgPool(SURFACE).double()(signal()))


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_growing_is_that_of_the_grid(mode):
    found = Upsample(mode=mode, surface=SURFACE).double()(signal())
    torch.testing.assert_close(found, Upsample(mode=mode, surface=Equirectangular())(signal()))


def test_nearest_downsampling_takes_even_rows_and_columns():
    found = Downsample(mode="nearest", surface=SURFACE).double()(signal())
    torch.testing.assert_close(found, signal()[:, :, ::2, ::2], rtol=0, atol=0)
