"""Charts as inline SVG: text can be selected, text and lines have the page's text colour, output is deterministic."""

from __future__ import annotations

import html
import io
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from omniconv.checks import check_integer
from omniconv.errors import InputError, printable
from omniconv.report.pictures import palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE = (0.0, 0.447, 0.698)
INK = "#1b2733"  # placeholder for currentColor, which matplotlib does not know
WIDTH, HEIGHT = 5.0, 3.0  # inches of 96 pixels: two charts fit side by side on a desktop
MAX_NAME_LENGTH = 24
LINE_LETTERS = 60  # letters at font size 10 that fit the width of a chart


def curves(series: Mapping[str, Sequence[tuple[float, float]]], title: str, x_label: str, y_label: str) -> str:
    """Return a line chart as an ``<svg>`` element, such as the loss over the epochs; NaN leaves a gap in a line.

    Example:
        >>> curves({"train": [(1, 0.9), (2, 0.4)]}, "Loss", "epoch", "loss")[:4]
        '<svg'
    """
    check_integer("series", len(series), 1, "give at least one")
    with chart_style():
        figure, axes = _new_chart(title, x_label, y_label)
        for points, colour in zip(series.values(), _colours(len(series)), strict=True):
            table = np.array(points, float).reshape(-1, 2)
            marker = "o" if len(table) <= 30 else ""
            axes.plot(table[:, 0], table[:, 1], color=colour, marker=marker, markersize=3.5)
        if _has_integer_x(series):
            axes.locator_params(axis="x", integer=True, min_n_ticks=1)  # two ticks of one epoch would be fractions
        _add_legend(figure, axes.lines, series)
        return _to_svg(figure, title)


def bars(groups: Mapping[str, Mapping[str, float]], title: str, y_label: str) -> str:
    """Return a grouped bar chart as an ``<svg>`` element, such as the IoU of each surface in each latitude band.

    ``groups`` has the values of each group by series: one cluster of bars per group, one colour per series. A value
    that is missing or NaN leaves a gap.

    Example:
        >>> bars({"tropics": {"plane": 0.8, "sphere": 0.9}}, "IoU by latitude", "IoU")[:4]
        '<svg'
    """
    check_integer("groups", len(groups), 1, "give at least one")
    names = list(dict.fromkeys(name for values in groups.values() for name in values))
    check_integer("values", len(names), 1, "give at least one")
    width = 0.8 / len(names)
    with chart_style():
        figure, axes = _new_chart(title, "", y_label)
        for number, (name, colour) in enumerate(zip(names, _colours(len(names)), strict=True)):
            heights = [values.get(name, np.nan) for values in groups.values()]
            positions = np.arange(len(groups)) + (number - (len(names) - 1) / 2) * width
            container = axes.bar(positions, heights, width * 0.92, color=colour)
            if len(names) * len(groups) <= 10:
                labels = ["" if np.isnan(height) else f"{height:.3g}" for height in heights]
                axes.bar_label(container, labels, padding=2, fontsize=8)
        _label_groups(axes, list(groups), max_letters=LINE_LETTERS // len(groups))
        _add_legend(figure, axes.containers, names)
        return _to_svg(figure, title)


def confusion(matrix: np.ndarray, names: Sequence[str]) -> str:
    """Return a confusion matrix as an ``<svg>`` element, in percent of each true class; a row of zeros stays empty.

    ``matrix`` has counts: rows are true classes, columns predicted ones.

    Example:
        >>> confusion(np.array([[9, 1], [0, 10]]), ["sea", "land"])[:4]
        '<svg'
    """
    if matrix.shape != (len(names), len(names)) or not len(names):
        rule = "must have one row and one column per name"
        raise InputError("matrix", matrix.shape, rule, f"give counts of shape {(len(names), len(names))}")
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.full(matrix.shape, np.nan), where=totals > 0)
    with chart_style():
        figure, axes = _new_matrix_chart(names)
        for (row, column), share in np.ndenumerate(shares):
            if not np.isnan(share):
                _draw_cell(axes, row, column, share)
        return _to_svg(figure, "Confusion matrix")


