"""Figure of the paper: score of each position on the canvas, by split, task and network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from examples.coordconv.data import SIZE, SPLITS, Split, split
from examples.coordconv.results import Record, score_text
from examples.coordconv.tasks import NETWORKS, TASKS
from omniconv.report.charts import chart_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POSITIONS = "positions.png"
COLOURS = "cividis"
TEST_COLOUR, TRAIN_COLOUR = "#e69f00", "#c9d3dc"
NAMES = {"convolution": "convolution", "coordconv": "CoordConv"}


def draw(records: Sequence[Record], path: Path) -> Path:
    """Draw trainings, one row for each split, and write a PNG file."""
    from matplotlib.figure import Figure

    by_key = {(found["task"], found["split"], found["network"]): found for found in records}
    columns = [(task, network) for task in TASKS for network in NETWORKS if any(task == key[0] for key in by_key)]
    splits = [name for name in SPLITS if any(name == key[1] for key in by_key)]
    with chart_style():
        figure = Figure(figsize=(1.75 * (1 + len(columns)) + 0.8, 2.2 * len(splits) + 0.55), layout="constrained")
        panels = figure.subplots(len(splits), 1 + len(columns), squeeze=False)
        _draw_splits(panels[:, 0], splits)
        for line, name in zip(panels[:, 1:], splits, strict=True):
            for axes, (task, network) in zip(line, columns, strict=True):
                _draw_network(axes, split(name), network, by_key.get((task, name, network)))
        _name_tasks(panels[0, 1:], columns)
        _name_colours(figure, panels)
        figure.savefig(path, dpi=110, facecolor="white", bbox_inches="tight", pad_inches=0.08)
    return path


def _draw_splits(panels: Sequence[Axes], splits: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    for axes, name in zip(panels, splits, strict=True):
        found = split(name)
        _show(axes, found, found.held_out.numpy().astype(float), [TRAIN_COLOUR, TEST_COLOUR])
        axes.set_ylabel(name, fontsize=11)
        axes.set_title(f"train / test\n{len(found.train):,} / {len(found.test):,}", fontsize=9)
    named = [Patch(color=TRAIN_COLOUR, label="train"), Patch(color=TEST_COLOUR, label="test")]
    anchor = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0)}
    panels[-1].legend(handles=named, fontsize=8, frameon=False, ncols=2, columnspacing=1.0, handlelength=1.0, **anchor)


def _name_tasks(panels: Sequence[Axes], columns: Sequence[tuple[str, str]]) -> None:
    for axes, (task, network) in zip(panels, columns, strict=True):
        if network == NETWORKS[0]:
            anchor = {"xy": (0, 1), "xytext": (0, 34), "xycoords": "axes fraction", "textcoords": "offset points"}
            axes.annotate(task.capitalize(), **anchor, fontsize=11, fontweight="bold")


def _draw_network(axes: Axes, positions: Split, network: str, found: Record | None) -> None:
    if found is None:
        axes.set_axis_off()
        axes.set_title(f"{NAMES[network]}\nnot run", fontsize=9)
        return
    task = TASKS[found["task"]]
    positions = positions.thinned(-(-len(positions.positions) // len(found["scores"])))  # as in a --quick training
    _show(axes, positions, task.quality(np.array(found["scores"])), COLOURS)
    train, test = (score_text(task.name, found[part]) for part in ("train", "test"))
    axes.set_title(f"{NAMES[network]}\n{train} / {test.removeprefix('IoU ')}", fontsize=9)


def _show(axes: Axes, positions: Split, values: np.ndarray, colours: str | Sequence[str]) -> None:
    from matplotlib.colors import ListedColormap

    canvas = np.full((SIZE, SIZE), np.nan)
    canvas[positions.positions[:, 1], positions.positions[:, 0]] = values
    chosen = colours if isinstance(colours, str) else ListedColormap(list(colours))
    axes.imshow(canvas, cmap=chosen, vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set(visible=True, color="#8a949e", linewidth=0.6)
    if positions.name == "quadrant":
        middle = SIZE // 2 + 0.5
        axes.plot([middle, middle, SIZE - 0.5], [SIZE - 0.5, middle, middle], color="#1b2733", linewidth=0.8)
        axes.set(xlim=(-0.5, SIZE - 0.5), ylim=(SIZE - 0.5, -0.5))


def _name_colours(figure: Figure, panels: np.ndarray) -> None:
    from matplotlib.cm import ScalarMappable

    bar = figure.colorbar(ScalarMappable(cmap=COLOURS), ax=panels, shrink=0.6, aspect=25, pad=0.01)
    bar.set_ticks([0, 1], labels=["wrong", "right"])
    bar.outline.set_visible(False)
