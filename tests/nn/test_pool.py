from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from omniconv.errors import InputError
from omniconv.nn import AvgPool, Downsample, GlobalAvgPool, MaxPool
from omniconv.surfaces import Equirectangular, Icosphere, Plane

MAXIMUM = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
MEAN = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
BORDERS = [Plane(border=border) for border in ("zeros", "reflect", "replicate", "circular")]
PANORAMAS = [Equirectangular(poles) for poles in ("over", "zeros", "replicate", "reflect")]


@settings(deadline=None, max_examples=60)
@given(
    ndim=st.integers(1, 3),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    data=st.data(),
)
def test_pooling_on_a_plane_equals_torch(ndim, kernel, stride, dilation, data):
    padding = data.draw(st.integers(0, kernel // 2))
    x = torch.randn(2, 3, *data.draw(st.tuples(*[st.integers(7, 9)] * ndim)))
    surface = Plane(ndim)
    found = MaxPool(kernel, stride, padding, dilation, surface=surface)(x)
    torch.testing.assert_close(found, MAXIMUM[ndim](x, kernel, stride, padding, dilation))
    found = AvgPool(kernel, stride, padding, surface=surface)(x)
    torch.testing.assert_close(found, MEAN[ndim](x, kernel, stride, padding, count_include_pad=False))


@pytest.mark.parametrize("surface", BORDERS + PANORAMAS, ids=str)
@pytest.mark.parametrize("name", ["same", "same_upper", "same_lower"])
@pytest.mark.parametrize("layer", [MaxPool, AvgPool])
def test_constants_are_kept_and_padding_never_wins(surface, name, layer):
    found = layer(3, 2, name, surface=surface)(torch.full((1, 2, 5, 6), -7.0))
    torch.testing.assert_close(found, torch.full((1, 2, 3, 3), -7.0))


@pytest.mark.parametrize("layer", [MaxPool, AvgPool])
def test_odd_sizes_keep_their_last_row_with_same_upper(layer):
    x = torch.arange(9.0).view(1, 1, 3, 3) - 20
    found = layer(2, padding="same_upper")(x)[0, 0, -1, -1]
    assert found == -12


@pytest.mark.parametrize("surface", [Plane(border="circular"), *PANORAMAS], ids=str)
@pytest.mark.parametrize("layer", [MaxPool, AvgPool])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, "same_upper"), (3, 2, "same"), (3, 1, 1), (2, 2, 0)])
def test_pooling_commutes_with_rolls(surface, layer, kernel, stride, padding):
    pool = layer(kernel, stride, padding, surface=surface)
    x = torch.randn(1, 2, 7, 8, dtype=torch.float64)
    torch.testing.assert_close(pool(x.roll(2 * stride, -1)), pool(x).roll(2, -1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_avg_pool_of_pairs_is_linear_halving_on_a_plane(ndim):
    x = torch.randn(1, 2, *(8, 6, 4)[:ndim], dtype=torch.float64)
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[ndim]
    torch.testing.assert_close(AvgPool(2, surface=Plane(ndim))(x), F.interpolate(x, scale_factor=0.5, mode=mode))


@pytest.mark.parametrize("surface", BORDERS, ids=str)
def test_avg_pool_of_pairs_is_downsampling(surface):
    x = torch.randn(1, 2, 8, 6)
    torch.testing.assert_close(Downsample(surface=surface)(x), AvgPool(2, surface=surface)(x))


@settings(deadline=None, max_examples=30)
@given(size=st.integers(1, 6), half=st.integers(1, 6), level=st.integers(0, 3))
def test_global_avg_pool_is_weighted_by_area(size, half, level):
    for surface, shape in ((Plane(), (size, half)), (Equirectangular(), (size, 2 * half)), (Icosphere(level), None)):
        areas = surface.areas(shape)
        x = torch.randn(2, 3, *areas.shape, dtype=torch.float64)
        wanted = np.average(x.numpy().reshape(2, 3, -1), axis=2, weights=areas.ravel())
        found = GlobalAvgPool(surface).double()(x)
        np.testing.assert_allclose(found, wanted, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("surface", "shape"), [(Plane(), (600, 700)), (Equirectangular(), (256, 512)), (Icosphere(5), (10242,))], ids=str
)
def test_global_mean_keeps_constants_in_every_precision(surface, shape, dtype):
    found = GlobalAvgPool(surface).to(dtype)(torch.full((1, 1, *shape), 0.75, dtype=dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found, torch.full((1, 1), 0.75, dtype=dtype), rtol=4 * torch.finfo(dtype).eps, atol=1e-6)


def test_global_mean_of_an_empty_batch_is_empty():
    assert GlobalAvgPool()(torch.zeros(0, 3, 4, 4)).shape == (0, 3)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: MaxPool(0), "kernel_size=0: must be a whole number from 1"),
        (lambda: MaxPool(2, padding="full"), "padding='full': must be a number, a pair or one of"),
        (lambda: MaxPool(2, padding=2), "padding=2: must be smaller than the window, which spans 2; pad less"),
        (lambda: AvgPool(2, padding=((0, 2), (0, 0))), "padding=2: must be smaller than the window"),
        (lambda: MaxPool(3, 2, surface=Icosphere(1)), "kernel_size=3: must be 2 on an icosphere"),
        (lambda: MaxPool(2, 1, surface=Icosphere(1)), "stride=1: must be 2 on an icosphere"),
        (lambda: MaxPool(2, padding=1, surface=Icosphere(1)), "padding=1: must be 'same' on a mesh"),
        (lambda: MaxPool(2, dilation=2, surface=Icosphere(1)), "dilation=2: must be 1 on a mesh"),
        (lambda: AvgPool(surface=Icosphere(0)), "level=0: has no coarser level"),
    ],
)
def test_invalid_arguments_are_refused(build, text):
    with pytest.raises(InputError, match=text):
        build()


def test_input_smaller_than_a_window_is_refused():
    with pytest.raises(InputError, match=r"input=\(2, 5\): is smaller than the window, which spans 3; pad with"):
        MaxPool(3)(torch.zeros(1, 1, 2, 5))
    with pytest.raises(InputError, match=r"must have 4 axes: \(batch, channels, height, width\)"):
        GlobalAvgPool()(torch.zeros(1, 2, 5))
