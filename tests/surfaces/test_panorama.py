from __future__ import annotations

import numpy as np
import pytest
from fields import linear, on_panorama, rotation_about, smooth
from hypothesis import given, settings
from hypothesis import strategies as st

from omniconv.errors import InputError
from omniconv.surfaces import panorama

size = st.integers(1, 20)


@settings(deadline=None, max_examples=30)
@given(height=size, width=size)
def test_areas_sum_to_four_pi_and_directions_are_unit(height, width):
    assert panorama.pixel_areas(height, width).sum() == pytest.approx(4 * np.pi, rel=1e-14)
    np.testing.assert_allclose(np.linalg.norm(panorama.pixel_directions(height, width), axis=-1), 1, rtol=1e-14)


def test_row_zero_is_north_and_columns_run_eastward():
    directions = panorama.pixel_directions(180, 360)
    latitude = np.degrees(np.arcsin(directions[..., 2]))
    longitude = np.degrees(np.arctan2(directions[..., 1], directions[..., 0]))
    np.testing.assert_allclose(latitude, np.broadcast_to(89.5 - np.arange(180)[:, None], (180, 360)), atol=1e-9)
    np.testing.assert_allclose(longitude, np.broadcast_to(-179.5 + np.arange(360), (180, 360)), atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(height=size, width=size)
def test_coordinates_of_pixel_centres_are_whole(height, width):
    rows, columns = panorama.pixel_coordinates(panorama.pixel_directions(height, width), height, width)
    np.testing.assert_allclose(rows, np.broadcast_to(np.arange(height)[:, None], rows.shape), atol=1e-9)
    np.testing.assert_allclose(columns, np.broadcast_to(np.arange(width), rows.shape), atol=1e-9)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_sampling_at_pixel_centres_gives_the_pixels(mode):
    image = np.random.default_rng(0).random((2, 6, 12))
    np.testing.assert_allclose(panorama.sample(image, panorama.pixel_directions(6, 12), mode), image, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(height=size, width=size, new_height=size, new_width=size, mode=st.sampled_from(["linear", "nearest"]))
def test_constants_are_kept_by_sampling_and_resizing(height, width, new_height, new_width, mode):
    image = np.full((2, height, width), 0.7)
    directions = panorama.pixel_directions(new_height, new_width)
    np.testing.assert_allclose(panorama.sample(image, directions, mode), 0.7, rtol=1e-12)
    resized = panorama.resize(image, new_height, new_width, mode)
    assert resized.shape == (2, new_height, new_width)
    np.testing.assert_allclose(resized, 0.7, rtol=1e-12)


def test_sampling_matrix_is_sampling():
    image = np.random.default_rng(0).random((6, 12))
    directions = np.random.default_rng(1).normal(size=(50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    by_matrix = panorama.bilinear_matrix(directions, 6, 12) @ image.ravel()
    np.testing.assert_allclose(by_matrix, panorama.sample(image, directions), atol=1e-12)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_sampling_error_falls_by_four_when_the_spacing_halves(axis):
    rotation = rotation_about(axis, 0.7)
    errors = []
    for height in (32, 64):
        found = panorama.rotate(on_panorama(linear, height), rotation)
        wanted = linear(panorama.pixel_directions(height, 2 * height) @ rotation)
        errors.append(np.abs(found - wanted).max())
    assert errors[1] < 0.005
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.2)


@pytest.mark.parametrize(("old", "new"), [(16, 32), (32, 16), (24, 36), (30, 18)])
def test_resizing_keeps_smooth_fields(old, new):
    found = panorama.resize(on_panorama(smooth, old), new, 2 * new)
    assert np.abs(found - on_panorama(smooth, new)).max() < 0.12


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 99), height=st.integers(1, 9), width=st.integers(1, 16), step=st.integers(-40, 40))
def test_rotation_by_whole_columns_is_a_roll(seed, height, width, step):
    image = np.random.default_rng(seed).random((height, width))
    rotation = rotation_about("z", step * 2 * np.pi / width)
    np.testing.assert_allclose(panorama.rotate(image, rotation), np.roll(image, step, axis=-1), atol=1e-11)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_rotation_and_its_inverse_restore_the_field(axis):
    image, rotation = on_panorama(smooth, 64), rotation_about(axis, 1.1)
    back = panorama.rotate(panorama.rotate(image, rotation), rotation.T)
    assert np.abs(back - image).max() < 0.03


def test_labels_stay_labels():
    labels = np.array([3, 7, 250], dtype=np.uint8)[np.random.default_rng(0).integers(0, 3, (12, 24))]
    turned = panorama.rotate(labels, rotation_about("x", 0.4), "nearest")
    for result in (turned, panorama.resize(labels, 7, 31, "nearest")):
        assert result.dtype == np.uint8
        assert set(np.unique(result)) <= {3, 7, 250}


@pytest.mark.parametrize(
    ("given_type", "result_type"), [("uint8", "float32"), ("float32", "float32"), ("float64",) * 2]
)
def test_linear_results_are_floating_point(given_type, result_type):
    image = np.arange(32).reshape(4, 8).astype(given_type)
    assert panorama.resize(image, 5, 10).dtype == result_type
    assert panorama.sample(image, panorama.pixel_directions(2, 4)).dtype == result_type


@settings(deadline=None, max_examples=20)
@given(
    height=st.integers(1, 6), half=st.integers(1, 5), new_height=size, times=st.integers(1, 3), turn=st.integers(1, 9)
)
def test_resizing_has_no_seam(height, half, new_height, times, turn):
    image = np.random.default_rng(height).random((height, 2 * half))
    resized = panorama.resize(image, new_height, 2 * half * times)
    turned = panorama.resize(np.roll(image, turn, -1), new_height, 2 * half * times)
    np.testing.assert_allclose(turned, np.roll(resized, turn * times, -1), atol=1e-12)


def test_padding_continues_over_the_pole():
    image = np.arange(8).reshape(2, 4)
    assert panorama.pad_panorama(image, 1, 1).tolist() == [
        [1, 2, 3, 0, 1, 2], [3, 0, 1, 2, 3, 0], [7, 4, 5, 6, 7, 4], [5, 6, 7, 4, 5, 6],
    ]  # fmt: skip


@pytest.mark.parametrize("rotation", [np.eye(2), 2 * np.eye(3), np.zeros((3, 3))])
def test_matrices_that_are_no_rotations_are_rejected(rotation):
    with pytest.raises(InputError, match=r"rotation=\(\d, \d\): must be an orthogonal 3×3 matrix"):
        panorama.rotate(np.zeros((4, 8)), rotation)
