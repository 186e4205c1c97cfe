"""Numbers as readers like them: one count of decimals in a column, about four digits that matter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

DIGITS = 4
ALONE = f",.{DIGITS}g"
MISSING = "–"


def is_number(value: object) -> bool:
    """Whether a value is a real number, of Python or NumPy; truth values are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def column_texts(values: Sequence[Any]) -> list[str]:
    """Write the values of one column.

    Whole numbers keep all digits, in groups of three; other numbers share as many decimals as show the largest with
    four digits. What is missing (``None``, not-a-number) is a dash; anything else is its own text.

    Example:
        >>> column_texts([0.5, 0.91234, None, "all"])
        ['0.5000', '0.9123', '–', 'all']
        >>> column_texts([1234567, 12])
        ['1,234,567', '12']
    """
    pattern = _pattern([float(value) for value in values if is_number(value) and not isinstance(value, Integral)])
    return [_text(value, pattern) for value in values]


def value_text(value: Any) -> str:
    """Write one value that stands alone: fractional numbers with at most four digits that matter.

    Example:
        >>> value_text(0.0003)
        '0.0003'
    """
    return _text(value, ALONE)


def _pattern(values: Sequence[float]) -> str:
    """The format that the fractional numbers of a column share."""
    sizes = [abs(value) for value in values if math.isfinite(value) and value != 0]
    if not sizes:
        return ".1f"
    if max(sizes) >= 10 ** (DIGITS - 1) * min(sizes) or max(sizes) < 1e-4:  # one count of decimals would hide some
        return ALONE
    return f",.{max(0, DIGITS - 1 - math.floor(math.log10(max(sizes))))}f"


def _text(value: Any, pattern: str) -> str:
    if value is None or (is_number(value) and math.isnan(value)):
        return MISSING
    if isinstance(value, Integral) and is_number(value):
        return f"{int(value):,}"
    return format(float(value), pattern) if is_number(value) else str(value)
