"""Audit as one image: verdict, map of position effects, profiles by latitude and by distance from the seam."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING

import numpy as np

from omniconv.audit.latitude import LatitudeBands
from omniconv.audit.run import Audit
from omniconv.audit.verdict import LEVELS, percent
from omniconv.errors import pluralize, printable
from omniconv.report.charts import INK, chart_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

WIDTH, DPI = 11.0, 110  # inches, dots per inch
LINE_HEIGHT, PARAGRAPH_GAP = 0.19, 0.45  # inches; lines between two grades
LINE_LENGTH = 138  # letters of the verdict per line that fit WIDTH at matplotlib's font size 10
COLOURS = dict(zip(LEVELS, ("#2e8b57", "#d9a400", "#e06c00", "#c62828"), strict=True)) | {None: "#5b6b7b"}
MEASURED, BASELINE = "#0072b2", "#8a97a3"
MISSING_COLOUR = "#c9d0d6"
MIN_RANGE = 0.02  # axes and colours reach at least 2 %, so that rounding is not drawn as a pattern
PARALLELS, MERIDIANS = (-90, -60, -30, 0, 30, 60, 90), (-180, -120, -60, 0, 60, 120, 180)


def draw(audit: Audit, panorama: np.ndarray | None = None) -> bytes:
    """Draw an audit as a PNG file.

    Args:
        audit: the measures.
        panorama: one of the panoramas, ``(3, H, W)`` from 0 to 1, to be shown too.
    """
    from matplotlib.figure import Figure

    texts = _verdict_lines(audit)
    top = LINE_HEIGHT * (sum(text.count("\n") + 1 for _, text in texts) + PARAGRAPH_GAP * len(texts)) + 0.75
    body = 5.6 if audit.position is not None else 2.9
    with chart_style():
        figure = Figure(figsize=(WIDTH, top + body), layout="constrained", dpi=DPI)
        header, charts = np.asarray(figure.subfigures(2, 1, height_ratios=[top, body]))
        _write_verdict(header, audit, texts, top)
        if audit.position is None:
            _draw_bars(charts.add_subplot(), audit)
        else:
            _draw_charts(charts, audit, panorama)
        return _png(figure)


def _verdict_lines(audit: Audit) -> list[tuple[str | None, str]]:
    """Return grades and notes, each with its level and wrapped text."""
    texts = [*((grade.level, str(grade)) for grade in audit.verdict), *((None, note) for note in audit.notes)]
    return [(level, textwrap.fill(text.replace(" %", "\u00a0%"), LINE_LENGTH)) for level, text in texts]


def _write_verdict(header: SubFigure, audit: Audit, texts: list[tuple[str | None, str]], height: float) -> None:
    count = f"{pluralize(audit.panoramas, 'panorama')} of {audit.size[0]} × {audit.size[1]}"
    header.text(0.015, 1 - 0.12 / height, printable(audit.network), fontsize=14, fontweight="bold", va="top")
    header.text(0.985, 1 - 0.16 / height, count, fontsize=10, va="top", ha="right", alpha=0.7)
    top = 0.6
    for level, text in texts:
        y = 1 - top / height
        header.text(0.015, y, "■", color=COLOURS[level], va="top", fontsize=11)
        header.text(0.035, y, text, va="top", linespacing=1.25)
        top += LINE_HEIGHT * (text.count("\n") + 1 + PARAGRAPH_GAP)


def _draw_charts(charts: SubFigure, audit: Audit, panorama: np.ndarray | None) -> None:
    profiles = 2 if audit.quality is not None else 1
    grid = charts.add_gridspec(2, 1 + profiles, width_ratios=[4.2, *[1.25] * profiles], height_ratios=[1.55, 1])
    _draw_map(charts, charts.add_subplot(grid[0, 0]), audit)
    _draw_rotation_by_latitude(charts.add_subplot(grid[0, 1]), audit)
    if audit.quality is not None:
        _draw_quality(charts.add_subplot(grid[0, 2]), audit.quality)
    _draw_seam_profile(charts.add_subplot(grid[1, 0]), audit)
    if panorama is not None:
        _show_panorama(charts.add_subplot(grid[1, 1:]), panorama)


def _draw_map(charts: SubFigure, axes: Axes, audit: Audit) -> None:
    from matplotlib import colormaps

    if audit.position is None:
        return
    values = np.clip(audit.position.excess, 0, None)
    known = values[np.isfinite(values)]
    # The 99.5 % quantile keeps a few noisy pixels from fading all others.
    top = max(MIN_RANGE, float(np.quantile(known, 0.995))) if known.size else MIN_RANGE
    colours = colormaps["YlOrRd"].with_extremes(bad=MISSING_COLOUR)
    shown = axes.imshow(100 * values, cmap=colours, vmin=0, vmax=100 * top, extent=(-180, 180, -90, 90), aspect="auto",
                        interpolation="nearest")  # fmt: skip
    _title(axes, f"Dependence of {_subject(audit)} on the position in the image")
    missing = " (grey: rarely rotated to the image centre)" if np.isnan(values).any() else ""
    axes.set(xlabel=f"longitude{missing}", ylabel="latitude")
    axes.set_xticks(MERIDIANS, [f"{degrees}°" for degrees in MERIDIANS])
    _set_latitude_axis(axes)
    axes.grid(False)
    bar = charts.colorbar(shown, ax=axes, pad=0.01, fraction=0.04)
    bar.set_label("% more than at the centre")
    bar.outline.set_visible(False)


def _draw_rotation_by_latitude(axes: Axes, audit: Audit) -> None:
    bands = audit.rotation_by_latitude
    if bands is None:
        return
    _draw_bands(axes, bands, bands.main, MEASURED, "sphere rotated", 100)
    _draw_bands(axes, bands, f"baseline_{bands.main}", BASELINE, "resampled only", 100)
    axes.set_xlim(left=0)
    axes.legend(loc="upper left", bbox_to_anchor=(-0.2, -0.1), fontsize=8.5, frameon=False, borderpad=0)
    _title(axes, f"Change, {_unit(audit)}")


def _draw_quality(axes: Axes, bands: LatitudeBands) -> None:
    _draw_bands(axes, bands, bands.main, INK, "", 1)
    _title(axes, "Quality")
    axes.set_xlabel({"iou": "mean IoU by area"}.get(bands.main, bands.main.upper()))


def _draw_bands(axes: Axes, bands: LatitudeBands, name: str, colour: str, label: str, scale: float) -> None:
    """Draw a measure along latitude as a step line, constant within each band."""
    values = scale * np.repeat(bands.measures[name], 2)
    latitudes = np.repeat(bands.edges, 2)[1:-1]
    axes.plot(values, latitudes, color=colour, label=label)
    _set_latitude_axis(axes)
    axes.grid(True, axis="both")


def _draw_seam_profile(axes: Axes, audit: Audit) -> None:
    shift = audit.shift
    for (name, errors), colour in zip(shift.named.items(), (MEASURED, BASELINE), strict=False):
        values = 100 * np.array(errors.measure.by_distance)
        axes.plot(shift.degrees, values, color=colour, label=f"rolled {name}")
    axes.axvspan(0, 360 * shift.near / shift.width, color=MEASURED, alpha=0.08, linewidth=0, label="at the seam")
    axes.set_xlim(0, 180)
    axes.set_ylim(bottom=0, top=max(axes.get_ylim()[1], 100 * MIN_RANGE))
    axes.set_xticks(range(0, 181, 30), [f"{degrees}°" for degrees in range(0, 181, 30)])
    axes.legend(loc="best", fontsize=8, framealpha=0.85, edgecolor="none")
    _title(axes, f"Change of {_subject(audit)} when the seam is moved")
    axes.set(xlabel="distance from the seam", ylabel=_unit(audit))


def _show_panorama(axes: Axes, panorama: np.ndarray) -> None:
    axes.imshow(np.clip(np.moveaxis(panorama, 0, -1), 0, 1), extent=(-180, 180, -90, 90))
    _title(axes, "One of the panoramas")
    axes.set_axis_off()


def _draw_bars(axes: Axes, audit: Audit) -> None:
    """Draw the changes of a network with one output per image as bars."""
    rolls = {f"seam moved\n{name}": errors for name, errors in audit.shift.named.items()}
    values = {name: (errors.difference.everywhere, errors.measure.everywhere) for name, errors in rolls.items()}
    rates = {"sphere rotated\nat random": audit.rotation.rotated, "resampled only": audit.rotation.resampling_baseline}
    values |= {name: (rate.difference, rate.measure) for name, rate in rates.items()}
    classes = _has_classes(audit)
    bars = axes.bar(list(values), [100 * difference for difference, _ in values.values()], 0.6, color=MEASURED)
    texts = [f"{percent(difference)}\n{percent(changed)} change class" if classes else percent(difference)
             for difference, changed in values.values()]  # fmt: skip
    axes.bar_label(bars, texts, padding=2)
    axes.set_ylim(0, max(100 * MIN_RANGE, 130 * max(difference for difference, _ in values.values())))
    _title(axes, f"Change of {'class scores' if classes else 'the output'}")
    axes.set_ylabel("% of their std" if classes else "% of its size")


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontweight="bold", fontsize=10)


def _set_latitude_axis(axes: Axes) -> None:
    axes.set_ylim(-90, 90)
    axes.set_yticks(PARALLELS, [f"{degrees}°" for degrees in PARALLELS])


def _has_classes(audit: Audit) -> bool:
    return audit.rotation.rotated.changed is not None


def _subject(audit: Audit) -> str:
    return "the class" if _has_classes(audit) else "the output"


def _unit(audit: Audit) -> str:
    return "% of the area" if _has_classes(audit) else "% of its std"


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Without matplotlib's version in the metadata, so that equal audits are equal files.
    figure.savefig(buffer, format="png", facecolor="white", metadata={"Software": None})
    return buffer.getvalue()
