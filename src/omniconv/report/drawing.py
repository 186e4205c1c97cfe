"""How every chart is drawn: its type, its ink, its names, and its way into a page."""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1b2733"  # replaced by the page's own text colour, light or dark
WIDTH, HEIGHT = 5.0, 3.0  # inches of 96 pixels: two charts stand side by side on a desktop
LONGEST_NAME = 24


@contextmanager
def chart_style() -> Iterator[None]:
    """Matplotlib's own defaults and ours, whatever the user's settings, for the time of one chart."""
    from matplotlib import style

    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color")
    ours: dict[str, Any] = dict.fromkeys(inked, INK)
    ours |= {"svg.fonttype": "none", "svg.hashsalt": "omniconv", "text.parse_math": False, "font.size": 10}
    ours |= {"axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 11, "lines.linewidth": 1.8}
    ours |= {"axes.grid": True, "axes.grid.axis": "y", "axes.axisbelow": True, "grid.alpha": 0.15}
    with style.context(["default", ours]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the reader's own fonts draw the text
        yield


def new_chart(title: str, x_label: str, y_label: str) -> tuple[Figure, Axes]:
    """An empty chart with its title and the names of its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontweight="bold", pad=10)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return figure, axes


def name_colours(figure: Figure, drawn: Sequence[Any], names: Iterable[str]) -> None:
    """A legend beneath the chart, which grows by the legend's lines."""
    short = [truncated_name(name) for name in names]
    columns = max(1, 60 // (6 + max(map(len, short))))
    figure.set_figheight(HEIGHT + 0.22 * -(-len(short) // columns))
    figure.legend(drawn, short, ncols=columns, loc="outside lower left", frameon=False, columnspacing=1.6)


def name_places(axes: Axes, names: Sequence[str], room: int) -> None:
    """Names along the horizontal axis, slanted where the longest has more letters than there is room for."""
    short = [truncated_name(name) for name in names]
    slanted = max(map(len, short)) > room
    turn: dict[str, Any] = {"rotation": 45, "ha": "right"} if slanted else {"rotation": 0, "ha": "center"}
    axes.set_xticks(range(len(names)), short, rotation_mode="anchor", **turn)
    axes.tick_params(length=0)


def truncated_name(name: str) -> str:
    """The name on one line, ending in an ellipsis where it is too long for a chart."""
    line = " ".join(name.split())
    return line if len(line) <= LONGEST_NAME else line[: LONGEST_NAME - 1].rstrip() + "…"


def as_svg(figure: Figure, title: str) -> str:
    """The figure as one ``<svg>`` element: no date, no fixed ink, no name that another chart has too."""
    buffer = io.StringIO()
    unsaid = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, bbox_inches="tight", metadata=unsaid)
    text = buffer.getvalue().replace(INK, "currentColor")
    text = re.sub(r' id="[\w.]+_\d+"', "", text[text.index("<svg") :])  # they would repeat on a page of many charts
    return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(title)}" ', 1)
