"""Columns of a table: numbers as text, alignment, the best value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

from omniconv.errors import InputError

DIGITS = 4
SINGLE_FORMAT = f",.{DIGITS}g"
MISSING = "–"

CellValue = str | float | None
Best = str | Mapping[str, str] | None


class CellText(NamedTuple):
    """CellValue of a table as text."""

    text: str
    numeric: bool  # aligned as a number
    best: bool  # the best of its column


class Column(NamedTuple):
    """Column of a table; ``numeric`` if any of its cells is a number."""

    name: str
    numeric: bool
    cells: list[CellText]


def make_columns(
    header: Sequence[str], rows: Sequence[Sequence[CellValue]], best: Best, measures_in_rows: bool = False
) -> list[Column]:
    """Return the columns of a table; arguments as in :meth:`omniconv.report.page.Page.table`.

    Example:
        >>> [cell.best for cell in make_columns(["IoU"], [[0.81], [0.92]], best="max")[0].cells]
        [False, True]
    """
    for row in rows:
        if len(row) != len(header):
            raise InputError("rows", list(row), f"must have {len(header)} cells, as the header", "add the missing ones")
    choices = dict.fromkeys(header, best) if best is None or isinstance(best, str) else dict(best)
    if any(name not in header or choice not in ("max", "min", None) for name, choice in choices.items()):
        raise InputError("best", best, "must be max or min, for columns of the header", 'use best={"IoU": "max"}')
    columns = list(zip(*rows, strict=True)) or [()] * len(header)
    texts = list(zip(*map(column_texts, rows), strict=True)) if measures_in_rows else list(map(column_texts, columns))
    texts = texts or [()] * len(header)
    triples = zip(header, columns, texts, strict=True)
    return [_column(name, column, shown, choices.get(name)) for name, column, shown in triples]


def column_texts(values: Sequence[Any]) -> list[str]:
    """Return the texts of the values of one measure, such as those of a column.

    Integers keep all digits, in groups of three; other numbers have the number of decimals that shows the largest of
    them with four digits. ``None`` and NaN are a dash; everything else is converted by ``str``.

    Example:
        >>> column_texts([0.5, 0.91234, None, "all"])
        ['0.5000', '0.9123', '–', 'all']
        >>> column_texts([1234567, 12])
        ['1,234,567', '12']
    """
    sizes = [abs(float(value)) for value in values if is_number(value) and not isinstance(value, Integral)]
    sizes = [size for size in sizes if math.isfinite(size) and size > 0]
    if not sizes:
        number_format = ".1f"
    elif max(sizes) >= 10 ** (DIGITS - 1) * min(sizes) or max(sizes) < 1e-4:  # shared decimals would hide the smallest
        number_format = SINGLE_FORMAT
    else:
        number_format = f",.{max(0, DIGITS - 1 - math.floor(math.log10(max(sizes))))}f"
    return [value_text(value, number_format) for value in values]


def decimals(value: float) -> str:
    """Return a measure with four decimals, or two if it is 10 or more, such as a PSNR in dB.

    Example:
        >>> decimals(0.5), decimals(23.45678)
        ('0.5000', '23.46')
    """
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def value_text(value: Any, number_format: str = SINGLE_FORMAT) -> str:
    """Return the text of one value, by default with at most four significant digits.

    Example:
        >>> value_text(0.0003)
        '0.0003'
    """
    if value is None or (is_number(value) and math.isnan(value)):
        return MISSING
    if isinstance(value, Integral) and is_number(value):
        return f"{int(value):,}"
    return format(float(value), number_format) if is_number(value) else str(value)


def is_number(value: object) -> bool:
    """Return True for a real number of Python or NumPy other than a bool."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _column(name: str, values: Sequence[Any], texts: Sequence[str], choice: str | None) -> Column:
    numbers = [(value, text) for value, text in zip(values, texts, strict=True) if is_number(value) and value == value]
    numeric = any(map(is_number, values))
    # Compared as text: numbers that are rounded to the same text are all marked.
    best = {"max": max, "min": min}[choice](numbers)[1] if choice and numbers else None
    cells = [
        CellText(text, is_number(value) or (numeric and value is None), text == best)
        for value, text in zip(values, texts, strict=True)
    ]
    return Column(name, numeric, cells)
