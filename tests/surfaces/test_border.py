from __future__ import annotations

import re

import numpy as np
import pytest

from omniconv.errors import InputError
from omniconv.surfaces import Border
from omniconv.surfaces.neighbours.border import border_index

NUMPY_NAMES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@pytest.mark.parametrize(("mode", "numpy_name"), NUMPY_NAMES.items())
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("amount", [0, 1, 2, 5, 17])
def test_border_index_is_that_of_numpy_pad(mode, numpy_name, size, amount):
    index, is_rolled, is_constant = border_index(np.arange(-amount, size + amount), size, mode)
    np.testing.assert_array_equal(index, np.pad(np.arange(size), amount, mode=numpy_name))
    assert not is_rolled.any()
    assert not is_constant.any()


def test_zeros_are_constant_beyond_both_edges():
    index, _, is_constant = border_index(np.arange(-2, 5), 3, "zeros")
    assert is_constant.tolist() == [True, True, False, False, False, True, True]
    assert index.min() == 0
    assert index.max() == 2


@pytest.mark.parametrize("size", [1, 2, 5])
def test_pole_mode_has_the_period_of_a_great_circle(size):
    index, is_rolled, _ = border_index(np.arange(-2 * size, 4 * size), size, "pole")
    np.testing.assert_array_equal(index[: 2 * size], index[2 * size : 4 * size])
    np.testing.assert_array_equal(is_rolled[: 2 * size], is_rolled[2 * size : 4 * size])
    np.testing.assert_array_equal(index[2 * size : 3 * size], np.arange(size))
    np.testing.assert_array_equal(index[3 * size : 4 * size], np.arange(size)[::-1])
    assert is_rolled[3 * size : 4 * size].all()


def test_border_from_one_mode_one_an_axis_or_one_a_side():
    assert Border.of("zeros", 2) == Border((("zeros", "zeros"),) * 2)
    assert Border.of(["reflect", ("zeros", "circular")], 2).modes == (("reflect", "reflect"), ("zeros", "circular"))
    assert Border.of("zeros", 3).ndim == 3


def test_border_wraps_only_where_both_sides_continue():
    assert Border.of(("pole", "circular"), 2).wraps == (True, True)
    assert Border.of((("pole", "zeros"), "circular"), 2).wraps == (False, True)
    assert Border.of(("reflect", "replicate"), 2).wraps == (False, False)


def test_equal_borders_have_equal_hashes():
    assert len({Border.of("zeros", 2), Border.of(("zeros", "zeros"), 2), Border.of("zeros", 2, 1.0)}) == 2


@pytest.mark.parametrize(
    ("modes", "ndim", "text"),
    [
        ("wrap", 2, "padding_mode='wrap': must be one of zeros, reflect, replicate, circular, pole; use padding_mode="),
        (("zeros",), 2, "padding_mode=('zeros',): must be one mode or 2, one for each axis; count the axes"),
        (("pole", "zeros"), 2, "padding_mode='pole': must be on the axis before a circular last axis; use oc.Equi"),
        ("pole", 1, "padding_mode='pole': must be on the axis before a circular last axis"),
        ("pole", 2, "padding_mode='pole': must be on the axis before a circular last axis"),
        (("pole", "zeros", "circular"), 3, "padding_mode='pole': must be on the axis before a circular last axis"),
        ([("zeros", "zeros", "zeros")], 1, "padding_mode=('zeros', 'zeros', 'zeros'): must be a pair (before, after)"),
    ],
)
def test_invalid_modes_are_rejected(modes, ndim, text):
    with pytest.raises(InputError, match=re.escape(text)):
        Border.of(modes, ndim)
