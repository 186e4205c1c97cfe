"""The small whole numbers of an explanation, and how numbers and places are written."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from omniconv.explain.geometry import Place
from omniconv.explain.results import Number

PLUS = " +\u00a0"  # lines break before it
MOST_LISTED = 6
MOST_DISTINCT = 99  # beyond it samples are digits: two figures are what a cell can hold


def ramp(sizes: Sequence[int], seed: int) -> list[int]:
    """Samples 1, 2, 3, … in reading order; digits drawn from ``seed`` where there are more than 99."""
    count = prod(sizes)
    if count <= MOST_DISTINCT:
        return list(range(1, count + 1))
    return np.random.default_rng(seed).integers(1, 10, count).tolist()


def shuffled(sizes: Sequence[int], seed: int) -> list[int]:
    """The numbers of ``ramp`` in an order drawn from ``seed``."""
    return np.random.default_rng(seed).permutation(ramp(sizes, seed)).tolist()


def kernel_weights(kernel: Sequence[int], seed: int) -> list[int]:
    """Weights from −1 to 2 drawn from ``seed``, not all of them 0."""
    weights = np.random.default_rng(seed).integers(-1, 3, prod(kernel)).tolist()
    return weights if any(weights) else [1, *weights[1:]]


def number_text(number: Number) -> str:
    """A number with a real minus and at most two decimals.

    Example:
        >>> number_text(-3), number_text(2.5), number_text(1 / 3)
        ('−3', '2.5', '0.33')
    """
    text = f"{number:.2f}".rstrip("0").rstrip(".") if isinstance(number, float) else str(number)
    return "0" if text == "-0" else text.replace("-", "−")


def factor_text(number: Number) -> str:
    """A number as a factor: below 0 in brackets."""
    return f"({number_text(number)})" if number < 0 else number_text(number)


def equals(number: Number) -> str:
    """``= 0.5`` or ``≈ 0.33``."""
    sign = "=" if round(number, 2) == number else "≈"
    return f"{sign}\u00a0{number_text(number)}"


def place_text(place: Place) -> str:
    """``3`` on a row, ``(0, 2)`` on a grid."""
    inner = ", ".join(map(number_text, place))
    return inner if len(place) == 1 else f"({inner})"


def listed(entries: Sequence[str], separator: str = "; ") -> str:
    """The first few of some entries, and how many more there are."""
    more = [f"{len(entries) - MOST_LISTED} more"] if len(entries) > MOST_LISTED else []
    return separator.join([*entries[:MOST_LISTED], *more])


def unbroken(text: str) -> str:
    """A text that no line breaks in."""
    return text.replace(" ", "\u00a0")


def sizes_text(sizes: Sequence[int]) -> str:
    """``5 × 8``."""
    return " × ".join(map(str, sizes))
