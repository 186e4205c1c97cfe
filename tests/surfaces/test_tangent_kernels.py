from __future__ import annotations

import re

import numpy as np
import pytest

from omniconv.errors import InputError
from omniconv.surfaces import Equirectangular, Stencil, panorama, surface


def tangent(height):
    return Equirectangular(height=height, kernels="tangent")


def taps(stencil):
    return [operator.toarray() for operator in stencil.operators]


def applied(stencil, image):
    """Every operator times an image ``(H, W)``: ``(taps, H', W')``."""
    return np.stack([operator @ image.ravel() for operator in stencil.operators]).reshape(-1, *stencil.output_shape)


STENCILS = {
    "conv": lambda height: (tangent(height).conv_neighbours(), 1, 1),
    "conv of one": lambda height: (tangent(height).conv_neighbours(1), 1, 1),
    "conv of rows and columns": lambda height: (tangent(height).conv_neighbours((5, 3), 1, (1, 2)), 1, 1),
    "dilated": lambda height: (tangent(height).conv_neighbours(3, dilation=3), 1, 1),
    "past the horizon": lambda height: (tangent(height).conv_neighbours(3, dilation=height - 1), 1, 1),
    "strided": lambda height: (tangent(height).conv_neighbours(3, 2), 2, 1),
    "windows": lambda height: (tangent(height).window_neighbours(), 2, 1),
    "windows of three": lambda height: (tangent(height).window_neighbours(3, 2), 2, 1),
    "windows of 2 by 3": lambda height: (tangent(height).window_neighbours((2, 3), 2), 2, 1),
    "means": lambda height: (tangent(height).pool_neighbours(), 2, 1),
    "means of three": lambda height: (tangent(height).pool_neighbours(3, 1), 1, 1),
    "linear": lambda height: (tangent(height).resize_neighbours(), 1, 2),
    "nearest": lambda height: (tangent(height).resize_neighbours(mode="nearest"), 1, 2),
}
every_stencil = pytest.mark.parametrize("ask", STENCILS.values(), ids=STENCILS)


@pytest.mark.parametrize(
    "name", ["equirectangular:height=64,kernels=tangent", "equirectangular:kernels=tangent,height=64"]
)
def test_short_name(name):
    assert surface(name) == tangent(64)
    assert surface(str(tangent(64))) == tangent(64)


@every_stencil
@pytest.mark.parametrize("height", [2, 6, 16])
def test_constants_stay_constant(ask, height):
    for operator in ask(height)[0].operators:
        np.testing.assert_allclose(operator.sum(axis=1), 1, rtol=0, atol=4e-16)
        assert operator.data.min() > 0


@every_stencil
@pytest.mark.parametrize("height", [2, 8])
def test_rolls_by_columns_are_exact(ask, height):
    stencil, inputs, outputs = ask(height)
    for operator in stencil.operators:
        array = operator.toarray().reshape(*stencil.output_shape, *stencil.input_shape)
        for turns in (1, 3):
            turned = np.roll(array, (turns * outputs, turns * inputs), axis=(1, 3))
            np.testing.assert_array_equal(turned, array)


@pytest.mark.parametrize("kernel_size", [(3, 3), (5, 3)])
@pytest.mark.parametrize(("stride", "axis"), [(1, 0), (1, 1)])
def test_mirrors_are_symmetries_with_mirrored_taps(kernel_size, stride, axis):
    stencil = tangent(8).conv_neighbours(kernel_size, stride)
    array = np.stack(taps(stencil)).reshape(*kernel_size, 8, 16, 8, 16)
    np.testing.assert_allclose(np.flip(array, (axis, 2 + axis, 4 + axis)), array, rtol=0, atol=1e-12)


def test_taps_lie_row_by_row_around_the_pixel():
    stencil = tangent(64).conv_neighbours((5, 3))
    assert stencil.kernel_shape == (5, 3)
    for tap, operator in enumerate(stencil.operators):
        down, right = tap // 3 - 2, tap % 3 - 1
        row = operator[[32 * 128 + 50]].toarray().reshape(64, 128)
        assert np.unravel_index(row.argmax(), row.shape) == (32 + down, 50 + right)


@pytest.mark.parametrize("kernel_size", [1, 3, (3, 5)])
def test_stride_two_keeps_even_rows_and_columns(kernel_size):
    full, strided = tangent(8).conv_neighbours(kernel_size), tangent(8).conv_neighbours(kernel_size, 2)
    assert strided.output_shape == (4, 8)
    for every, kept in zip(taps(full), taps(strided), strict=True):
        np.testing.assert_allclose(every.reshape(8, 16, -1)[::2, ::2].reshape(32, -1), kept, rtol=0, atol=1e-12)


