from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from fields import on_panorama, smooth

from omniconv.errors import InputError
from omniconv.surfaces import (
    Cubemap,
    Equirectangular,
    Healpix,
    Icosphere,
    Plane,
    View,
    into_panorama,
    into_surface,
    panorama,
    view_of,
)

SIGHTS = [(0, 0, 0), (90, 0, 0), (180, 0, 0), (-90, 0, 0), (0, 90, 0), (0, -90, 0)]
VIEWS = [
    View((24, 32), 60, 30, -20),
    View((16, 16), 100, 179, 85, 40),
    View((9, 31), 120, -70, 0, 200),
    View((40, 20), 10, 5, -90, -30),
]


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_six_views_are_the_faces_of_a_cube(size):
    shown = [View((size, size), 90, *angles).directions() for angles in SIGHTS]
    np.testing.assert_allclose(np.stack(shown), Cubemap(size).directions(), atol=1e-15)


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_coordinates_of_pixel_centres_are_whole(view):
    row, column = view.coordinates(view.directions())
    np.testing.assert_allclose(row, np.broadcast_to(np.arange(view.size[0])[:, None], view.size), atol=1e-9)
    np.testing.assert_allclose(column, np.broadcast_to(np.arange(view.size[1]), view.size), atol=1e-9)
    assert np.isnan(view.coordinates(-view.directions())).all()
    np.testing.assert_allclose(view.axes @ view.axes.T, np.eye(3), atol=1e-15)


@pytest.mark.parametrize("field_of_view", [0.1, 60, 90, 179])
def test_field_of_view_spans_the_width(field_of_view):
    view = View((3, 5), field_of_view, 20, 30, 40)
    edge = 2.5 * view.spacing * view.axes[1] + view.axes[0]
    assert np.degrees(np.arctan2(edge @ view.axes[1], edge @ view.axes[0])) == pytest.approx(field_of_view / 2)


@pytest.mark.parametrize("roll", [0, 77])
@pytest.mark.parametrize(("row", "column"), [(20, 40), (1, 127), (62, 3), (31, 64)])
def test_point_in_the_direction_lands_in_the_middle(row, column, roll):
    image = np.zeros((64, 128))
    image[row, column] = 1
    longitude, latitude = -180 + (column + 0.5) * 360 / 128, 90 - (row + 0.5) * 180 / 64
    for mode in ("linear", "nearest"):
        shown = view_of(image, View((31, 41), 30, longitude, latitude, roll), mode=mode)
        assert shown[15, 20] == pytest.approx(1)
    weight = view_of(image, View((31, 41), 30, longitude, latitude, roll))
    if abs(latitude) < 30:
        centre = (np.indices(weight.shape) * weight).sum(axis=(1, 2)) / weight.sum()
        np.testing.assert_allclose(centre, (15, 20), atol=0.5)


def test_columns_run_east_and_rows_south_and_roll_turns_clockwise():
    view = View((3, 3), 20, 40, 10)
    row, column = view.coordinates(panorama.unit_vectors(np.radians([15, 10]), np.radians([40, 45])))
    assert row[0] < 0.5
    assert column[1] > 1.5
    np.testing.assert_allclose(column[0], 1, atol=1e-9)
    turned = View((3, 3), 20, 40, 10, 90)
    np.testing.assert_allclose(np.rot90(view.directions()), turned.directions(), atol=1e-12)


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_great_circles_are_straight(view):
    one, other = view.directions()[0, 0], view.directions()[-1, -2]
    steps = np.linspace(0, 1, 9)[:, None]
    arc = one * (1 - steps) + other * steps
    row, column = view.coordinates(arc / np.linalg.norm(arc, axis=1, keepdims=True))
    away = (row - row[0]) * (column[-1] - column[0]) - (column - column[0]) * (row[-1] - row[0])
    np.testing.assert_allclose(away, 0, atol=1e-8)


