"""Differences between two outputs for one panorama, per pixel and accumulated over pixels and panoramas.

Two measures are used everywhere: the share of the area whose predicted class changes, and the root mean square
difference relative to the standard deviation of the reference output over the sphere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from omniconv.convert.network_output import predicted_class

MIN_RELATIVE_STD = 1e-3
"""Lower limit of the standard deviation, relative to the RMS of the output: an almost constant output would otherwise
be divided by its rounding noise."""
MIN_VARIANCE = 1e-30  # for an output of zeros only

Reduction = Callable[[np.ndarray], np.ndarray]
"""Reduce values per pixel ``(H, W)`` to area-weighted sums, one per bin."""


@dataclass(frozen=True, eq=False)
class Difference:
    """Difference of an output from a reference output."""

    squared: np.ndarray  # squared difference summed over channels, (H, W)
    class_changed: np.ndarray | None  # True where the predicted class differs; None if channels are not class scores
    variance: float  # area-weighted variance of the reference output, summed over channels


def difference(reference: np.ndarray, other: np.ndarray, areas: np.ndarray, class_scores: bool) -> Difference:
    """Compare two outputs ``(K, H, W)`` on pixels of areas ``(H, W)``; a single channel scores class 1 against 0."""
    changed = predicted_class(reference) != predicted_class(other) if class_scores else None
    return Difference(((reference - other) ** 2).sum(axis=0), changed, _variance(reference, areas))


class DifferenceAccumulator:
    """Area-weighted sums of differences over panoramas, in bins; ``areas`` is the accumulated area of each bin."""

    def __init__(self) -> None:
        self._squared = self._changed = self.areas = np.zeros(())
        self._variance, self._count, self._class_scores = 0.0, 0, True

    def add(self, change: Difference, reduce: Reduction) -> None:
        """Add one difference, reduced to bins by ``reduce``."""
        self._squared = self._squared + reduce(change.squared)
        self.areas = self.areas + reduce(np.ones_like(change.squared))
        self._class_scores = change.class_changed is not None
        if change.class_changed is not None:
            self._changed = self._changed + reduce(change.class_changed.astype(np.float64))
        self._variance += change.variance
        self._count += 1

    @property
    def changed(self) -> np.ndarray | None:
        """Share of the area whose class changes, per bin; NaN for empty bins, ``None`` without class scores."""
        return divide(self._changed, self.areas) if self._class_scores else None

    @property
    def squared(self) -> np.ndarray:
        """Mean squared difference relative to the mean variance of the references, per bin."""
        return divide(self._squared, self.areas) / (self._variance / self._count)

    @property
    def difference(self) -> np.ndarray:
        """Root of ``squared``: 0 for equal outputs, 1 for a difference of one standard deviation."""
        return np.sqrt(self.squared)

    def total(self) -> ChangeRate:
        """Return both measures of an accumulator with a single bin."""
        return ChangeRate(None if self.changed is None else float(self.changed), float(self.difference))


@dataclass(frozen=True)
class ChangeRate:
    """Amount by which an output changes.

    Attributes:
        changed: share of the area whose class changes (one output per image: share of the panoramas); ``None`` if
            channels are not class scores.
        difference: root mean square difference relative to the output's standard deviation.
    """

    changed: float | None
    difference: float

    @property
    def measure(self) -> float:
        """``changed``, or ``difference`` without class scores."""
        return self.difference if self.changed is None else self.changed

    @property
    def agreement(self) -> float | None:
        """Share of the area whose class does not change; ``None`` without class scores."""
        return None if self.changed is None else 1 - self.changed


def confidence(excesses: Sequence[float]) -> float:
    """Return half the width of the 95 % confidence interval of a mean, by Student's t; 0 for fewer than two values.

    Example:
        >>> round(confidence([0.1, 0.3, 0.2]), 3)
        0.248
    """
    values = np.asarray(excesses, dtype=np.float64)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return 0.0
    return float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))


def measure_of(change: Difference, weights: np.ndarray) -> float:
    """Return the measure of one difference, by pixel weights; NaN where they are 0."""
    accumulator = DifferenceAccumulator()
    accumulator.add(change, lambda values: (values * weights).sum())
    return accumulator.total().measure


def divide(sums: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Return area-weighted means from their sums; NaN where the area is 0."""
    return np.divide(sums, areas, out=np.full(np.shape(areas), np.nan), where=np.asarray(areas) > 0)


def _variance(output: np.ndarray, areas: np.ndarray) -> float:
    """Variance over the sphere; of a vector over its entries, of a single number its square."""
    weights = areas / areas.sum()
    mean_square = float((output**2 * weights).sum())
    if output.shape[1:] == (1, 1):
        mean = output.mean() if len(output) > 1 else 0.0
    else:
        mean = (output * weights).sum(axis=(1, 2), keepdims=True)
    variance = float(((output - mean) ** 2 * weights).sum())
    return max(variance, MIN_RELATIVE_STD**2 * mean_square, MIN_VARIANCE)
