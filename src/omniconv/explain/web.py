"""An explanation as one HTML file that plays: no network, no library, only the one script that it names by its hash."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from omniconv.explain.cells import NOTED, text_size
from omniconv.explain.colours import sample_colours
from omniconv.explain.layout import Layout, Placed, place
from omniconv.explain.story import Fill, Kind, Mark, Role, Step, Story
from omniconv.explain.svg import boards_svg

ICONS = {
    "first": ("First step", "M3 3h2v10H3zM13 3v10L6 8z"),
    "back": ("Step back", "M11.5 3v10L4 8z"),
    "play": ("Play", ""),
    "forward": ("Step forward", "M4.5 3v10L12 8z"),
    "last": ("Last step", "M11 3h2v10h-2zM3 3v10l7-5z"),
}
PLAY = '<svg class="play" viewBox="0 0 16 16"><path d="M4 2v12l9-6z"/></svg>'
PAUSE = '<svg class="pause" viewBox="0 0 16 16"><path d="M3.5 2.5h3v11h-3zM9.5 2.5h3v11h-3z"/></svg>'
KEYS = (
    '<p class="keys"><kbd>←</kbd> <kbd>→</kbd> a step · <kbd>space</kbd> play or pause · '
    "<kbd>Home</kbd> <kbd>End</kbd> first and last</p>"
)


def html_text(story: Story, seconds: float) -> str:
    """A page with the boards, the step's arithmetic, buttons, a slider and the facts.

    Args:
        story: what is shown.
        seconds: how long each step stands while it plays.

    Raises:
        InputError: the story is too large to be drawn.
    """
    layout = place(story)
    script = _resource("omniconv.explain", "player.js")
    style = _resource("omniconv.report", "page.css") + _resource("omniconv.explain", "player.css")
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{_policy(script)}">',
            f"<title>{escape(story.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>",
            f'<header>\n<h1>{escape(story.title)}</h1>\n<p class="subtitle">{escape(story.subtitle)}</p>\n</header>',
            f'<main>\n<figure class="stage" tabindex="0">\n{boards_svg(story, layout)}\n</figure>',
            _controls(len(story.steps)),
            '<section class="step" id="step"><h2 id="title"></h2><div id="lines"></div></section>',
            f'<dl class="facts">\n{_facts(story)}\n</dl>\n<ul class="legend">\n{_legend(story)}\n</ul>',
            f"{KEYS}\n<noscript><p>The steps need JavaScript.</p></noscript>\n</main>",
            f'<script type="application/json" id="story">{_data(story, layout, seconds)}</script>',
            f"<script>{script}</script>\n</body>\n</html>\n",
        ]
    )


@cache
def _resource(room: str, name: str) -> str:
    return files(room).joinpath(name).read_text("utf-8")


def _policy(script: str) -> str:
    """Nothing may be fetched, and no script may run but ours."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def _controls(count: int) -> str:
    buttons = []
    for name, (label, path) in ICONS.items():
        icon = f'<svg viewBox="0 0 16 16"><path d="{path}"/></svg>' if path else PLAY + PAUSE
        buttons.append(f'<button type="button" id="{name}" aria-label="{label}" title="{label}">{icon}</button>')
    slider = f'<input type="range" id="slider" min="1" max="{count}" value="1" aria-label="Step">'
    return '<div class="controls">\n' + "\n".join([*buttons, slider]) + "\n</div>"


def _facts(story: Story) -> str:
    return "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in story.facts)


def _legend(story: Story) -> str:
    """Small cells, drawn as the boards' own are."""
    light, dark = sample_colours((1, 2))[1]
    items = []
    for kind, name in story.legend:
        sample = kind not in (Role.PIVOT, Kind.CONSTANT, Kind.BEYOND)
        style = f' style="--light:{light};--dark:{dark}"' if sample else ""
        cell = f'<g class="cell {kind}"{style}><rect x="2" y="2" width="18" height="18" rx="2.5"/></g>'
        ring = f'<rect class="{kind}" {RINGS[kind]} rx="2.5"/>' if kind in RINGS else ""
        items.append(f'<li><svg viewBox="0 0 22 22" aria-hidden="true">{cell}{ring}</svg>{escape(name)}</li>')
    return "\n".join(items)


WHOLE = 'x="2" y="2" width="18" height="18"'
RINGS: dict[str, str] = {Role.TAP: WHOLE, Role.PIVOT: WHOLE, Role.WINNER: WHOLE,
                         Role.SOURCE: 'x="5" y="5" width="12" height="12"'}  # fmt: skip


def _data(story: Story, layout: Layout, seconds: float) -> str:
    """What the player needs, as JSON that no element can end before its time."""
    colours = sample_colours(story.sizes)
    shown: dict[tuple[int, int, int], str] = {}
    steps = [_step(step, layout, colours, shown) for step in story.steps]
    boards = [_board(placed) for placed in layout.boards]
    data = {"seconds": seconds, "noted": NOTED, "boards": boards, "steps": steps}
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _board(placed: Placed) -> dict[str, float]:
    board = placed.board
    return {"left": placed.left, "top": placed.top, "cell": placed.cell, "start": board.start, "pitch": board.pitch}


def _step(
    step: Step, layout: Layout, colours: list[tuple[str, str]], shown: dict[tuple[int, int, int], str]
) -> dict[str, Any]:
    shown.update({fill.spot: fill.text for fill in step.fills})
    return {
        "title": step.title,
        "lines": step.lines,
        "marks": [_mark(mark, layout, shown.get(mark.spot, layout.cell(mark.spot).text)) for mark in step.marks],
        "fills": [_fill(fill, layout, colours) for fill in step.fills],
        "beam": _rounded(layout.beam(step)),
        "arcs": [_rounded(arc) for arc in layout.arcs(step)],
    }


def _mark(mark: Mark, layout: Layout, shown: str) -> dict[str, Any]:
    """A mark, without what is not said of it."""
    written = mark.text or (shown if mark.role == Role.WINNER else "")
    size = text_size(written, layout.boards[mark.spot[0]].cell) if written else None
    known = {"note": mark.note, "text": mark.text, "shown": written, "size": size}
    return {"spot": mark.spot, "role": mark.role, **{name: value for name, value in known.items() if value}}


def _fill(fill: Fill, layout: Layout, colours: list[tuple[str, str]]) -> dict[str, Any]:
    size = text_size(fill.text, layout.boards[fill.spot[0]].cell)
    colour = None if fill.source is None else colours[fill.source]
    return {"spot": fill.spot, "text": fill.text, "size": size, "colour": colour, "note": fill.note}


def _rounded(points: tuple[tuple[float, float], ...]) -> list[list[float]]:
    return [[round(x, 1), round(y, 1)] for x, y in points]
