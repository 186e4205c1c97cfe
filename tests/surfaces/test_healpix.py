from __future__ import annotations

import re

import numpy as np
import pytest
from fields import rotation_about

from omniconv.errors import InputError
from omniconv.surfaces import Healpix, surface
from omniconv.surfaces.healpix.indexing import cells_of

PATCH = ["N", "NE", "E", "NW", "self", "SE", "W", "SW", "S"]
ASTROPY_ORDER = ["SW", "W", "NW", "N", "NE", "E", "SE", "S"]
"""The order in which astropy-healpix names neighbours."""
every_side = pytest.mark.parametrize("nside", [1, 2, 4, 8, 16])


def taps(stencil):
    return [operator.toarray() for operator in stencil.operators]


def image_of_cells(surface, matrix):
    """The cell to which a symmetry of the cells maps each cell."""
    return cells_of(surface.directions() @ matrix.T, surface.nside)


QUARTER_TURN = rotation_about("z", np.pi / 2)


@every_side
def test_neighbours_are_those_of_astropy(nside):
    healpix = pytest.importorskip("astropy_healpix")
    with np.errstate(invalid="ignore"):  # its own, where a neighbour is missing
        wanted = healpix.core.neighbours(np.arange(12 * nside**2), nside, order="nested")
    found = dict(zip(PATCH, Healpix(nside).conv_neighbours().operators, strict=True))
    assert (found["self"] != np.eye(12 * nside**2)).sum() == 0
    for name, cells in zip(ASTROPY_ORDER, wanted, strict=True):
        there = cells >= 0
        np.testing.assert_array_equal(np.diff(found[name].indptr), np.where(there, 1, 2))
        picks = found[name][np.flatnonzero(there)]
        np.testing.assert_array_equal(picks.indices, cells[there])
        np.testing.assert_array_equal(picks.data, 1)


@every_side
def test_cells_with_seven_neighbours_get_the_mean_of_two_as_the_eighth(nside):
    stencil = Healpix(nside).conv_neighbours()
    halves = [np.flatnonzero(np.diff(operator.indptr) == 2) for operator in stencil.operators]
    assert sum(map(len, halves)) == 24
    assert len(np.unique(np.concatenate(halves))) == (12 if nside == 1 else 24)
    between = {"N": ("NW", "NE"), "E": ("NE", "SE"), "W": ("SW", "NW"), "S": ("SW", "SE")}
    for name, (one, other) in between.items():
        picks, first, second = (stencil.operators[PATCH.index(tap)] for tap in (name, one, other))
        cells = halves[PATCH.index(name)]
        np.testing.assert_array_equal(picks[cells].toarray(), (first + second)[cells].toarray() / 2)


@pytest.mark.parametrize("nside", [2, 16])
def test_taps_lie_in_the_named_directions(nside):
    surface = Healpix(nside)
    x, y, z = surface.directions().T
    found = dict(zip(PATCH, surface.conv_neighbours().operators, strict=True))
    near_pole = np.abs(z) > 1 - 1 / (3 * nside**2) - 1e-9
    assert (found["N"] @ z > z)[~near_pole].all()
    assert (found["S"] @ z < z)[~near_pole].all()
    equator = np.abs(z) < 2 / 3 - 1 / nside / 3
    for name, sign in (("E", 1), ("NE", 1), ("SE", 1), ("W", -1), ("NW", -1), ("SW", -1)):
        turned = x * (found[name] @ y) - y * (found[name] @ x)
        assert (sign * turned[equator] > 0).all()


@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (3, 1), (5, 1), (3, 2), (5, 2)])
def test_inside_a_face_the_patch_is_flat(kernel_size, dilation):
    surface = Healpix(16)
    faces = surface.faces()
    reach = kernel_size // 2 * dilation
    inside = faces[:, reach : 16 - reach, reach : 16 - reach].ravel()
    operators = surface.conv_neighbours(kernel_size, dilation=dilation).operators
    assert len(operators) == kernel_size**2
    for tap, operator in enumerate(operators):
        down, right = (dilation * place for place in divmod(tap, kernel_size))
        wanted = faces[:, down : down + 16 - 2 * reach, right : right + 16 - 2 * reach].ravel()
        np.testing.assert_array_equal(operator[inside].indices, wanted)


@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (3, 1), (5, 1), (7, 1), (3, 3), (5, 2)])
@pytest.mark.parametrize("stride", [1, 2])
def test_constants_stay_constant(kernel_size, dilation, stride):
    for operator in Healpix(8).conv_neighbours(kernel_size, stride, dilation).operators:
        np.testing.assert_array_equal(operator.sum(axis=1), 1)
        assert set(operator.data) <= {0.5, 1}


def test_dilated_taps_are_those_of_a_larger_kernel():
    dilated, large = taps(Healpix(4).conv_neighbours(3, dilation=2)), taps(Healpix(4).conv_neighbours(5))
    for tap, operator in enumerate(dilated):
        row, column = divmod(tap, 3)
        np.testing.assert_array_equal(operator, large[2 * row * 5 + 2 * column])


STENCILS = {
    "conv": lambda surface: surface.conv_neighbours(),
    "conv 5": lambda surface: surface.conv_neighbours(5),
    "dilated": lambda surface: surface.conv_neighbours(3, dilation=2),
    "strided": lambda surface: surface.conv_neighbours(stride=2),
    "transposed": lambda surface: surface.transposed_neighbours(),
    "pool": lambda surface: surface.pool_neighbours(),
    "linear": lambda surface: surface.resize_neighbours(),
    "nearest": lambda surface: surface.resize_neighbours(mode="nearest"),
}


