from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from omniconv.errors import InputError
from omniconv.nn import ContextualAttention
from omniconv.surfaces import Cubemap, Equirectangular, Healpix, Icosahedron, Icosphere, Plane

SHAPES = {
    Plane(1): (12,),
    Plane(): (8, 12),
    Plane(border="reflect"): (8, 12),
    Plane(3): (4, 4, 6),
    Equirectangular(): (8, 16),
    Equirectangular("zeros"): (8, 16),
    Equirectangular(height=8, kernels="rows"): (8, 16),
    Equirectangular(height=8, kernels="tangent"): (8, 16),
    Icosphere(1): (42,),
    Icosahedron(1): (80,),
    Healpix(2): (48,),
    Cubemap(4): (6, 4, 4),
}
every_surface = pytest.mark.parametrize("surface", SHAPES, ids=str)


def case(grid, channels=3, batch=2, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, channels, *grid, generator=generator, dtype=dtype)
    mask = torch.zeros(batch, 1, *grid, dtype=dtype)
    mask.flatten(2)[..., : mask[0].numel() // 4] = 1
    return x, mask


def published(x, mask, scale=10.0):
    """The algorithm of the published code on one image ``(C, H, W)`` of even size, one loop a step."""
    channels = len(x)
    small, small_mask = x[:, ::2, ::2], mask[::2, ::2]
    rows, columns = small_mask.shape
    count = rows * columns
    padded, padded_mask = np.pad(small, ((0, 0), (1, 1), (1, 1))), np.pad(small_mask, 1)
    patches = np.zeros((count, channels * 9))
    usable = np.zeros(count)
    for i in range(rows):
        for j in range(columns):
            patches[i * columns + j] = padded[:, i : i + 3, j : j + 3].ravel()
            usable[i * columns + j] = padded_mask[i : i + 3, j : j + 3].max() == 0
    keys = patches / np.maximum(np.sqrt((patches**2).sum(1, keepdims=True)), 1e-4)
    scores = patches @ keys.T

    def fused(scores):
        result = np.zeros_like(scores)
        for p in range(count):
            for q in range(count):
                for step in (-1, 0, 1):
                    if 0 <= p + step < count and 0 <= q + step < count:
                        result[p, q] += scores[p + step, q + step]
        return result

    scores = fused(scores).reshape(rows, columns, rows, columns).transpose(1, 0, 3, 2).reshape(count, count)
    scores = fused(scores).reshape(columns, rows, columns, rows).transpose(1, 0, 3, 2).reshape(count, count)
    scores = scores * usable * scale
    weights = np.exp(scores - scores.max(1, keepdims=True))
    weights = weights / weights.sum(1, keepdims=True) * usable
    values = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    result = np.zeros_like(values)
    for i in range(rows):
        for j in range(columns):
            for k in range(rows):
                for m in range(columns):
                    patch = values[:, 2 * k : 2 * k + 4, 2 * m : 2 * m + 4]
                    result[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += weights[i * columns + j, k * columns + m] * patch
    return result[:, 1:-1, 1:-1] / 4


def test_layer_is_the_published_algorithm_on_a_plane():
    x, mask = case((8, 12))
    mask[1] = mask[1].flip(-1, -2)
    found = ContextualAttention(3)(x, mask)
    for image, hole, filled in zip(x, mask, found, strict=True):
        np.testing.assert_allclose(filled, published(image.numpy(), hole[0].numpy()), rtol=1e-9, atol=1e-9)


@every_surface
def test_shape_finite_gradients_and_independent_images(surface):
    layer = ContextualAttention(3, surface).double()
    x, mask = case(SHAPES[surface])
    x.requires_grad_()
    y = layer(x, mask)
    assert y.shape == x.shape
    torch.testing.assert_close(layer(x[1:], mask[1:]), y[1:])
    y.square().sum().backward()
    assert x.grad.isfinite().all()
    assert not list(layer.parameters())
    assert not layer(x, torch.ones_like(mask)).any()


@every_surface
def test_a_constant_signal_stays_where_windows_do_not_reach_a_border_of_zeros(surface):
    layer = ContextualAttention(3, surface).double()
    x, mask = case(SHAPES[surface])
    y = layer(torch.full_like(x, 0.4), torch.zeros_like(mask))
    inside = tuple(slice(1, -1) if size > 1 else slice(None) for size in SHAPES[surface])
    if "zeros" in str(surface):
        assert y.max() <= 0.4 + 1e-9
    else:
        torch.testing.assert_close(y[(..., *inside)], torch.full_like(y, 0.4)[(..., *inside)])


@pytest.mark.parametrize("poles", ["over", "zeros", "replicate", "reflect"])
def test_layer_commutes_with_rolls(poles):
    layer = ContextualAttention(3, Equirectangular(poles)).double()
    x, mask = case((8, 16))
    y = layer(x, mask)
    for shift in (2, 8, -6):
        torch.testing.assert_close(layer(x.roll(shift, -1), mask.roll(shift, -1)), y.roll(shift, -1))


def test_layer_commutes_with_quarter_turns_of_healpix():
    def turned(x):
        return x.unflatten(2, (3, 4, -1)).roll(1, dims=3).flatten(2)

    layer = ContextualAttention(3, Healpix(2)).double()
    x, mask = case((48,))
    torch.testing.assert_close(layer(turned(x), turned(mask)), turned(layer(x, mask)))


def test_hole_is_filled_from_the_most_similar_place():
    """A periodic texture is continued exactly, up to the softmax."""
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(32), indexing="ij")
    pattern = torch.stack([(columns % 8 == phase) for phase in range(8)]).double()[None] * 4 + 0 * rows
    mask = torch.zeros(1, 1, 16, 32)
    mask[..., 4:8, 9:13] = 1
    filled = ContextualAttention(8, Equirectangular(), scale=50.0).double()(pattern, mask)
    torch.testing.assert_close(filled, pattern, atol=0.05, rtol=0)


@pytest.mark.parametrize("grid", [(1, 1), (3, 5), (7, 2)])
def test_odd_sizes(grid):
    for surface in (Plane(), Equirectangular()):
        x, mask = case(grid)
        assert ContextualAttention(3, surface)(x, mask).shape == x.shape


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"channels": 0}, "channels=0: must be a whole number from 1"),
        ({"channels": 3, "scale": 0}, "scale=0: must be above 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments, text):
    with pytest.raises(InputError, match=re.escape(text)):
        ContextualAttention(**arguments)


def test_wrong_masks_are_refused():
    with pytest.raises(InputError, match=re.escape("mask=(1, 3, 8, 8): must be (1, 1, 8, 8)")):
        ContextualAttention(3)(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))
