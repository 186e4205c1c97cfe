"""How two answers to one panorama differ: place by place, and summed up over places and panoramas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from omniconv.errors import InputError

STEADY = 1e-3
"""Answers that vary by less than this share of their size are measured by that share: a constant has no spread."""
TINY = 1e-30

Binning = Callable[[np.ndarray], np.ndarray]
"""From values by pixel ``(H, W)`` to sums, each pixel with its area."""


@dataclass(frozen=True, eq=False)
class Change:
    """What differs between two answers.

    Attributes:
        squares: squared difference of all channels together, ``(H, W)``.
        flips: where the best class differs, ``(H, W)``; ``None`` where answers are no classes.
        spread: what ``squares`` would be on average between an answer and its own mean.
    """

    squares: np.ndarray
    flips: np.ndarray | None
    spread: float


def change(one: np.ndarray, other: np.ndarray, areas: np.ndarray, classes: bool) -> Change:
    """What differs between an answer ``(K, H, W)`` and another one, measured by the first.

    Args:
        one: the answer that sets the scale.
        other: of the same shape.
        areas: of the pixels, ``(H, W)``.
        classes: channels are scores of classes; a single one is a score against 0.
    """
    flips = best(one) != best(other) if classes else None
    return Change(((one - other) ** 2).sum(axis=0), flips, _spread(one, areas))


def best(answer: np.ndarray) -> np.ndarray:
    """The class of the highest score, ``(…, K, H, W)`` to ``(…, H, W)``; of a single score whether it is above 0."""
    return answer.argmax(axis=-3) if answer.shape[-3] > 1 else (answer[..., 0, :, :] > 0).astype(np.int64)


def are_classes(answer: np.ndarray, classes: bool | None) -> bool:
    """Whether channels are taken for scores of classes: as said, else wherever there are several.

    Raises:
        InputError: said, but neither true, false nor ``None``.
    """
    if classes not in (True, False, None):
        raise InputError("classes", classes, "must be True, False or None", "use None: several channels are classes")
    return len(answer) > 1 if classes is None else bool(classes)


class Tally:
    """Changes summed up over panoramas, in bins."""

    def __init__(self) -> None:
        self._squares = self._flips = self._weights = np.zeros(())
        self._spread, self._count, self._classes = 0.0, 0, True

    def add(self, found: Change, binned: Binning) -> None:
        """Count a change, summed up by bins."""
        self._squares = self._squares + binned(found.squares)
        self._weights = self._weights + binned(np.ones_like(found.squares))
        self._classes = found.flips is not None
        if found.flips is not None:
            self._flips = self._flips + binned(found.flips.astype(np.float64))
        self._spread += found.spread
        self._count += 1

    @property
    def weights(self) -> np.ndarray:
        """Areas that were counted, by bin."""
        return self._weights

    @property
    def changed(self) -> np.ndarray | None:
        """Share of the area whose class changes, by bin; not-a-number where nothing was counted."""
        return _ratio(self._flips, self._weights) if self._classes else None

    @property
    def squared(self) -> np.ndarray:
        """Mean squared difference as a share of the answers' own, by bin."""
        return _ratio(self._squares, self._weights) / (self._spread / self._count)

    @property
    def difference(self) -> np.ndarray:
        """Root of ``squared``: 0 is no change, 1 as far apart as the answer lies from its own mean."""
        return np.sqrt(self.squared)


def _ratio(sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.divide(sums, weights, out=np.full(np.shape(weights), np.nan), where=np.asarray(weights) > 0)


def _spread(answer: np.ndarray, areas: np.ndarray) -> float:
    """Mean squared distance from the mean: over the sphere; of a vector over its entries; of one number from 0."""
    share = areas / areas.sum()
    size = float((answer**2 * share).sum())
    whole = answer.shape[1:] == (1, 1)
    mean = answer.mean() * (len(answer) > 1) if whole else (answer * share).sum(axis=(1, 2), keepdims=True)
    return max(float(((answer - mean) ** 2 * share).sum()), STEADY**2 * size, TINY)
