from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import linalg, stats

from omniconv.errors import InputError
from omniconv.metrics import floor_halves, frechet_distance, kernel_distance, sliced_wasserstein


def normal(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def with_moments(mean, covariance, n=50, seed=0):
    """Samples whose mean and covariance are exactly the given ones."""
    x = normal(n, len(mean), seed)
    x -= x.mean(0)
    white = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return mean + white @ np.linalg.cholesky(covariance).T


def test_frechet_distance_of_diagonal_normal_distributions_has_its_closed_form():
    std_a, std_b, shift = np.array([1.0, 2.0, 0.5]), np.array([3.0, 0.1, 0.5]), np.array([1.0, -2.0, 0.0])
    a, b = with_moments(np.zeros(3), np.diag(std_a**2)), with_moments(shift, np.diag(std_b**2), seed=1)
    assert frechet_distance(a, b) == pytest.approx((shift**2).sum() + ((std_a - std_b) ** 2).sum(), rel=1e-9)


def test_frechet_distance_equals_the_formula_with_the_root_of_the_product():
    a, b = normal(40, 6) @ normal(6, 6, 1), normal(30, 6, 2) + 0.3
    c1, c2 = np.cov(a.T), np.cov(b.T)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(c1 + c2 - 2 * linalg.sqrtm(c1 @ c2).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("n", [3, 10, 200])
def test_frechet_distance_is_zero_on_equal_sets_also_of_low_rank(n):
    a = 1e3 * normal(n, 20)
    a[:, 5:] = a[:, :1]
    assert frechet_distance(a, a[::-1]) == pytest.approx(0, abs=1e-6 * np.var(a))


def test_frechet_distance_of_points_on_perpendicular_lines_adds_their_variances():
    t = np.linspace(-1, 1, 21)
    a, b = np.stack([t, 0 * t], 1), np.stack([0 * t, 2 * t], 1)
    assert frechet_distance(a, b) == pytest.approx(t.var(ddof=1) * 5, rel=1e-12)


@pytest.mark.parametrize("distance", [frechet_distance, lambda a, b: kernel_distance(a, b, 2, 50).mean])
def test_distances_do_not_change_under_rotation_and_permutation(distance):
    a, b = normal(50, 5), normal(50, 5, 1) * 2 + 1
    rotation = stats.ortho_group.rvs(5, random_state=0)
    order = np.random.default_rng(1).permutation(50)
    assert distance(a[order] @ rotation, b[order[::-1]] @ rotation) == pytest.approx(distance(a, b), rel=1e-9)


def test_kernel_distance_equals_a_loop_over_pairs():
    a, b = normal(8, 3), normal(8, 3, 1) + 0.5
    kernel = lambda x, y: (x @ y / 3 + 1) ** 3  # noqa: E731
    pairs = [(i, j) for i in range(8) for j in range(8) if i != j]
    within = sum(kernel(z[i], z[j]) for z in (a, b) for i, j in pairs) / len(pairs)
    across = sum(kernel(x, y) for x in a for y in b) / 64
    found = kernel_distance(a, b, subsets=3)
    assert found.mean == pytest.approx(within - 2 * across, rel=1e-9)
    assert found.std == pytest.approx(0, abs=1e-9)


def test_kernel_distance_is_that_of_torchmetrics():
    from torchmetrics.image.kid import poly_mmd

    a, b = normal(30, 4), normal(30, 4, 1) + 1
    expected = poly_mmd(*map(torch.from_numpy, (a, b))).item()
    assert kernel_distance(a, b, subsets=1).mean == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_is_unbiased():
    a, b = normal(4000, 3), normal(4000, 3, 1)
    found = kernel_distance(a, b, subsets=100, subset_size=40)
    assert abs(found.mean) < 4 * found.std / 10 + 0.02


def test_sliced_wasserstein_in_one_dimension_is_scipys():
    a, b = normal(30, 1), normal(47, 1, 1) * 2 + 0.3
    assert sliced_wasserstein(a, b, 3) == pytest.approx(stats.wasserstein_distance(a[:, 0], b[:, 0]), rel=1e-12)


def test_sliced_wasserstein_of_a_shift_is_the_mean_projection_of_it():
    a = normal(20, 8)
    shift = np.zeros(8)
    shift[0] = 3.0
    expected = 3 * np.sqrt(2 / (np.pi * 8))
    assert sliced_wasserstein(a, a + shift, 4096) == pytest.approx(expected, rel=0.08)
    assert sliced_wasserstein(a, a[::-1]) == pytest.approx(0, abs=1e-12)


def test_random_choices_follow_the_seed():
    a, b = normal(60, 4), normal(60, 4, 1)
    assert kernel_distance(a, b, 5, 20, seed=1) == kernel_distance(a, b, 5, 20, seed=1)
    assert kernel_distance(a, b, 5, 20, seed=1) != kernel_distance(a, b, 5, 20, seed=2)
    assert sliced_wasserstein(a, b, 5, seed=1) == sliced_wasserstein(a, b, 5, seed=1)


def test_halves_are_disjoint_and_of_one_distribution():
    features = normal(400, 3)
    one, other = floor_halves(features, 100)
    assert len(one) == len(other) == 100
    assert not {tuple(x) for x in one} & {tuple(x) for x in other}
    assert frechet_distance(one, other) < 0.3


def test_tensors_are_accepted():
    a = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(a, a.half()) < 1e-4


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        (np.zeros((1, 3)), np.zeros((4, 3)), r"features_a=\(1, 3\): must be \(n, d\) with n of at least 2"),
        (np.zeros((4, 3)), np.zeros((4, 2)), r"features_b=\(4, 2\): must have 3 columns"),
        (np.full((4, 3), np.nan), np.zeros((4, 3)), r"features_a=\(4, 3\): has NaN or infinity"),
        (np.zeros(4), np.zeros((4, 3)), r"features_a=\(4,\): must be \(n, d\)"),
    ],
)
@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance, sliced_wasserstein])
def test_wrong_features_are_refused(distance, a, b, text):
    with pytest.raises(InputError, match=text):
        distance(a, b)
