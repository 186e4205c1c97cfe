from __future__ import annotations

import numpy as np
import pytest

from omniconv.errors import InputError
from omniconv.metrics import expected_coverage, manifold_metrics, manifolds


def normal(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def reference(real, fake, k):
    """The four definitions, pair by pair."""
    distance = lambda x, y: np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))  # noqa: E731
    radius = lambda x: np.sort(distance(x, x), axis=1)[:, k]  # noqa: E731
    across = distance(real, fake)
    inside = across <= radius(real)[:, None]
    return (
        inside.any(0).mean(),
        (across <= radius(fake)[None]).any(1).mean(),
        inside.sum(0).mean() / k,
        inside.any(1).mean(),
    )


@pytest.mark.parametrize("block", [manifolds.BLOCK_ELEMENTS, 200, 1])
@pytest.mark.parametrize("k", [1, 5])
def test_metrics_equal_their_definitions_in_blocks_of_any_size(monkeypatch, block, k):
    monkeypatch.setattr(manifolds, "BLOCK_ELEMENTS", block)
    real, fake = normal(60, 3) + 100, normal(45, 3, 1) * 0.8 + 100.5
    assert manifold_metrics(real, fake, k) == pytest.approx(reference(real, fake, k), abs=1e-12)


def test_equal_distributions_have_the_expected_coverage_and_density():
    found = [manifold_metrics(normal(800, 6, i), normal(800, 6, 100 + i)) for i in range(3)]
    assert np.mean([one.coverage for one in found]) == pytest.approx(expected_coverage(800, 800), abs=0.015)
    assert np.mean([one.density for one in found]) == pytest.approx(1, abs=0.06)


def test_metrics_do_not_change_under_rotation_scale_and_permutation():
    real, fake = normal(50, 4), normal(50, 4, 1) + 0.4
    rotation = np.linalg.qr(normal(4, 4, 2))[0] * 7
    order = np.random.default_rng(3).permutation(50)
    moved = manifold_metrics(real[order] @ rotation + 5, fake[order[::-1]] @ rotation + 5)
    assert moved == pytest.approx(manifold_metrics(real, fake), abs=1e-12)


def test_a_missing_mode_lowers_recall_and_coverage_only():
    real = np.concatenate([normal(200, 3), normal(200, 3, 1) + 50])
    found = manifold_metrics(real, normal(400, 3, 2))
    assert found.precision > 0.9
    assert found.recall < 0.55
    assert found.coverage < 0.55


def test_copies_count_as_neighbours_although_the_image_itself_does_not():
    real = np.repeat(normal(10, 3), 3, axis=0)
    assert manifolds.neighbour_distances(real, 2) == pytest.approx(0, abs=1e-9)
    assert manifold_metrics(real, real, 2).coverage == 1  # a share of 30 of 30


def test_too_many_neighbours_are_refused():
    with pytest.raises(InputError, match="neighbours=5: must be smaller than the number of images, 5; use fewer"):
        manifold_metrics(normal(20, 2), normal(5, 2))
