"""Figure of the example: test digits on the sphere with predictions, and the accuracy after each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import omniconv as oc
from examples.spherical_mnist.data import Digits
from examples.spherical_mnist.projection import Projection
from examples.spherical_mnist.results import PUBLISHED, Record
from omniconv.report.charts import chart_style
from omniconv.report.globe import globe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEVEL = 4
SIZE, PANORAMA_HEIGHT = 220, 512  # pixels
SHOWN = 4  # digits in each row: correct ones, wrong ones
COLOURS = {"mass": "#0072b2", "raw": "#d55e00"}
NAMES = {"mass": "in mesh spacings (mass)", "raw": "of the published code (raw)"}
CORRECT, WRONG = "#1b2733", "#b3261e"


def draw(records: Sequence[Record], found: Record, test: Digits, path: Path) -> Path:
    """Draw test digits of one training and the curves of all, and write a PNG file.

    Args:
        records: trainings whose curves are drawn.
        found: training whose predictions are drawn.
        test: test digits.
        path: file to write.
    """
    from matplotlib.figure import Figure

    with chart_style():
        figure = Figure(figsize=(11, 4.3), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=[1.7, 1])
        _draw_digits(left, found, test)
        _draw_curves(right.subplots(), records)
        figure.savefig(path, dpi=110, facecolor="white")
    return path


def as_globe(digit: np.ndarray) -> np.ndarray:
    """Return an image of the sphere seen from above the digit; rotated, since the digit's top points east."""
    from matplotlib import colormaps

    surface = oc.Icosphere(LEVEL)
    signal = Projection(surface)(digit[None])[0, 0].numpy()
    bright = (signal - signal.min()) / max(float(np.ptp(signal)), 1e-6)
    panorama = surface.to_equirectangular(bright, PANORAMA_HEIGHT)
    coloured = np.rint(255 * colormaps["cividis"](panorama)[..., :3]).astype(np.uint8)
    return np.rot90(globe(coloured, longitude=-90, latitude=0, size=SIZE))


def _draw_digits(figure: Figure, found: Record, test: Digits) -> None:
    wrong = {index: label for index, label in found["wrong"] if index < len(test)}
    correct = [index for index in range(len(test)) if index not in wrong]
    for axes, index in zip(figure.subplots(2, SHOWN).flat, _chosen(correct, list(wrong)), strict=False):
        axes.set_axis_off()
        if index is not None:
            axes.imshow(as_globe(test.images[index]))
            label = int(test.labels[index])
            text = f"predicted {wrong[index]}, is {label}" if index in wrong else f"predicted {label}"
            axes.set_title(text, fontsize=10, color=WRONG if index in wrong else CORRECT)
    figure.suptitle(f"{len(wrong):,} of {len(test):,} test digits classified wrong ({found['laplacian']})", fontsize=11)


def _chosen(correct: Sequence[int], wrong: Sequence[int]) -> list[int | None]:
    """Return the first few of each in a row of its own, filled up with ``None``."""
    return [part[k] if k < len(part) else None for part in (correct, wrong) for k in range(SHOWN)]


def _draw_curves(axes: Axes, records: Sequence[Record]) -> None:
    for found in records:
        numbers = [epoch["number"] for epoch in found["epochs"]]
        shares = [100 * epoch["test"] for epoch in found["epochs"]]
        name = f"{NAMES[found['laplacian']]}: {shares[-1]:.2f} %"
        axes.plot(numbers, shares, marker="o", color=COLOURS[found["laplacian"]], label=name)
    if any(found["digits"] == "MNIST" for found in records):
        text = f"published, after 100 epochs: {100 * PUBLISHED:.2f} %"
        axes.axhline(100 * PUBLISHED, color="#5b6770", linestyle="--", linewidth=1.2, label=text)
    axes.set(xlabel="epoch", ylabel="test accuracy (%)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_title("Accuracy after each epoch", loc="left", fontweight="bold")
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(-0.02, -0.16))
