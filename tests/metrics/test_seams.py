from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from omniconv.errors import InputError
from omniconv.metrics import cube_faces, frechet_distance, omni_frechet_distance, pole_scores, seam_score
from omniconv.surfaces import panorama


def noise(n=8, channels=2, height=32, width=64, seed=0):
    return np.random.default_rng(seed).normal(size=(n, channels, height, width))


def smooth(n=16):
    """Random functions of low degree on the sphere, without a seam."""
    x, y, z = np.moveaxis(panorama.pixel_directions(32, 64), -1, 0)
    basis = np.stack([x, y, z, x * y, y * z, z * x, x * x - y * y, x * y * z, x**3 - 3 * x * y * y])
    random = np.random.default_rng(0)
    images = np.einsum("nck,khw->nchw", random.normal(size=(n, 1, 9)), basis)
    # The derivative of these functions by longitude vanishes at the seam or is largest there: turn each image.
    return np.stack([np.roll(image, random.integers(64), axis=-1) for image in images])


def test_score_equals_the_published_formula():
    x = noise(2, 1, 10, 14)
    kernel = np.outer([3, 10, 3], [1, 0, -1]) / 32
    rolled = np.roll(x, 7, axis=-1)  # the seam in the middle, away from the borders of scipy's filter
    a = np.stack([ndimage.convolve(image[0], kernel)[1:-1] for image in rolled])
    a1, a2, a3, a4 = (np.abs(a[..., 7 + i]) for i in (-2, -1, 0, 1))
    expected = 0.5 * (a2 / (a1 + 0.2) + a3 / (a4 + 0.2)).mean()
    assert seam_score(x, offset=0.2).score == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("make", [noise, smooth])
def test_images_without_a_seam_have_a_ratio_of_one(make):
    found = seam_score(make())
    assert abs(found.score - found.elsewhere) < 3 * found.spread
    assert found.ratio == pytest.approx(1, abs=0.5)


@pytest.mark.parametrize("make", [noise, smooth])
def test_a_step_at_the_seam_is_found_and_one_elsewhere_is_none(make):
    ramp = 8 * np.linspace(0, 1, 64)
    at_seam = seam_score(make() + ramp)
    assert at_seam.ratio > 1.5
    assert at_seam.score > at_seam.elsewhere + 10 * at_seam.spread
    moved = seam_score(np.roll(make() + ramp, 20, axis=-1))
    assert moved.score < moved.elsewhere + moved.spread


def test_all_columns_together_do_not_depend_on_the_yaw():
    x = noise()
    one, turned = seam_score(x), seam_score(np.roll(x, 9, axis=-1))
    total = [found.score + 63 * found.elsewhere for found in (one, turned)]
    assert total[0] == pytest.approx(total[1], rel=1e-9)


def test_scores_do_not_depend_on_units():
    x = noise(2)
    assert seam_score(1000 * x + 5) == pytest.approx(seam_score(x), rel=1e-6)
    assert pole_scores(1000 * x + 5)[1] == pytest.approx(pole_scores(x)[1], rel=1e-6)


def test_constant_images_have_no_seam():
    assert seam_score(np.ones((1, 1, 8, 8))).ratio == pytest.approx(1)


def test_a_step_across_one_pole_is_found_there_only():
    x = noise(16)
    west = np.where(np.arange(64) < 32, 6.0, 0.0) * np.exp(-np.arange(32) / 4)[:, None]
    (north, south), (before, other) = pole_scores(x + west), pole_scores(x)
    assert north.ratio > 1.4 * before.ratio
    assert south.ratio == pytest.approx(other.ratio, rel=0.2)
    flipped = pole_scores((x + west)[..., ::-1, :])
    assert flipped[1].score == pytest.approx(north.score, rel=1e-9)


def test_noise_is_alike_across_poles_and_rows():
    for found in pole_scores(noise(32)):
        assert abs(found.score - found.elsewhere) < 4 * found.spread


def test_pole_scores_do_not_depend_on_the_yaw():
    x = noise(2)
    for one, turned in zip(pole_scores(x), pole_scores(np.roll(x, 10, axis=-1)), strict=True):
        assert turned == pytest.approx(one, rel=1e-9)


def test_faces_show_their_directions():
    z = panorama.pixel_directions(64, 128)[..., 2]
    faces = cube_faces(z[None, None], 8)
    assert faces["up"].min() > 0.5
    assert faces["down"].max() < -0.5
    assert faces["sides"].shape == (4, 1, 8, 8)
    assert faces["sides"].mean((1, 2, 3)) == pytest.approx(0, abs=1e-6)


def test_faces_of_a_panorama_turned_by_a_quarter_are_the_same_sides():
    x = noise(1, 1)
    one, turned = cube_faces(x, 8), cube_faces(np.roll(x, 16, axis=-1), 8)
    assert np.roll(turned["sides"], -1, axis=0) == pytest.approx(one["sides"], abs=1e-6)
    assert turned["up"][0, 0] == pytest.approx(np.rot90(one["up"][0, 0], k=1), abs=1e-6) or turned["up"][
        0, 0
    ] == pytest.approx(np.rot90(one["up"][0, 0], k=-1), abs=1e-6)


def test_distance_of_faces_is_the_mean_of_three():
    a, b = noise(12, 3, 16, 32), noise(12, 3, 16, 32, seed=1)
    b[..., :4, :] += 5  # only the face up
    features = lambda faces: faces.mean((2, 3))  # noqa: E731
    parts = [frechet_distance(features(x), features(y)) for x, y in zip(*(cube_faces(z).values() for z in (a, b)))]  # noqa: B905
    assert omni_frechet_distance(a, b, features) == pytest.approx(np.mean(parts), rel=1e-9)
    assert parts[0] > 20 * parts[1]


@pytest.mark.parametrize("function", [seam_score, pole_scores, cube_faces])
def test_wrong_panoramas_are_refused(function):
    with pytest.raises(InputError, match=r"images=\(1, 1, 4, 8\): must have at least 6 rows and 6 columns"):
        function(np.zeros((1, 1, 4, 8)))
    with pytest.raises(InputError, match=r"images=\(8, 16\): must be \(n, channels"):
        function(np.zeros((8, 16)))


def test_offset_is_checked():
    with pytest.raises(InputError, match="offset=0: must be above 0"):
        seam_score(noise(1), offset=0)