@pytest.mark.parametrize("view", VIEWS[:3], ids=str)
def test_error_of_a_view_falls_by_four_when_the_spacing_halves(view):
    view = replace(view, size=(8 * view.size[0], 8 * view.size[1]))  # as fine as the panoramas: no averages
    errors = [np.abs(view_of(on_panorama(smooth, n), view) - smooth(view.directions())).max() for n in (64, 128)]
    assert errors[0] / errors[1] > 3.5


@pytest.mark.parametrize("surface", [Icosphere(5), Healpix(32), Cubemap(32)], ids=str)
def test_views_of_any_surface(surface):
    view = VIEWS[0]
    shown = view_of(smooth(surface.directions()), view, surface)
    np.testing.assert_allclose(shown, smooth(view.directions()), atol=0.01)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_constants_are_kept_in_both_directions(view, mode):
    shown = view_of(np.full((2, 16, 32), 0.7), view, mode=mode)
    assert shown.shape == (2, *view.size)
    np.testing.assert_allclose(shown, 0.7, rtol=1e-12)
    signal, covered = into_panorama(shown, view, 48, mode)
    assert signal.shape == (2, 48, 96)
    np.testing.assert_allclose(signal, np.broadcast_to(np.where(covered > 0, 0.7, 0), signal.shape), rtol=1e-12)