def test_dilated_taps_are_those_of_a_larger_kernel():
    dilated, large = taps(tangent(8).conv_neighbours(3, dilation=2)), taps(tangent(8).conv_neighbours(5))
    for tap, operator in enumerate(dilated):
        np.testing.assert_allclose(operator, large[2 * (tap // 3) * 5 + 2 * (tap % 3)], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kernel_size", "stride", "dilation"), [(3, 1, 1), (3, 2, 1), ((5, 3), 2, (1, 2)), (1, 2, 1)])
def test_transposed_is_the_adjoint(kernel_size, stride, dilation):
    coarse = tangent(4)
    there = (coarse if stride == 1 else coarse.finer()).conv_neighbours(kernel_size, stride, dilation)
    back = coarse.transposed_neighbours(kernel_size, stride, dilation)
    assert (back.input_shape, back.output_shape) == (there.output_shape, there.input_shape)
    assert back.kernel_shape == there.kernel_shape
    for operator, adjoint in zip(taps(there), taps(back), strict=True):
        np.testing.assert_array_equal(operator.T, adjoint)


@pytest.mark.parametrize("height", [2, 12])
def test_means_of_four_pixels_preserve_the_mean_over_the_sphere(height):
    place = tangent(height)
    image = np.random.default_rng(0).random(place.shape)
    stencil = place.pool_neighbours()
    means = applied(stencil, image)[0]
    assert (place.coarser().areas() * means).sum() == pytest.approx((place.areas() * image).sum(), rel=1e-14)
    blocks = np.arange(image.size).reshape(height // 2, 2, height, 2).swapaxes(1, 2).reshape(-1, 4)
    np.testing.assert_array_equal(np.sort(stencil.fused.indices.reshape(-1, 4)), blocks)


@pytest.mark.parametrize(("kernel_size", "stride"), [(3, 1), (3, 2), (4, 2)])
def test_other_means_are_those_of_the_windows(kernel_size, stride):
    means = tangent(8).pool_neighbours(kernel_size, stride).operators[0].toarray()
    windows = taps(tangent(8).window_neighbours(kernel_size, stride))
    np.testing.assert_allclose(means, np.mean(windows, axis=0), rtol=0, atol=1e-15)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("height", [1, 3, 8])
def test_upsampling_is_resizing_the_panorama(height, mode):
    image = np.random.default_rng(0).random((height, 2 * height))
    found = applied(tangent(height).resize_neighbours(mode=mode), image)[0]
    np.testing.assert_allclose(found, panorama.resize(image, 2 * height, 4 * height, mode), rtol=0, atol=1e-14)


def test_panoramas_are_resized_to_the_one_size():
    image = np.random.default_rng(0).random((3, 32, 64))
    place = tangent(8)
    np.testing.assert_allclose(place.from_equirectangular(image), panorama.resize(image, 8, 16))
    assert place.from_equirectangular(image[:, :8, :16]).shape == (3, 8, 16)
    labels = np.random.default_rng(0).integers(0, 5, (32, 64))
    assert set(np.unique(place.from_equirectangular(labels, "nearest"))) <= set(range(5))
    assert place.to_equirectangular(place.from_equirectangular(image), 20).shape == (3, 20, 40)


def test_periodic_stencil_equals_the_stencil_of_its_operators():
    found = tangent(6).conv_neighbours()
    stacked = Stencil(found.operators, found.input_shape, found.output_shape, found.kernel_shape)
    assert (stacked.fused != found.fused).nnz == 0


def test_stencils_are_cached_and_small():
    place = tangent(16)
    assert place.conv_neighbours().computed is tangent(16).conv_neighbours([3, 3], 1, (1, 1)).computed
    assert place.pool_neighbours() == place.pool_neighbours(2, 2)
    for stencil in (place.conv_neighbours(), place.transposed_neighbours(), place.resize_neighbours()):
        assert stencil.fused.indices.dtype == stencil.fused.indptr.dtype == np.int32
        assert stencil.fused.has_canonical_format
    assert place.conv_neighbours().fused.nnz <= 28 * 512


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda: Equirectangular(kernels="lines"), "kernels='lines': must be one of grid, tangent, rows"),
        (
            lambda: Equirectangular(height=8),
            "height=8: must be left out with kernels='grid', which has any size; omit it",
        ),
        (
            lambda: Equirectangular(kernels="tangent"),
            "height=None: must be a whole number from 1 with kernels='tangent'",
        ),
        (lambda: tangent(0), "height=0: must be a whole number from 1 with kernels='tangent'; use height=64"),
        (lambda: tangent(8.0), "height=8.0: must be a whole number from 1"),
        (lambda: surface("equirectangular:kernels=tangent"), "height must be a whole number from 1"),
        (lambda: Equirectangular("zeros", 8, "tangent"), "poles='zeros': must be 'over' with kernels='tangent'"),
        (lambda: tangent(9).coarser(), "height=9: must be even to be halved; use a multiple of 2 for each step"),
        (lambda: tangent(9).conv_neighbours(3, 2), "height=9: must be even to be halved"),
        (lambda: tangent(9).pool_neighbours(), "height=9: must be even to be halved"),
        (lambda: tangent(8).conv_neighbours(2), "kernel_size=(2, 2): must be odd, so that a pixel is in the middle"),
        (lambda: tangent(8).conv_neighbours((3, 4)), "kernel_size=(3, 4): must be odd"),
        (lambda: tangent(8).transposed_neighbours(4), "kernel_size=(4, 4): must be odd"),
        (lambda: tangent(8).conv_neighbours(3, 3), "stride=3: must be 1 or 2 with kernels='tangent'; chain layers"),
        (lambda: tangent(8).conv_neighbours(3, (1, 2)), "stride=(1, 2): must be 1 or 2 with kernels='tangent'"),
        (lambda: tangent(8).transposed_neighbours(3, 4), "stride=4: must be 1 or 2 with kernels='tangent'"),
        (lambda: tangent(8).pool_neighbours(2, 4), "stride=4: must be 1 or 2 with kernels='tangent'"),
        (lambda: tangent(8).window_neighbours(2, 1), "kernel_size=(2, 2): must be odd at stride 1"),
        (lambda: tangent(8).pool_neighbours(2, 1), "kernel_size=(2, 2): must be odd at stride 1"),
        (lambda: Stencil(tangent(8).conv_neighbours().operators, kernel_shape=(3, 2)), "must hold 9 taps"),
        (lambda: tangent(8).resize_neighbours(4), "scale_factor=4: must be 2 with kernels='tangent'; chain steps of 2"),
    ],
)
def test_unsupported_arguments_are_rejected(ask, text):
    with pytest.raises(InputError, match=re.escape(text)):
        ask()
