from __future__ import annotations

import re

import numpy as np
import pytest
from fields import rotation_about

from omniconv.errors import InputError
from omniconv.surfaces import Icosahedron, surface
from omniconv.surfaces.icosahedron import faces
from omniconv.surfaces.icosahedron.interpolation import locate

SIZES = [20, 80, 320, 1280, 5120, 20480, 81920, 327680, 1310720]
RIGHT, LEFT, LOW = 1, 2, 3
SECTIONS = [  # the published neighbours (right, left, low) of the twenty base faces, counted from 1
    (2, 5, 6), (3, 1, 7), (4, 2, 8), (5, 3, 9), (1, 4, 10), (15, 11, 1), (11, 12, 2), (12, 13, 3), (13, 14, 4),
    (14, 15, 5), (7, 6, 16), (8, 7, 17), (9, 8, 18), (10, 9, 19), (6, 10, 20), (20, 17, 11), (16, 18, 12), (17, 19, 13),
    (18, 20, 14), (19, 16, 15),
]  # fmt: skip
OFFSETS = [(0, 0), (1, 0), (-1, 0), (0, 1), (2, 0), (1, -1), (-1, -1), (-2, 0), (-1, 1), (1, 1)]
BACK = [0, 1, 2, 3, 7, 8, 9, 4, 5, 6]  # the opposite tap of each tap


def table(level):
    return faces.ten_taps(level)


def lattice(level):
    """Column and row of every face in its base face, as published: rows from the apex, even columns + rows point up."""
    x, y = np.zeros(20, dtype=int), np.zeros(20, dtype=int)
    for _ in range(level):
        points_up = (x + y) % 2 == 0
        turn = np.where(points_up, 1, -1)
        columns = [2 * x, 2 * x, 2 * x - turn, 2 * x + turn]
        rows = [2 * y + points_up, 2 * y + ~points_up, 2 * y + points_up, 2 * y + points_up]
        x, y = np.stack(columns, axis=1).ravel(), np.stack(rows, axis=1).ravel()
    return x, y


def rotations():
    """The matrices of the sixty rotations of the icosahedron."""
    corners = faces.corners(0)
    start = np.linalg.inv(corners[0].T)
    return [np.roll(face, shift, axis=0).T @ start for face in corners for shift in range(3)]


def shared_corners(level, tap):
    """Whether the neighbour at a tap has each corner (apex, left, right) of a face, ``(F, 3)``."""
    corners = faces.corners(level)
    there = corners[table(level)[:, tap]]
    return (np.abs(corners[:, :, None] - there[:, None]).max(-1) < 1e-9).any(2)


@pytest.mark.parametrize(("level", "size"), list(enumerate(SIZES)))
def test_sizes_are_published(level, size):
    assert surface(f"icosahedron:{level}") == Icosahedron(level)
    assert Icosahedron(level).shape == (size,)
    assert Icosahedron(level).panorama_height() == 8 * 2**level
    assert Icosahedron(level).latitude_axis is None


@pytest.mark.parametrize("level", range(7))
def test_directions_are_unit_and_areas_sum_to_four_pi(level):
    sphere = Icosahedron(level)
    assert sphere.directions().shape == (*sphere.shape, 3)
    np.testing.assert_allclose(np.linalg.norm(sphere.directions(), axis=1), 1, rtol=1e-14)
    assert sphere.areas().sum() == pytest.approx(4 * np.pi, rel=1e-14)
    assert sphere.areas().max() / sphere.areas().min() < 1.31