@pytest.mark.parametrize("ask", STENCILS.values(), ids=STENCILS)
def test_rotations_by_90_degrees_about_the_axis_are_symmetries(ask):
    surface = Healpix(4)
    stencil = ask(surface)
    into = image_of_cells(surface, QUARTER_TURN)
    out = image_of_cells(Healpix(int(np.sqrt(stencil.outputs / 12))), QUARTER_TURN)
    for operator in taps(stencil):
        np.testing.assert_allclose(operator[out][:, into], operator, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("mirror", "tap_after"),
    [
        (np.diag([1, -1, 1]), lambda row, column, last: (column, row)),  # east and west change places
        (np.diag([1, 1, -1]), lambda row, column, last: (last - column, last - row)),  # north and south
    ],
)
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_mirrors_are_symmetries_with_mirrored_taps(kernel_size, mirror, tap_after):
    surface = Healpix(4)
    image = image_of_cells(surface, mirror)
    operators = taps(surface.conv_neighbours(kernel_size))
    for tap, operator in enumerate(operators):
        row, column = tap_after(*divmod(tap, kernel_size), kernel_size - 1)
        np.testing.assert_array_equal(operators[row * kernel_size + column][image][:, image], operator)


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_stride_two_keeps_the_rows_of_northern_children(kernel_size):
    surface = Healpix(4)
    full, strided = taps(surface.conv_neighbours(kernel_size)), taps(surface.conv_neighbours(kernel_size, stride=2))
    for every, kept in zip(full, strided, strict=True):
        np.testing.assert_array_equal(every[3::4], kept)


def test_stride_two_reaches_every_sample():
    seen = sum(taps(Healpix(4).conv_neighbours(stride=2)))
    assert (seen.sum(axis=0) > 0).all()
    for cell in range(48):
        assert (seen[cell, 4 * cell : 4 * cell + 4] == 1).all()


@pytest.mark.parametrize(("kernel_size", "stride"), [(3, 1), (3, 2), (5, 2), (1, 2)])
def test_transposed_is_the_adjoint(kernel_size, stride):
    coarse = Healpix(4)
    fine = coarse if stride == 1 else coarse.finer()
    there = taps(fine.conv_neighbours(kernel_size, stride))
    back = taps(coarse.transposed_neighbours(kernel_size, stride))
    for operator, adjoint in zip(there, back, strict=True):
        np.testing.assert_array_equal(operator.T, adjoint)


@pytest.mark.parametrize("nside", [2, 8])
def test_pooling_is_the_mean_of_four_consecutive_samples(nside):
    surface = Healpix(nside)
    signal = np.random.default_rng(0).integers(0, 100, surface.shape)
    operator = surface.pool_neighbours().operators[0]
    np.testing.assert_allclose(operator @ signal, signal.reshape(-1, 4).mean(axis=1), rtol=1e-14)
    np.testing.assert_array_equal(operator.indices.reshape(-1, 4), np.arange(surface.shape[0]).reshape(-1, 4))


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda: Healpix(0), "nside=0: must be a power of two from 1 to 1024; use nside=32 for 12,288 samples"),
        (lambda: Healpix(12), "nside=12: must be a power of two"),
        (lambda: Healpix(-4), "nside=-4: must be a power of two"),
        (lambda: Healpix(4.0), "nside=4.0: must be a power of two"),
        (lambda: Healpix(2048), "nside=2048: must be a power of two from 1 to 1024"),
        (lambda: surface("healpix:48"), "nside 48 must be a power of two"),
        (lambda: Healpix(1).coarser(), "nside=1: has no coarser level: cells of nside 2ᴸ allow L steps of stride 2"),
        (lambda: Healpix(1024).finer(), "nside=2048: must be a power of two"),
        (
            lambda: Healpix(4).conv_neighbours(2),
            "kernel_size=2: must be odd on healpix, so that a cell is in the middle; use kernel_size=3",
        ),
        (lambda: Healpix(4).conv_neighbours(-1), "kernel_size=-1: must be odd"),
        (lambda: Healpix(4).conv_neighbours(11), "kernel_size=11: reaches 5 cells far, beyond the next base face"),
        (lambda: Healpix(4).conv_neighbours(3, 1, 5), "dilation=5: reaches 5 cells far, beyond the next base face"),
        (lambda: Healpix(4).conv_neighbours(3, 1, 0), "dilation=0: must be a whole number from 1"),
        (lambda: Healpix(4).conv_neighbours(3, 3), "stride=3: must be 1 or 2 on healpix; chain layers of stride 2"),
        (lambda: Healpix(1).conv_neighbours(3, 2), "nside=1: has no coarser level"),
        (lambda: Healpix(4).transposed_neighbours(3, 4), "stride=4: must be 1 or 2 on healpix"),
        (lambda: Healpix(4).transposed_neighbours(4), "kernel_size=4: must be odd on healpix"),
        (lambda: Healpix(4).pool_neighbours(3, 2), "kernel_size=3: must be 2 on healpix"),
        (lambda: Healpix(4).pool_neighbours(2, 1), "stride=1: must be 2"),
        (lambda: Healpix(1).pool_neighbours(), "nside=1: has no coarser level"),
        (lambda: Healpix(4).resize_neighbours(4), "scale_factor=4: must be 2 on healpix"),
    ],
)
def test_unsupported_arguments_are_rejected(ask, text):
    with pytest.raises(InputError, match=re.escape(text)):
        ask()
