"""HTML page of an explanation with a player: one file that fetches nothing and runs only the script of known hash."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from omniconv.explain.layout import Layout, narrow_layout, wide_layout
from omniconv.explain.scene import CellIndex, Scene
from omniconv.explain.svg import HATCH, Drawing, draw_key, points_text
from omniconv.report.page import load_template


def html_text(scene: Scene, seconds: float) -> str:
    """Return a page with the panels, the arithmetic of each step, buttons, a slider and the facts.

    A step takes ``seconds`` while the page plays.
    """
    layouts = {"wide": wide_layout(scene), "narrow": narrow_layout(scene)}
    drawing = Drawing(scene, layouts["wide"].cell)
    script = resource("explain", "player.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    layout_data = {name: _layout_data(layout, drawing) for name, layout in layouts.items()}
    data = {"seconds": seconds, "layouts": layout_data, "steps": _step_data(scene, drawing)}
    style = resource("report", "page.css") + resource("explain", "drawing.css") + resource("explain", "player.css")
    return load_template("explain").render(
        scene=scene,
        layout=layout_data["wide"],  # until the script chooses another one
        titles=Markup(drawing.titles(layouts["wide"])),
        digest=digest,
        script=Markup(script),
        style=Markup(style),
        hatch=Markup(HATCH),
        panels=[Markup(drawing.panel(number)) for number in range(len(scene.panels))],
        legend=[(Markup(draw_key(key)), name) for key, name in scene.legend],
        # "<" as an escape: no text of a step can close the script element that holds the data
        data=Markup(json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")),
    )


@cache
def resource(package: str, name: str) -> str:
    """Return a style sheet or script of a package."""
    return files(f"omniconv.{package}").joinpath("templates", name).read_text("utf-8")


def _layout_data(layout: Layout, drawing: Drawing) -> dict[str, Any]:
    width, height = layout.size
    return {
        "width": round(width + 4),
        "height": round(height + 4),
        "minWidth": round(layout.min_width),
        "origins": [[round(x, 1), round(y, 1)] for x, y in layout.origins],
        "titles": drawing.titles(layout),
        "bands": [points_text(layout.band(step)) for step in drawing.scene.steps],
    }


def _step_data(scene: Scene, drawing: Drawing) -> list[dict[str, Any]]:
    shown: dict[CellIndex, str] = {}
    steps = []
    for step in scene.steps:
        shown |= {update.cell: update.text for update in step.updates}
        updates = [(update.cell[0], "-".join(map(str, update.cell)), drawing.update(update)) for update in step.updates]
        overlays = drawing.overlays(step, shown)
        steps.append({"title": step.title, "lines": step.lines, "updates": updates, "overlays": overlays})
    return steps
