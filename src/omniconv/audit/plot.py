"""An audit as one picture: what was found in words, where in the panorama, by latitude, and at the seam."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING

import numpy as np

from omniconv.audit.bands import LatitudeBands
from omniconv.audit.run import Audit
from omniconv.audit.verdict import LEVELS, percent
from omniconv.report.drawing import INK, chart_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

WIDTH, DOTS = 11.0, 110
"""Inches, and dots in each."""
LINE = 0.19
"""Height of a line of text in inches."""
LETTERS = 138
"""Letters in a line of the findings."""
COLOURS = dict(zip(LEVELS, ("#2e8b57", "#d9a400", "#e06c00", "#c62828"), strict=True)) | {None: "#5b6b7b"}
TURNED, ALONE = "#0072b2", "#8a97a3"
UNSEEN = "#c9d0d6"
LEAST = 0.02
"""Where the scale of the map ends at the least: 2 %."""
PARALLELS, MERIDIANS = (-90, -60, -30, 0, 30, 60, 90), (-180, -120, -60, 0, 60, 120, 180)


def draw(audit: Audit, panorama: np.ndarray | None = None) -> bytes:
    """The picture as a PNG file.

    Args:
        audit: what was found.
        panorama: one of those that were shown, ``(3, H, W)`` in 0 … 1, to be seen beside the map.
    """
    from matplotlib.figure import Figure

    texts = _texts(audit)
    top = LINE * (sum(text.count("\n") + 1 for _, text in texts) + 0.45 * len(texts)) + 0.75
    body = 5.6 if audit.borders is not None else 2.9
    with chart_style():
        figure = Figure(figsize=(WIDTH, top + body), layout="constrained", dpi=DOTS)
        words, charts = np.asarray(figure.subfigures(2, 1, height_ratios=[top, body]))
        _write(words, audit, texts, top)
        if audit.borders is None:
            _whole(charts.add_subplot(), audit)
        else:
            _maps(charts, audit, panorama)
        return _png(figure)


def _texts(audit: Audit) -> list[tuple[str | None, str]]:
    """Findings and notes, each with its level and broken into lines."""
    found = [(finding.level, str(finding)) for finding in audit.verdict]
    texts = [*found, *((None, note) for note in audit.notes)]
    return [(level, textwrap.fill(text.replace(" %", "\u00a0%"), LETTERS)) for level, text in texts]


def _write(words: SubFigure, audit: Audit, texts: list[tuple[str | None, str]], height: float) -> None:
    many = f"{audit.panoramas} panorama{'s' * (audit.panoramas > 1)} of {audit.size[0]} × {audit.size[1]}"
    words.text(0.015, 1 - 0.12 / height, audit.network, fontsize=14, fontweight="bold", va="top")
    words.text(0.985, 1 - 0.16 / height, many, fontsize=10, va="top", ha="right", alpha=0.7)
    place = 0.6
    for level, text in texts:
        lines = text.count("\n") + 1
        y = 1 - place / height
        words.text(0.015, y, "■", color=COLOURS[level], va="top", fontsize=11)
        words.text(0.035, y, text, va="top", linespacing=1.25)
        place += LINE * (lines + 0.45)


def _maps(charts: SubFigure, audit: Audit, panorama: np.ndarray | None) -> None:
    beside = 2 if audit.quality is not None else 1
    grid = charts.add_gridspec(2, 1 + beside, width_ratios=[4.2, *[1.25] * beside], height_ratios=[1.55, 1])
    _map(charts, charts.add_subplot(grid[0, 0]), audit)
    _steadiness(charts.add_subplot(grid[0, 1]), audit)
    if audit.quality is not None:
        _quality(charts.add_subplot(grid[0, 2]), audit.quality)
    _seam(charts.add_subplot(grid[1, 0]), audit)
    if panorama is not None:
        _shown(charts.add_subplot(grid[1, 1:]), panorama)


def _map(charts: SubFigure, axes: Axes, audit: Audit) -> None:
    from matplotlib import colormaps

    found = audit.borders
    if found is None:  # drawn where there is one
        return
    values = np.clip(found.excess, 0, None)
    known = values[np.isfinite(values)]
    top = max(LEAST, float(np.quantile(known, 0.995))) if known.size else LEAST
    colours = colormaps["YlOrRd"].with_extremes(bad=UNSEEN)
    shown = axes.imshow(100 * values, cmap=colours, vmin=0, vmax=100 * top, extent=(-180, 180, -90, 90), aspect="auto",
                        interpolation="nearest")  # fmt: skip
    _title(axes, f"Where {_what(audit)} depends on the place's position in the picture")
    unseen = " (grey: hardly ever turned to the middle)" if np.isnan(values).any() else ""
    axes.set(xlabel=f"longitude{unseen}", ylabel="latitude")
    axes.set_xticks(MERIDIANS, [f"{degrees}°" for degrees in MERIDIANS])
    _parallels(axes)
    axes.grid(False)
    bar = charts.colorbar(shown, ax=axes, pad=0.01, fraction=0.04)
    bar.set_label("% more than in its middle")
    bar.outline.set_visible(False)


def _steadiness(axes: Axes, audit: Audit) -> None:
    found = audit.steadiness
    if found is None:
        return
    for name, colour, label in (
        (found.main, TURNED, "sphere turned"),
        (f"floor_{found.main}", ALONE, "resampled only"),
    ):
        _steps(axes, found, name, colour, label, 100)
    axes.set_xlim(left=0)
    axes.legend(loc="upper left", bbox_to_anchor=(-0.2, -0.1), fontsize=8.5, frameon=False, borderpad=0)
    _title(axes, f"Changes, {_unit(audit)}")


def _quality(axes: Axes, found: LatitudeBands) -> None:
    _steps(axes, found, found.main, INK, "", 1)
    _title(axes, "Against the labels")
    axes.set_xlabel({"iou": "mean IoU by area"}.get(found.main, found.main.upper()))


def _steps(axes: Axes, found: LatitudeBands, name: str, colour: str, label: str, scale: float) -> None:
    """A line along latitude that holds still within each band."""
    values = scale * np.repeat(found.measures[name], 2)
    latitudes = np.repeat(found.edges, 2)[1:-1]
    axes.plot(values, latitudes, color=colour, label=label)
    _parallels(axes)
    axes.grid(True, axis="both")


def _seam(axes: Axes, audit: Audit) -> None:
    shift = audit.shift
    for (name, turns), colour in zip(shift.named.items(), (TURNED, ALONE), strict=False):
        why = {"by others": ": its steps add to it"}.get(name, "")
        axes.plot(shift.degrees, 100 * np.array(turns.measure.by_distance), color=colour, label=name + why)
    axes.axvspan(0, 360 * shift.near / shift.width, color=TURNED, alpha=0.08, linewidth=0, label="at the seam")
    axes.set_xlim(0, 180)
    axes.set_ylim(bottom=0, top=max(axes.get_ylim()[1], 100 * LEAST))
    axes.set_xticks(range(0, 181, 30), [f"{degrees}°" for degrees in range(0, 181, 30)])
    axes.legend(loc="best", fontsize=8, framealpha=0.85, edgecolor="none")
    _title(axes, f"How much {_what(audit)} changes when the panorama is cut elsewhere")
    axes.set(xlabel="distance from the cut", ylabel=_unit(audit))


def _shown(axes: Axes, panorama: np.ndarray) -> None:
    axes.imshow(np.clip(np.moveaxis(panorama, 0, -1), 0, 1), extent=(-180, 180, -90, 90))
    _title(axes, "One of the panoramas")
    axes.set_axis_off()


def _whole(axes: Axes, audit: Audit) -> None:
    """Bars for a network that gives one answer for the whole."""
    turns = {f"cut elsewhere,\n{name}": found for name, found in audit.shift.named.items()}
    values = {name: (found.difference.everywhere, found.measure.everywhere) for name, found in turns.items()}
    for name, loss in (("sphere turned\nat random", audit.rotation.turned), ("resampled only", audit.rotation.floor)):
        values[name] = loss.difference, loss.measure
    classes = audit.rotation.turned.changed is not None
    bars = axes.bar(list(values), [100 * difference for difference, _ in values.values()], 0.6, color=TURNED)
    texts = [f"{percent(first)}\n{percent(then)} change class" if classes else percent(first)
             for first, then in values.values()]  # fmt: skip
    axes.bar_label(bars, texts, padding=2)
    axes.set_ylim(0, max(100 * LEAST, 130 * max(difference for difference, _ in values.values())))
    _title(axes, "How much the scores change" if classes else "How much the answer changes")
    axes.set_ylabel("% of their spread" if classes else "% of its size")


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontweight="bold", fontsize=10)


def _parallels(axes: Axes) -> None:
    axes.set_ylim(-90, 90)
    axes.set_yticks(PARALLELS, [f"{degrees}°" for degrees in PARALLELS])


def _what(audit: Audit) -> str:
    return "the answer" if audit.rotation.turned.changed is None else "the class"


def _unit(audit: Audit) -> str:
    if audit.rotation.turned.changed is None:
        return "% of its spread"
    return "% of the area"


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="white", metadata={"Software": None})
    return buffer.getvalue()