def _new_matrix_chart(names: Sequence[str]) -> tuple[Figure, Axes]:
    figure, axes = _new_chart("", "predicted", "true, % of each row")
    side = min(0.52, 12 / len(names)) * len(names)
    figure.set_layout_engine("none")  # a layout engine would shrink the cells to make room for long names
    figure.set_size_inches(max(side, 1.6) / 0.775, max(side, 1.6) / 0.77)
    _label_groups(axes, names, max_letters=5)
    axes.set_yticks(range(len(names)), [_truncate_name(name) for name in names])
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5), aspect="equal")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return figure, axes


def _draw_cell(axes: Axes, row: int, column: int, share: float) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, color=(*BLUE, 0.06 + 0.94 * share), linewidth=0))
    colour = "white" if share > 0.5 else INK
    axes.text(column, row, f"{100 * share:.0f}", color=colour, ha="center", va="center", fontsize=9)


def _colours(count: int) -> np.ndarray:
    return palette(count + 1)[1:] / 255


def _has_integer_x(series: Mapping[str, Sequence[tuple[float, float]]]) -> bool:
    return all(float(x).is_integer() for points in series.values() for x, _ in points)


@contextmanager
def chart_style() -> Iterator[None]:
    """Context in which charts have one style, whatever the user's settings of matplotlib."""
    from matplotlib import style

    text_and_lines = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color")
    settings: dict[str, Any] = dict.fromkeys(text_and_lines, INK)
    settings |= {"svg.fonttype": "none", "svg.hashsalt": "omniconv", "text.parse_math": False, "font.size": 10}
    settings |= {"axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 11, "lines.linewidth": 1.8}
    settings |= {"axes.grid": True, "axes.grid.axis": "y", "axes.axisbelow": True, "grid.alpha": 0.15}
    with style.context(["default", settings]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser's fonts draw the text
        yield


def _new_chart(title: str, x_label: str, y_label: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontweight="bold", pad=10)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return figure, axes


def _add_legend(figure: Figure, artists: Sequence[Any], names: Iterable[str]) -> None:
    """Add a legend below the axes; the figure grows by its lines."""
    short = [_truncate_name(name) for name in names]
    columns = max(1, LINE_LETTERS // (6 + max(map(len, short))))  # 6 for the line's symbol and the gap
    figure.set_figheight(HEIGHT + 0.22 * math.ceil(len(short) / columns))  # 0.22 inches per line of the legend
    figure.legend(artists, short, ncols=columns, loc="outside lower left", frameon=False, columnspacing=1.6)


def _label_groups(axes: Axes, names: Sequence[str], max_letters: int) -> None:
    """Label the groups along the horizontal axis, slanted if a name has more than ``max_letters`` letters."""
    short = [_truncate_name(name) for name in names]
    slanted = max(map(len, short)) > max_letters
    layout: dict[str, Any] = {"rotation": 45, "ha": "right"} if slanted else {"rotation": 0, "ha": "center"}
    axes.set_xticks(range(len(names)), short, rotation_mode="anchor", **layout)
    axes.tick_params(length=0)


def _truncate_name(name: str) -> str:
    """Return the name on one line, with an ellipsis if it is too long."""
    line = printable(" ".join(name.split()))
    return line if len(line) <= MAX_NAME_LENGTH else line[: MAX_NAME_LENGTH - 1].rstrip() + "…"


def _to_svg(figure: Figure, title: str) -> str:
    """Return the figure as one ``<svg>`` element without date, whose text has the colour of the page's text."""
    buffer = io.StringIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, bbox_inches="tight", metadata=metadata)
    text = buffer.getvalue().replace(INK, "currentColor")
    # matplotlib numbers its elements (id="axes_1"), and ids must not repeat on a page of several charts.
    text = re.sub(r' id="[\w.]+_\d+"', "", text[text.index("<svg") :])
    return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(title)}" ', 1)
