"""Paddings of ``nn.grid`` and ``nn.rows`` read the samples of ``border_index``, the one definition of a border.

Tested, with their adjoints, are copies of strips (``padding``), indices without branches for symbolic sizes
(``symbolic_padding``), and convolution and transposed convolution that add strips to the backend's own zero padding
(``border_strips``); and the input rows of the tiles of row kernels (``tiles``).
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from omniconv.errors import InputError
from omniconv.nn.grid import axis, border_strips
from omniconv.nn.grid.conv import make_grid_conv, make_grid_conv_transpose
from omniconv.nn.grid.cube_padding import pad_cube, pad_cube_adjoint
from omniconv.nn.grid.cube_tracing import indices_in_graph
from omniconv.nn.grid.padding import pad, pad_adjoint
from omniconv.nn.grid.symbolic_padding import pad_axis, pad_axis_adjoint, source_index
from omniconv.nn.rows.tiles import _row_pieces
from omniconv.surfaces import Border, Cubemap
from omniconv.surfaces.cubemap.faces import padded_pixels
from omniconv.surfaces.neighbours.border import border_index

WIDTH = 5  # odd: half of it is rounded down
VALUE = 2.5
MODES = ("zeros", "reflect", "replicate", "circular", "pole")
PAIRS = [*((mode, mode) for mode in MODES), ("pole", "zeros"), ("zeros", "pole"), ("reflect", "circular"),
         ("circular", "replicate")]  # fmt: skip
SIZES = (1, 2, 3, 6)
AMOUNTS = ((0, 0), (1, 0), (0, 1), (1, 1), (2, 3), (6, 6), (13, 7))
CASES = [
    (modes, size, amounts)
    for modes, size, amounts in product(PAIRS, SIZES, AMOUNTS)
    if all(amount < size or mode != "reflect" for amount, mode in zip(amounts, modes, strict=True))
]


def padding_matrix(size, amounts, modes):
    """Return the padding of the rows of a ``(size, WIDTH)`` grid as a matrix, and the constants that it adds."""
    before, after = amounts
    samples = np.arange(size * WIDTH).reshape(size, WIDTH)
    matrix, constants = [], []
    for position in range(-before, size + after):
        mode = modes[0] if position < 0 else modes[1]
        source, is_rolled, is_constant = border_index(np.array(position), size, mode)
        row = np.roll(samples[source], WIDTH // 2) if is_rolled else samples[source]
        matrix.append(np.eye(size * WIDTH)[row] * (not is_constant))
        constants.append(np.full(WIDTH, VALUE * bool(is_constant)))
    return torch.from_numpy(np.concatenate(matrix)), torch.from_numpy(np.concatenate(constants))


def border_of(modes):
    return Border((modes, ("circular", "circular")), VALUE)


def by_strips(x, amounts, modes):
    return pad(x, [amounts, (0, 0)], border_of(modes))


def by_strips_adjoint(y, amounts, modes):
    return pad_adjoint(y.clone(), [amounts, (0, 0)], border_of(modes))


def by_index(x, amounts, modes):
    return pad_axis(x, 2, amounts, modes, VALUE)


def by_index_adjoint(y, amounts, modes):
    return pad_axis_adjoint(y, 2, amounts, modes)


def one_tap_kernels(amounts, dtype):
    """Return one kernel for each tap, with that tap 1: output row r of kernel t is padded row r + t."""
    taps = sum(amounts) + 1
    return torch.eye(taps, dtype=dtype).view(taps, 1, taps, 1)


def by_convolution(x, amounts, modes):
    kernels = one_tap_kernels(amounts, x.dtype)
    conv = make_grid_conv(border_of(modes), (len(kernels), 1), 1, [amounts, 0], 1, 1)
    y = conv(x.flatten(0, 1)[:, None], kernels, None)  # (B, taps, H, W)
    padded = torch.cat([y[:, 0], y[:, 1:, -1]], 1)
    for tap in range(len(kernels)):
        torch.testing.assert_close(y[:, tap], padded[:, tap : tap + x.shape[2]])
    return padded.unflatten(0, x.shape[:2])


def by_convolution_adjoint(y, amounts, modes):
    """Apply the transposed convolution: it adds padded row r + t, as row r of kernel t, to its source."""
    size = y.shape[2] - sum(amounts)
    kernels = one_tap_kernels(amounts, y.dtype)
    conv = make_grid_conv_transpose(border_of(modes), (len(kernels), 1), 1, [amounts, 0], 1, 1, 0)
    rows = y.new_zeros(y.shape[0] * y.shape[1], len(kernels), size, WIDTH)
    flat = y.flatten(0, 1)
    rows[:, 0], rows[:, 1:, -1] = flat[:, :size], flat[:, size:]
    return conv(rows, kernels, None).view(*y.shape[:2], size, WIDTH)


@pytest.fixture(autouse=True)
def strips_for_small_signals(monkeypatch):
    monkeypatch.setattr(border_strips, "MIN_ELEMENTS", 0)
    monkeypatch.setattr(axis, "MAX_SURPLUS", 99)


@pytest.mark.parametrize(("modes", "size", "amounts"), CASES, ids=str)
@pytest.mark.parametrize("implementation", [by_strips, by_index, by_convolution])
def test_padded_samples_are_those_of_border_index(implementation, modes, size, amounts):
    matrix, constants = padding_matrix(size, amounts, modes)
    x = torch.randn(2, 3, size, WIDTH, dtype=torch.float64)
    expected = (x.flatten(2) @ matrix.T + constants).unflatten(2, (-1, WIDTH))
    torch.testing.assert_close(implementation(x, amounts, modes), expected)


@pytest.mark.parametrize(("modes", "size", "amounts"), CASES, ids=str)
@pytest.mark.parametrize("implementation", [by_strips_adjoint, by_index_adjoint, by_convolution_adjoint])
def test_adjoint_adds_padded_samples_to_their_sources(implementation, modes, size, amounts):
    matrix, _ = padding_matrix(size, amounts, modes)
    y = torch.randn(2, 3, size + sum(amounts), WIDTH, dtype=torch.float64)
    expected = (y.flatten(2) @ matrix).unflatten(2, (size, WIDTH))
    torch.testing.assert_close(implementation(y, amounts, modes), expected)


@pytest.mark.parametrize("mode", MODES[1:])
@pytest.mark.parametrize("size", SIZES)
def test_source_index_is_border_index(mode, size):
    reach = size if mode == "reflect" else 3 * size + 1
    positions = np.arange(1 - reach, size + reach - 1) if size > 1 or mode != "reflect" else np.arange(1)
    index, is_rolled = source_index(torch.from_numpy(positions), size, mode)
    expected = border_index(positions, size, mode)
    assert index.tolist() == expected.source.tolist()
    assert is_rolled.tolist() == expected.is_rolled.tolist()


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("height", SIZES)
def test_row_tiles_read_the_rows_of_border_index(height, step):
    positions = range(-3 * height - 1, 3 * height + 2, step)
    source, is_rolled = np.full(len(positions), -1), np.zeros(len(positions), dtype=bool)
    for piece, rows, is_beyond_pole in _row_pieces(positions, height):
        source[piece], is_rolled[piece] = np.arange(height)[rows], is_beyond_pole
    expected = border_index(np.array(positions), height, "pole")
    assert source.tolist() == expected.source.tolist()
    assert is_rolled.tolist() == expected.is_rolled.tolist()


@pytest.mark.parametrize("implementation", [by_strips, by_index, by_convolution])
@pytest.mark.parametrize("amounts", [(3, 0), (0, 4)])
def test_reflection_as_long_as_the_axis_is_refused(implementation, amounts):
    with pytest.raises((InputError, RuntimeError)):
        implementation(torch.zeros(1, 1, 3, WIDTH, dtype=torch.float64), amounts, ("reflect", "reflect"))


@pytest.mark.parametrize("amounts", [((0, 0), (0, 0)), ((1, 1), (1, 1)), ((0, 2), (1, 0)), ((3, 1), (2, 3))], ids=str)
def test_padded_pixels_of_a_cube_are_means_of_two(amounts):
    (top, bottom), (left, right) = amounts
    size, (one, other) = 4, torch.from_numpy(padded_pixels(4, (top, left), (bottom, right)))
    matrix = F.one_hot(torch.stack([one, other]).flatten(1), 6 * size * size).double().mean(0)
    x = torch.randn(2, 3, *Cubemap(size).shape, dtype=torch.float64)
    expected = (x.flatten(2) @ matrix.T).unflatten(2, one.shape)
    torch.testing.assert_close(pad_cube(x, *amounts), expected)
    y = torch.randn_like(expected)
    torch.testing.assert_close(pad_cube_adjoint(y.clone(), *amounts), (y.flatten(2) @ matrix).view_as(x))

    taps = torch.eye((top + bottom + 1) * (left + right + 1), dtype=torch.float64)
    kernels = taps.view(-1, 1, 1, top + bottom + 1, left + right + 1)
    conv = make_grid_conv(Cubemap(size).conv_neighbours(), kernels.shape[3:], 1, amounts, 1, 1)
    y = conv(x.flatten(0, 1)[:, None], kernels, None)
    first, last = y[:, 0], y[:, -1]  # the windows of the first and of the last tap
    torch.testing.assert_close(first, expected.flatten(0, 1)[..., :size, :size])
    torch.testing.assert_close(last, expected.flatten(0, 1)[..., top + bottom :, left + right :])


def test_traced_programs_read_the_same_pixels_of_a_cube():
    strip = border_strips.cube_strips(4, (1, 2), (3, 1))[1]
    x = torch.zeros(Cubemap(4).shape)
    assert torch.equal(indices_in_graph(x, *strip), strip._indices(x))
