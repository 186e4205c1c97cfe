from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omniconv.errors import InputError
from omniconv.surfaces import Equirectangular, RowStencil
from omniconv.surfaces.equirectangular.row_kernels import Fields, row_shapes
from omniconv.surfaces.neighbours.row_stencil import split_by_row

PUBLISHED = 320, np.radians(65.5 / 640)
"""Rows, and the angle of a pixel of the flat views, of the published table H320Ks640."""


def seen_in(size):
    height, pixel = PUBLISHED
    return Fields.projected(height, (size, size), (pixel, pixel))


def widths_by_row(shapes):
    """Last row of each run of one shape in the northern half, and that shape, columns first."""
    runs = [(len(list(rows)), shape[::-1]) for shape, rows in groupby(shapes[: len(shapes) // 2])]
    return list(zip(np.cumsum([rows for rows, _ in runs]) - 1, [shape for _, shape in runs], strict=True))


def test_second_layer_has_the_published_shapes():
    """Published: 9×3 on rows 2 and 3, 7×3 on 4 to 7, 5×3 on 8 to 12, 3×3 from 13 on, and 3×3 on the two polar rows.

    Wider on the five rows next to the pole, where a field reaches far around it: there we go by the rule.
    """
    shapes = row_shapes(seen_in(5), seen_in(3))
    assert shapes == shapes[::-1]
    assert widths_by_row(shapes)[-3:] == [(7, (7, 3)), (12, (5, 3)), (159, (3, 3))]
    assert all(shape[0] == 3 and shape[1] > 7 for shape in shapes[:4])


def test_deep_layer_has_nearly_the_published_shapes():
    """Published for the fields of 60 pixels: 17×3 on rows 8 to 24, 3×3 from row 77 on."""
    sizes = (5, 10, 14, 24, 32, 40, 60)
    below = seen_in(3)
    for size in sizes:
        shapes = row_shapes(seen_in(size), below)
        below = below.through(shapes)
    found = widths_by_row(shapes)
    assert [last for last, shape in found if shape == (17, 3)][-1] in (23, 24)
    assert found[-1] == (159, (3, 3))
    assert found[-2][0] in (75, 76)


@settings(deadline=None, max_examples=30)
@given(height=st.integers(1, 40), size=st.sampled_from([1, 3, 5, (3, 5)]), dilation=st.integers(1, 3))
def test_shapes_are_symmetric_about_the_equator_and_follow_the_rule(height, size, dilation):
    rows, columns = (size, size) if isinstance(size, int) else size
    shapes = np.array(Equirectangular(height=height, kernels="rows").conv_neighbours(size, 1, dilation).shapes)
    np.testing.assert_array_equal(shapes, shapes[::-1])
    wanted = Fields.projected(height, (rows, columns), (dilation * np.pi / height,) * 2)
    for row, shape in enumerate(shapes):
        covered = Fields.of_pixels(height).under(tuple(shape), (dilation, dilation)).coverage(wanted)[row]
        assert covered > 0.95 or shape.prod() > 49
        assert shape.prod() < 49 + 2 * shape.max() + 1


def test_one_tap_suffices_for_a_kernel_of_size_one():
    assert set(Equirectangular(height=16, kernels="rows").conv_neighbours(1).shapes) == {(1, 1)}


def test_pixels_continue_over_the_pole_and_around_the_parallel():
    stencil = RowStencil(2, ((3, 3), (1, 1)))
    np.testing.assert_array_equal(stencil.pixels(0)[0], [[1, 2, 3], [3, 0, 1], [7, 4, 5]])
    np.testing.assert_array_equal(stencil.pixels(1)[:, 0, 0], [4, 5, 6, 7])


def test_bands_and_kernels_are_consecutive():
    stencil = RowStencil(4, ((3, 5), (3, 3), (3, 3), (1, 5)))
    assert [run.first_tap for run in stencil.bands] == [0, 15, 33]
    assert stencil.max_kernel_shape == (3, 5)
    kernels = split_by_row(np.arange(38.0).reshape(1, 1, 38), stencil.shapes)
    assert [kernel.shape[2:] for kernel in kernels] == list(stencil.shapes)
    assert kernels[2][0, 0, 0, 0] == 24


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda: RowStencil(4, ((3, 3),) * 3), "shapes=3: must be one for each of 4 / 1 rows"),
        (lambda: RowStencil(2, ((3, 2), (3, 3))), "must be odd"),
        (lambda: Equirectangular(kernels="rows"), "height=None: must be a whole number from 1 with kernels='rows'"),
        (lambda: Equirectangular("zeros", 8, "rows"), "poles='zeros': must be 'over' with kernels='rows'"),
        (lambda: Equirectangular(height=5, kernels="rows").coarser(), "height=5: must be even"),
    ],
)
def test_invalid_arguments_are_rejected(ask, text):
    with pytest.raises(InputError, match=text):
        ask()