def test_projecting_back_restores_the_panorama():
    errors = []
    for height in (64, 128):
        image = on_panorama(smooth, height)
        view = View((height // 2, height // 2), 70, 100, 50, 15)
        signal, covered = into_panorama(view_of(image, view), view, height)
        assert 0.05 < (covered == 1).mean() < 0.5
        row, column = view.coordinates(panorama.pixel_directions(height, 2 * height))
        within = (np.minimum(row, column) >= 0) & (np.maximum(row, column) <= view.size[0] - 1)  # its outermost centres
        errors.append(np.abs(signal - image)[within].max())
        np.testing.assert_allclose(signal[covered == 1], image[covered == 1], atol=0.03)
    assert errors[0] / errors[1] > 3.2
    assert errors[1] < 0.01


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_covered_area_is_the_solid_angle_of_the_view(view):
    tangent = np.tan(np.radians(view.field_of_view) / 2)
    across, along = tangent, tangent * view.size[0] / view.size[1]
    solid_angle = 4 * np.arctan(across * along / np.sqrt(1 + across**2 + along**2))
    areas = panorama.pixel_areas(256, 512)
    for mode in ("linear", "nearest"):
        _, covered = into_panorama(np.ones(view.size), view, 256, mode)
        assert (covered * areas).sum() == pytest.approx(solid_angle, rel=0.03)


def test_fine_images_are_averaged_where_they_shrink():
    checks = np.indices((400, 400)).sum(axis=0) % 2 * 1.0
    signal, covered = into_panorama(checks, View((400, 400), 80), 64)
    np.testing.assert_allclose(signal[covered == 1], 0.5, atol=0.02)
    shown = view_of(np.indices((256, 512)).sum(axis=0) % 2 * 1.0, View((12, 12), 80))
    np.testing.assert_allclose(shown, 0.5, atol=0.1)


def test_coverage_is_fractional_at_the_edge():
    _, covered = into_panorama(np.ones((400, 400)), View((400, 400), 80, 0.3), 64)
    assert covered.dtype == np.float32
    assert ((covered > 0) & (covered < 1)).sum() > 40
    assert covered[32, 64] == 1
    assert covered[32, 0] == 0


@pytest.mark.parametrize("surface", [Icosphere(4), Healpix(16), Cubemap(16)], ids=str)
def test_images_are_projected_onto_any_surface(surface):
    view = View((64, 64), 90, 20, 30)
    signal, covered = into_surface(smooth(view.directions())[None], view, surface)
    assert signal.shape == (1, *surface.shape)
    full = covered == 1
    assert full.mean() == pytest.approx(1 / 6, abs=0.06)
    np.testing.assert_allclose(signal[0][full], smooth(surface.directions())[full], atol=0.04)


def test_labels_stay_labels():
    labels = np.random.default_rng(0).integers(1, 5, (32, 64)).astype(np.uint8)
    shown = view_of(labels, VIEWS[0], mode="nearest")
    assert shown.dtype == np.uint8
    assert set(shown.ravel()) <= {1, 2, 3, 4}
    signal, covered = into_panorama(shown, VIEWS[0], 32, "nearest")
    assert signal.dtype == np.uint8
    assert covered.dtype == bool
    assert set(signal[covered]) <= {1, 2, 3, 4}
    assert not signal[~covered].any()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_linear_result_is_floating_point(dtype):
    result = np.result_type(dtype, np.float32)
    shown = view_of(np.ones((32, 64), dtype), View((8, 8)))
    assert shown.dtype == result
    assert into_panorama(np.ones((8, 8), dtype), View((8, 8)), 16)[0].dtype == result


def test_views_of_one_pixel_and_spheres_of_few_samples():
    assert view_of(np.ones((1, 1)), View((1, 1), 179)) == pytest.approx(1)
    signal, covered = into_panorama(np.ones((1, 1)), View((1, 1), 179), 1)
    assert signal.shape == covered.shape == (1, 2)


def test_views_between_coarse_samples_cover_nothing():
    signal, covered = into_panorama(np.ones((4, 4)), View((4, 4), 0.001, 45.0, 1.0), 4, "nearest")
    assert not covered.any()
    assert not signal.any()


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda: View((8, 8), 180), "field_of_view=180: must be between 0 and 180 degrees; use 90"),
        (lambda: View((8, 8), 0), "field_of_view=0: must be between 0 and 180 degrees"),
        (lambda: View((8, 8), -5.0), "field_of_view=-5.0"),
        (lambda: View((8, 8), float("nan")), "field_of_view=nan"),
        (lambda: View((8, 8), "wide"), "field_of_view='wide'"),
        (lambda: View((8, 8), latitude=91), "latitude=91: must be a number from −90 to 90, in degrees"),
        (lambda: View((8, 8), longitude=float("inf")), "longitude=inf: must be a number, in degrees"),
        (lambda: View((8, 8), roll=None), "roll=None: must be a number, in degrees"),
        (lambda: View(8), "size=8: must be (height, width), whole numbers from 1"),
        (lambda: View((8, 0)), "size=(8, 0)"),
        (lambda: View((8, 8.5)), "size=(8, 8.5)"),
        (lambda: view_of(np.ones(8), View((8, 8))), "signal=(8,): must have at least 2 axes"),
        (lambda: view_of(np.ones((8, 16)), View((8, 8)), Plane()), "has no directions on a sphere"),
        (lambda: view_of(np.ones((8, 16)), View((8, 8)), Icosphere(2)), "must end in the shape (162,)"),
        (lambda: view_of(np.ones((8, 16)), View((8, 8)), mode="cubic"), "mode='cubic'"),
        (lambda: view_of(np.full((8, 16), "a"), View((8, 8))), "must have a numeric dtype"),
        (lambda: into_panorama(np.ones((8, 9)), View((8, 8)), 16), "picture=(8, 9): must end in the view's size"),
        (lambda: into_panorama(np.full((8, 8), "a"), View((8, 8)), 16), "must have a numeric dtype"),
        (lambda: into_panorama(np.ones((8, 8)), View((8, 8)), 0), "must be 2 whole numbers from 1"),
        (lambda: into_panorama(np.ones((8, 8)), View((8, 8)), 16, "cubic"), "mode='cubic'"),
        (lambda: into_surface(np.ones((8, 8)), View((8, 8)), Plane(), (4, 4)), "has no directions on a sphere"),
        (lambda: into_surface(np.ones((8, 8)), View((8, 8)), Equirectangular()), "shape=None: is required"),
    ],
)  # fmt: skip
def test_invalid_arguments_are_rejected(ask, text):
    with pytest.raises(InputError, match=re.escape(text)):
        ask()
