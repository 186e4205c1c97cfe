"""The page is one file that fetches nothing, runs only its own script, and plays every step."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from explain_scenes import SCENES

from omniconv.explain.page import html_text
from omniconv.explain.scene import Cell, Kind, Mark, Role, Scene, Update

HOSTILE = """</script><b> & "quotes" 'single' <script>alert(1)</script>"""
VOID = {"meta", "input", "br"}


class Reader(HTMLParser):
    """Collects tags, attributes and texts, and checks that tags close in order."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def read(text):
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def scripts(text):
    data, program = re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL)
    return json.loads(data), program


@pytest.fixture(scope="module", params=list(SCENES))
def scene(request):
    return SCENES[request.param]()


def test_the_player_has_every_step(scene):
    data, _ = scripts(html_text(scene, 0.7))
    assert data["seconds"] == 0.7
    assert [step["title"] for step in data["steps"]] == [step.title for step in scene.steps]
    assert [tuple(step["lines"]) for step in data["steps"]] == [step.lines for step in scene.steps]
    for stored, step in zip(data["steps"], scene.steps, strict=True):
        panels = [read(svg) for svg in stored["overlays"]]
        tags = Counter((number, tag) for number, panel in enumerate(panels) for tag, _ in panel.tags)
        for number in range(len(scene.panels)):
            assert tags[number, "rect"] == sum(mark.cell[0] == number for mark in step.marks)
        assert sum(tags[number, "path"] for number in range(3)) == (len(step.links) if scene.is_row else 0)
        assert [cell for _, cell, _ in stored["updates"]] == ["-".join(map(str, u.cell)) for u in step.updates]
        for (panel, _, svg), update in zip(stored["updates"], step.updates, strict=True):
            assert panel == update.cell[0]
            assert update.text in read(svg).texts


@pytest.mark.parametrize("width", ["wide", "narrow"])
def test_both_layouts_place_every_panel_and_band(scene, width):
    data, _ = scripts(html_text(scene, 1))
    layout = data["layouts"][width]
    assert len(layout["origins"]) == len(scene.panels)
    assert [len(points.split()) for points in layout["bands"]] == [4] * len(scene.steps)
    numbers = [float(number) for points in layout["bands"] for number in re.split("[ ,]", points)]
    assert min(numbers) >= 0
    assert max(numbers) <= max(layout["width"], layout["height"])
    assert 0 < layout["minWidth"] <= layout["width"]


def test_ids_are_unique(scene):
    names = [attributes["id"] for _, attributes in read(html_text(scene, 1)).tags if "id" in attributes]
    assert len(names) == len(set(names))


def test_the_page_names_everything(scene):
    texts = read(html_text(scene, 1)).texts
    for name, fact in scene.facts:
        assert name in texts
        assert fact in texts
    assert texts.count(scene.title) == 2
    assert all(name in texts for _, name in scene.legend)


def test_the_page_fetches_nothing_and_runs_only_its_own_script():
    text = html_text(SCENES["row"](), 1)
    reader = read(text)
    policy = next(
        attributes["content"] for tag, attributes in reader.tags if tag == "meta" and "http-equiv" in attributes
    )
    assert policy.startswith("default-src 'none'; ")
    assert "http:" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https:" not in text
    assert "@import" not in text
    assert not [attributes for _, attributes in reader.tags if {"src", "href"} & set(attributes)]
    _, program = scripts(text)
    digest = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "prefers-color-scheme: dark" in text
    assert "prefers-reduced-motion" in program


def test_everything_is_escaped():
    scene = SCENES["row"]()
    cell = Cell(Kind.SAMPLE, HOSTILE, 0, HOSTILE)
    panels = (
        replace(scene.panels[0], title=HOSTILE, cells=((cell, *scene.panels[0].cells[0][1:]),)),
        *scene.panels[1:],
    )
    marks = (Mark((0, 0, 0), Role.TAP, note=HOSTILE), Mark((0, 0, 1), Role.TAP, text=HOSTILE))
    updates = (Update((2, 0, 0), HOSTILE, note=HOSTILE),)
    step = replace(scene.steps[0], title=HOSTILE, lines=(HOSTILE,), marks=marks, updates=updates)
    facts, legend = ((HOSTILE, HOSTILE),), (("tap", HOSTILE),)
    text = html_text(
        Scene(HOSTILE, HOSTILE, scene.sizes, panels, (step,), facts, legend),
        1,
    )
    reader = read(text)
    assert (
        reader.texts.count(HOSTILE) == 9
    )  # title twice, subtitle, fact and name, legend, title of a panel, cell and tooltip
    data, _ = scripts(text)
    assert data["steps"][0]["lines"] == [HOSTILE]
    fragments = [data["layouts"]["wide"]["titles"], *data["steps"][0]["overlays"], data["steps"][0]["updates"][0][2]]
    readers = [reader, *map(read, fragments)]
    assert sum(reader.texts.count(HOSTILE) for reader in readers[1:]) == 5
    assert not {"b"} & {tag for reader in readers for tag, _ in reader.tags}
    assert sum(tag == "script" for tag, _ in reader.tags) == 2


def test_buttons_and_the_slider_have_names():
    tags = read(html_text(SCENES["row"](), 1)).tags
    buttons = [attributes for tag, attributes in tags if tag == "button"]
    assert [button["id"] for button in buttons] == ["first", "back", "play", "forward", "last"]
    assert all(button["aria-label"] and button["type"] == "button" for button in buttons)
    (slider,) = (attributes for tag, attributes in tags if tag == "input")
    assert (slider["min"], slider["max"]) == ("1", "3")
    assert slider["aria-label"] == "Step"


def test_writing_twice_gives_the_same_page(scene):
    assert html_text(scene, 1) == html_text(scene, 1)
