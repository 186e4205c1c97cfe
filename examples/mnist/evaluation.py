"""Measures of samples beside real digits, on features of a classifier that is trained here."""

from __future__ import annotations

from typing import Any

import numpy as np

from omniconv.metrics import (
    FeatureNetwork,
    authenticity,
    expected_coverage,
    frechet_distance,
    kernel_distance,
    manifold_metrics,
)

NEIGHBOURS = 5


def measure(samples: np.ndarray, real: np.ndarray, classifier: FeatureNetwork) -> dict[str, float]:
    """Return the measures of samples ``(n, 1, 28, 28)`` against as many real images, pixels in 0 … 1."""
    count = min(len(samples), len(real))
    one, other = classifier(real[:count]), classifier(samples[:count])
    manifolds = manifold_metrics(one, other, NEIGHBOURS)._asdict()
    return {
        "images": count,
        "frechet": frechet_distance(one, other),
        "kernel": kernel_distance(one, other).mean,
        **manifolds,
        "expected_coverage": expected_coverage(count, count, NEIGHBOURS),
    }


def conditional_accuracy(samples: np.ndarray, labels: np.ndarray, classifier: FeatureNetwork) -> float:
    """Return the share of samples that the classifier reads as the class that was asked for."""
    return float((classifier.classify(samples) == labels).mean())


def authentic(samples: np.ndarray, training: np.ndarray) -> float:
    """Return AuthPct of the pixels, a share: low for copies of training images."""
    return authenticity(samples, training)


def describe(classifier: FeatureNetwork, test: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Return hash, settings and test accuracy of the classifier."""
    return {
        "hash": classifier.hash,
        "settings": classifier.settings,
        "test_accuracy": conditional_accuracy(test, labels, classifier),
    }
