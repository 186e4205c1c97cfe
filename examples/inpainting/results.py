"""Tables of the measures, and the figure of filled holes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from examples.inpainting.training import Result
from omniconv.files import atomic_write

MEASURES = {"l1": (1, 100.0, ".2f"), "PSNR": (2, 1.0, ".2f"), "SSIM": (3, 1.0, ".3f")}
"""Column of each measure, the factor it is shown with, and its format; l1 is in the hole, times 100 as published."""
PLACE_NAMES = {"middle": "middle", "turned": "seam, panorama turned by 180°", "seam": "seam", "pole": "north pole"}


def table(results: Mapping[str, Result]) -> str:
    """Return measures by the hole's share of the area in steps of 10 %, as a table in Markdown."""
    names = list(results)
    lines = ["| hole | images | " + " | ".join(f"{name}: l1 / PSNR / SSIM" for name in names) + " |"]
    lines.append("|" + "---|" * (len(names) + 2))
    values = {name: np.array(result.images) for name, result in results.items()}
    shares = values[names[0]][:, 0]
    ranges = [(f"{10 * low}–{10 * low + 10} %", (shares * 10).astype(int) == low) for low in range(10)]
    for label, chosen in [*ranges, ("all", shares >= 0)]:
        if chosen.any():
            cells = [" / ".join(_cell(values[name][chosen], measure) for measure in MEASURES) for name in names]
            lines.append(f"| {label} | {chosen.sum()} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cap_table(results: Mapping[str, Result]) -> str:
    """Return l1 × 100 in caps at several places, as a table in Markdown; empty if none was measured."""
    if not all(result.caps for result in results.values()):
        return ""
    lines = ["| hole | " + " | ".join(results) + " |", "|" + "---|" * (len(results) + 1)]
    for place, label in PLACE_NAMES.items():
        cells = [f"{100 * np.mean(result.caps[place]):.2f}" for result in results.values()]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def save(result: Result, metadata: dict[str, Any], path: Path) -> None:
    """Write the measures of a network as JSON."""
    with atomic_write(path, "w") as file:
        json.dump(metadata | {"result": asdict(result)}, file)


def load(path: Path, metadata: Mapping[str, Any]) -> Result | None:
    """Return the measures that ``save`` wrote, ``None`` if there are none of a training with these settings."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        same = all(content[name] == value for name, value in metadata.items())
        return Result(**content["result"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def figure(rows: Mapping[str, Mapping[str, Tensor]], path: Path) -> Path:
    """Draw a row of panoramas ``(3, H, W)`` from 0 to 1 for each hole: the image, the hole, every network."""
    columns = len(next(iter(rows.values())))
    with mpl.rc_context({"font.size": 8}):
        drawing = Figure(figsize=(2.6 * columns, 1.55 * len(rows)), layout="constrained")
        axes = drawing.subplots(len(rows), columns, squeeze=False)
        for line, (label, panels) in zip(axes, rows.items(), strict=True):
            for axis, (title, image) in zip(line, panels.items(), strict=True):
                axis.imshow(image.permute(1, 2, 0).numpy())
                axis.set(xticks=[], yticks=[], title=title)
            line[0].set_ylabel(label)
        with atomic_write(path) as file:
            drawing.savefig(file, format="png", dpi=110)
    return path


def _cell(values: np.ndarray, measure: str) -> str:
    column, factor, form = MEASURES[measure]
    return f"{factor * values[:, column].mean():{form}}"
