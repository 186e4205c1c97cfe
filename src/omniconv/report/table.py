"""A table as HTML: numbers right-aligned, the best of a column bold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from omniconv.errors import InputError
from omniconv.report.numbers import column_texts, is_number


def table_html(
    header: Sequence[str],
    rows: Sequence[Sequence[str | float | None]],
    caption: str = "",
    best: str | Mapping[str, str] | None = None,
) -> str:
    """The ``<table>`` element of a table; :meth:`omniconv.report.page.Page.table` says what it takes.

    Raises:
        InputError: a row has more or fewer cells than the header, or ``best`` names no column or another choice.

    Example:
        >>> table_html(["IoU"], [[0.81], [0.92]], best="max").count("<strong>")
        1
    """
    for row in rows:
        if len(row) != len(header):
            raise InputError("rows", list(row), f"must have {len(header)} cells, as the header", "add the missing ones")
    choices = _choices(header, best)
    columns = [[row[place] for row in rows] for place in range(len(header))]
    cells = [_cells(column, choice) for column, choice in zip(columns, choices, strict=True)]
    heads = "".join(_head(name, column) for name, column in zip(header, columns, strict=True))
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in zip(*cells, strict=True))
    label = f"<caption>{escape(caption)}</caption>\n" if caption else ""
    return f"<table>\n{label}<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _choices(header: Sequence[str], best: str | Mapping[str, str] | None) -> list[str | None]:
    """For each column ``"max"``, ``"min"`` or ``None``."""
    by_name = dict.fromkeys(header, best) if best is None or isinstance(best, str) else dict(best)
    for name, choice in by_name.items():
        if name not in header or choice not in ("max", "min", None):
            raise InputError("best", best, "must be max or min, for columns of the header", 'use best={"IoU": "max"}')
    return [by_name.get(name) for name in header]


def _head(name: str, column: Sequence[Any]) -> str:
    kind = ' class="number"' if any(map(is_number, column)) else ""
    return f'<th scope="col"{kind}>{escape(name)}</th>'


def _cells(column: Sequence[Any], choice: str | None) -> list[str]:
    texts = column_texts(column)
    bold = _best_text(column, texts, choice)
    numeric = any(map(is_number, column))
    return [_cell(value, text, text == bold, numeric) for value, text in zip(column, texts, strict=True)]


def _cell(value: Any, text: str, bold: bool, numeric: bool) -> str:
    kind = ' class="number"' if is_number(value) or (numeric and value is None) else ""
    inner = f"<strong>{escape(text)}</strong>" if bold else escape(text)
    return f"<td{kind}>{inner}</td>"


def _best_text(column: Sequence[Any], texts: Sequence[str], choice: str | None) -> str | None:
    """How the best number of a column reads; numbers that read the same share the honour."""
    numbers = [(value, text) for value, text in zip(column, texts, strict=True) if is_number(value) and value == value]
    if choice is None or not numbers:
        return None
    return (max if choice == "max" else min)(numbers)[1]
