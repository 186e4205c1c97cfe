"""Charts as inline SVG: text stays text, ink follows the page's colour, and one input gives one output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from omniconv.errors import InputError
from omniconv.report.checks import require_count
from omniconv.report.drawing import INK, as_svg, chart_style, name_colours, name_places, new_chart, truncated_name
from omniconv.report.pictures import palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE = (0.0, 0.447, 0.698)


def curves(series: Mapping[str, Sequence[tuple[float, float]]], title: str, x_label: str, y_label: str) -> str:
    """Draw lines, such as the loss over the epochs.

    Args:
        series: points (x, y) of each named line; not-a-number leaves a gap. At least one line.
        title: what the chart shows.
        x_label: what stands along the horizontal axis, with its unit.
        y_label: what stands along the vertical axis, with its unit.

    Returns:
        One ``<svg>`` element to put into a page.

    Raises:
        InputError: there is no line.

    Example:
        >>> curves({"train": [(1, 0.9), (2, 0.4)]}, "Loss", "epoch", "loss")[:4]
        '<svg'
    """
    require_count("series", len(series))
    with chart_style():
        figure, axes = new_chart(title, x_label, y_label)
        for points, colour in zip(series.values(), _colours(len(series)), strict=True):
            table = np.array(points, float).reshape(-1, 2)
            marker = "o" if len(table) <= 30 else ""
            axes.plot(table[:, 0], table[:, 1], color=colour, marker=marker, markersize=3.5)
        axes.locator_params(axis="x", integer=_whole(series))
        name_colours(figure, axes.lines, series)
        return as_svg(figure, title)


def bars(groups: Mapping[str, Mapping[str, float]], title: str, y_label: str) -> str:
    """Draw groups of bars, such as the IoU of each surface in each latitude band.

    Args:
        groups: the values of each group by the name of their series: one cluster of bars a group, one colour a
            series. A value that is missing or not a number leaves its place empty. At least one group.
        title: what the chart shows.
        y_label: what stands along the vertical axis, with its unit.

    Returns:
        One ``<svg>`` element to put into a page.

    Raises:
        InputError: there is no group or no value.

    Example:
        >>> bars({"tropics": {"plane": 0.8, "sphere": 0.9}}, "IoU by latitude", "IoU")[:4]
        '<svg'
    """
    require_count("groups", len(groups))
    names = list(dict.fromkeys(name for values in groups.values() for name in values))
    require_count("values", len(names))
    width = 0.8 / len(names)
    with chart_style():
        figure, axes = new_chart(title, "", y_label)
        for number, (name, colour) in enumerate(zip(names, _colours(len(names)), strict=True)):
            heights = [values.get(name, np.nan) for values in groups.values()]
            places = np.arange(len(groups)) + (number - (len(names) - 1) / 2) * width
            drawn = axes.bar(places, heights, width * 0.92, color=colour)
            if len(names) * len(groups) <= 10:
                labels = ["" if np.isnan(height) else f"{height:.3g}" for height in heights]
                axes.bar_label(drawn, labels, padding=2, fontsize=8)
        name_places(axes, list(groups), room=60 // len(groups))
        name_colours(figure, axes.containers, names)
        return as_svg(figure, title)


def confusion(matrix: np.ndarray, names: Sequence[str]) -> str:
    """Draw a confusion matrix in percent of each true class.

    Args:
        matrix: counts (classes, classes); row is the truth, column the prediction. A row without counts stays empty.
        names: the classes' names in the order of their labels.

    Returns:
        One ``<svg>`` element to put into a page.

    Raises:
        InputError: the matrix is not square, or its side is not the number of names.

    Example:
        >>> confusion(np.array([[9, 1], [0, 10]]), ["sea", "land"])[:4]
        '<svg'
    """
    if matrix.shape != (len(names), len(names)) or not len(names):
        rule = "must have one row and one column for each name"
        raise InputError("matrix", matrix.shape, rule, f"give counts of shape {(len(names), len(names))}")
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.full(matrix.shape, np.nan), where=totals > 0)
    with chart_style():
        figure, axes = _grid(names)
        for (row, column), share in np.ndenumerate(shares):
            if not np.isnan(share):
                _cell(axes, row, column, share)
        return as_svg(figure, "Confusion matrix")


def _grid(names: Sequence[str]) -> tuple[Figure, Axes]:
    figure, axes = new_chart("", "predicted", "true, % of each row")
    side = min(0.52, 12 / len(names)) * len(names)
    figure.set_layout_engine("none")  # each cell keeps its size, and the picture grows around them
    figure.set_size_inches(max(side, 1.6) / 0.775, max(side, 1.6) / 0.77)
    name_places(axes, names, room=5)
    axes.set_yticks(range(len(names)), [truncated_name(name) for name in names])
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5), aspect="equal")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return figure, axes


def _cell(axes: Axes, row: int, column: int, share: float) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, color=(*BLUE, 0.06 + 0.94 * share), linewidth=0))
    colour = "white" if share > 0.5 else INK
    axes.text(column, row, f"{100 * share:.0f}", color=colour, ha="center", va="center", fontsize=9)


def _colours(count: int) -> np.ndarray:
    return palette(count + 1)[1:] / 255


def _whole(series: Mapping[str, Sequence[tuple[float, float]]]) -> bool:
    return all(float(x).is_integer() for points in series.values() for x, _ in points)
