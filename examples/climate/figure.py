"""Figure of the example: samples of each network, the spread of each place, and the spectra."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from examples.climate.data import Climate
from examples.climate.measures import spectrum
from omniconv.report.charts import chart_style

COLOURS = ("#5b6770", "#0072b2", "#009e73", "#d55e00", "#cc79a7")


def draw(samples: Mapping[str, np.ndarray], climate: Climate, path: Path) -> Path:
    """Draw and write a PNG file.

    Args:
        samples: anomalies ``(n, H, W)`` divided by the local standard deviation, by name of the network.
        climate: the data.
        path: file to write.
    """
    from matplotlib.figure import Figure

    height, width = climate.mean.shape
    shown = {"held-out member": climate.held_out, **samples}
    with chart_style():
        figure = Figure(figsize=(13, 2 * len(shown) + 2.6), layout="constrained")
        top, bottom = figure.subfigures(2, 1, height_ratios=[2 * len(shown), 2.6])
        for row, (name, maps) in zip(top.subplots(len(shown), 4, squeeze=False), shown.items(), strict=True):
            # Rolled by half the width, so that the ends of the panorama meet in the middle of each map.
            fields = [np.roll(field * climate.std, width // 2, axis=-1) for field in (*maps[:3], maps.std(0))]
            titles = (f"{name}: anomaly, K", "", "", "standard deviation, K")
            for axes, field, title, is_last in zip(row, fields, titles, (False, False, False, True), strict=True):
                colours = (
                    {"cmap": "viridis", "vmin": 0, "vmax": 2} if is_last else {"cmap": "RdBu_r", "vmin": -3, "vmax": 3}
                )
                axes.imshow(field, **colours)
                axes.set_axis_off()
                axes.set_title(title, loc="left", fontsize=9)
        left, right = bottom.subplots(1, 2)
        for (name, maps), colour in zip(shown.items(), COLOURS, strict=False):
            left.loglog(np.arange(1, width // 2 + 1), spectrum(maps * climate.std)[1:], label=name, color=colour)
            mean = (maps * climate.std).mean(-1)
            latitudes = 90 - (np.arange(height) + 0.5) * 180 / height
            right.plot(latitudes, mean.std(0), color=colour)
        left.set(xlabel="zonal wavenumber", ylabel="power, K²")
        for axis in (left.xaxis, left.yaxis):  # powers of ten would be written as TeX, which the style does not parse
            axis.set_major_formatter("{x:g}")
        left.legend(frameon=False, fontsize=8)
        right.set(xlabel="latitude", ylabel="std of the zonal mean, K")
        figure.savefig(path, dpi=90, facecolor="white")
    return path