@pytest.mark.parametrize("level", range(1, 7))
def test_four_children_tile_their_parent(level):
    fine, coarse = Icosahedron(level), Icosahedron(level).coarser()
    np.testing.assert_allclose(fine.areas().reshape(-1, 4).sum(1), coarse.areas(), rtol=1e-13)
    np.testing.assert_array_equal(locate(level - 1, fine.directions()), np.arange(fine.shape[0]) // 4)
    assert coarse.finer() == fine


@pytest.mark.parametrize("level", range(7))
def test_every_face_contains_its_centre_and_is_counter_clockwise(level):
    corners = faces.corners(level)
    assert (np.linalg.det(corners) > 0).all()
    np.testing.assert_array_equal(locate(level, Icosahedron(level).directions()), np.arange(20 * 4**level))


@pytest.mark.parametrize("level", range(5))
def test_taps_lie_at_the_named_sides(level):
    shared = [(0, 2), (0, 1), (1, 2), (2,), (0,), (0,), (1,), (1,), (2,)]  # corners: apex, left, right
    for tap, corners in enumerate(shared, start=1):
        wanted = np.isin(np.arange(3), corners)
        np.testing.assert_array_equal(shared_corners(level, tap), np.tile(wanted, (20 * 4**level, 1)))


def test_base_faces_are_adjacent_as_published():
    np.testing.assert_array_equal(table(0)[:, 1:4] + 1, SECTIONS)


@pytest.mark.parametrize("level", range(5))
def test_faces_that_point_up_have_north_above_and_east_to_the_right(level):
    x, y = lattice(level)
    hanging_base = np.isin(np.arange(20), [*range(5, 10), *range(15, 20)]).repeat(4**level)
    apex, left, right = np.moveaxis(faces.corners(level), 1, 0)
    up = np.where(((x + y) % 2 == 0) != hanging_base, 1, -1)
    assert (up * (2 * apex - left - right)[:, 2] > 0).all()
    assert (up * (left[:, 0] * right[:, 1] - left[:, 1] * right[:, 0]) > 0).all()  # eastward about the z axis


@pytest.mark.parametrize("level", range(1, 5))
def test_taps_inside_a_base_face_have_the_published_offsets(level):
    x, y = lattice(level)
    turn = np.where((x + y) % 2 == 0, 1, -1)
    base = np.arange(20).repeat(4**level)
    published = base * 4**level + y**2 + y + x  # the published number of every face
    ours = np.argsort(published)
    for tap, (across, down) in enumerate(OFFSETS):
        column, row = x + turn * across, y + turn * down
        inside = (abs(column) <= row) & (row < 2**level)
        wanted = ours[(base * 4**level + row**2 + row + column)[inside]]
        np.testing.assert_array_equal(table(level)[inside, tap], wanted)
        assert inside.mean() > 1 - 2 / 2**level


@pytest.mark.parametrize("level", range(5))
def test_ten_taps_are_ten_faces_everywhere(level):
    assert (np.diff(np.sort(table(level), axis=1), axis=1) > 0).all()


@pytest.mark.parametrize("level", range(5))
def test_adjacency_is_symmetric(level):
    operators = Icosahedron(level).conv_neighbours().operators
    for ring in (operators[1:4], operators[4:]):
        together = sum(ring[1:], start=ring[0])
        assert abs(together - together.T).max() == 0
        assert set(np.diff(together.tocsr().indptr)) == {len(ring)}


@pytest.mark.parametrize("level", range(5))
def test_every_tap_has_an_opposite_tap_except_at_the_seams_of_the_caps(level):
    taps = table(level)
    here = np.arange(len(taps))
    assert (taps[taps[:, LOW], LOW] == here).all()
    at_seam = taps[taps[:, RIGHT], RIGHT] != here
    assert at_seam.sum() == 10 * 2**level
    assert (taps[taps[at_seam, RIGHT], LEFT] == here[at_seam]).all()
    for tap, back in enumerate(BACK):
        returned = taps[taps[:, tap], back] == here
        assert (~returned).sum() <= 30 * 2**level


@pytest.mark.parametrize("level", range(4))
def test_a_rotation_by_72_degrees_permutes_faces_and_keeps_taps(level):
    shifted = np.roll(np.arange(20 * 4**level).reshape(4, 5, -1), -1, axis=1).ravel()  # where each face goes
    directions = Icosahedron(level).directions()
    np.testing.assert_allclose(directions[shifted], directions @ rotation_about("z", 2 * np.pi / 5).T, atol=1e-14)
    np.testing.assert_array_equal(table(level)[shifted], shifted[table(level)])


@pytest.mark.parametrize("level", [0, 2])
def test_isotropic_sums_commute_with_the_sixty_rotations(level):
    directions, operators = Icosahedron(level).directions(), Icosahedron(level).conv_neighbours().operators
    near, far = sum(operators[2:4], start=operators[1]), sum(operators[5:], start=operators[4])
    found = set()
    for rotation in rotations():
        moved = locate(level, directions @ rotation.T)
        np.testing.assert_allclose(directions[moved], directions @ rotation.T, atol=1e-13)
        for together in (near, far, Icosahedron(level).pool_neighbours().operators[0] if level else near):
            rows = moved if together.shape[0] == len(moved) else moved.reshape(-1, 4)[:, 0] // 4
            assert abs(together[rows][:, moved] - together).max() < 1e-13
        found.add(moved.tobytes())
    assert len(found) == 60


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("level", [1, 3])
def test_stride_two_keeps_the_central_children(level, kernel_size):
    sphere = Icosahedron(level)
    full, strided = sphere.conv_neighbours(kernel_size), sphere.conv_neighbours(kernel_size, stride=2)
    assert (strided.outputs, strided.inputs) == (sphere.coarser().shape[0], sphere.shape[0])
    for every, kept in zip(full.operators, strided.operators, strict=True):
        assert abs(every[::4] - kept).max() == 0
    middles = sphere.directions()[::4]
    assert np.abs(middles - sphere.coarser().directions()).max() < 0.05 / 8 ** (level - 1)


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_transposed_convolution_inserts_zeros_except_at_central_children(kernel_size):
    signal = np.random.default_rng(0).normal(size=Icosahedron(1).shape)
    spread = np.zeros(Icosahedron(2).shape)
    spread[::4] = signal
    up, fine = Icosahedron(1).transposed_neighbours(kernel_size), Icosahedron(2).conv_neighbours(kernel_size)
    assert (up.outputs, up.inputs) == (320, 80)
    np.testing.assert_allclose(up.fused @ signal, fine.fused @ spread, rtol=1e-14)
    same = Icosahedron(2).transposed_neighbours(kernel_size, stride=1)
    np.testing.assert_allclose(same.fused @ spread, fine.fused @ spread, rtol=1e-14)


def test_transposed_is_the_adjoint_away_from_the_caps():
    up, down = Icosahedron(2).transposed_neighbours(), Icosahedron(3).conv_neighbours(stride=2)
    band = np.abs(Icosahedron(2).directions()[:, 2]) < 0.3
    for tap, back in enumerate(BACK):
        assert abs((down.operators[tap].T - up.operators[back])[:, band]).max() == 0
    for ring in ([0], [1, 2, 3], [4, 5, 6, 7, 8, 9]):
        difference = sum(down.operators[tap].T - up.operators[tap] for tap in ring)
        assert abs(difference).max() == 0  # everywhere, where the taps of a ring share one weight


@pytest.mark.parametrize("level", range(1, 6))
def test_pooling_keeps_the_mean_over_the_sphere(level):
    sphere = Icosahedron(level)
    operator = sphere.pool_neighbours().operators[0]
    signal = np.random.default_rng(0).normal(size=sphere.shape) + 5
    np.testing.assert_allclose(sphere.coarser().areas() @ (operator @ signal), sphere.areas() @ signal, rtol=1e-13)
    np.testing.assert_allclose(operator.sum(axis=1), 1, rtol=1e-15)
    np.testing.assert_array_equal(operator.indices.reshape(-1, 4), np.arange(sphere.shape[0]).reshape(-1, 4))
    assert operator.data.min() > 0.2


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda: Icosahedron(9), "level=9: must be a whole number from 0 to 8; use level=5 for 20,480 samples"),
        (lambda: Icosahedron(1.0), "level=1.0: must be a whole number"),
        (lambda: Icosahedron(0).coarser(), "level=0: has no coarser level: an icosahedron of level L allows L steps"),
        (lambda: Icosahedron(0).conv_neighbours(3, 2), "level=0: has no coarser level"),
        (lambda: Icosahedron(8).finer(), "level=9: must be a whole number from 0 to 8"),
        (lambda: Icosahedron(1).conv_neighbours(5), "kernel_size=5: must be 3 (the ten taps) or 1 (the face alone)"),
        (lambda: Icosahedron(1).conv_neighbours(3, 3), "stride=3: must be 1 or 2 on an icosahedron"),
        (lambda: Icosahedron(1).conv_neighbours(3, 1, 2), "dilation=2: must be 1 on an icosahedron"),
        (lambda: Icosahedron(1).transposed_neighbours(3, 4), "stride=4: must be 1 or 2 on an icosahedron"),
        (lambda: Icosahedron(1).pool_neighbours(3, 2), "kernel_size=3: must be 2 on an icosahedron"),
        (lambda: Icosahedron(1).pool_neighbours(2, 1), "stride=1: must be 2"),
        (lambda: Icosahedron(1).resize_neighbours(4), "scale_factor=4: must be 2 on an icosahedron"),
        (lambda: surface("icosahedron"), "needs a level; write icosahedron:5 for level 5"),
    ],
)
def test_unsupported_arguments_are_rejected(ask, text):
    with pytest.raises(InputError, match=re.escape(text)):
        ask()
