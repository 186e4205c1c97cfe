"""The page is whole in one file, fetches nothing, runs only its own script, and plays every step."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from test_animation import STORIES

from omniconv.explain.web import html_text

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


@pytest.fixture(scope="module", params=list(STORIES))
def story(request):
    return STORIES[request.param]()


def test_the_player_knows_every_step(story):
    data, _ = scripts(html_text(story, 0.7))
    assert data["seconds"] == 0.7
    assert [step["title"] for step in data["steps"]] == [step.title for step in story.steps]
    assert [tuple(step["lines"]) for step in data["steps"]] == [step.lines for step in story.steps]
    for told, step in zip(data["steps"], story.steps, strict=True):
        assert [tuple(mark["spot"]) for mark in told["marks"]] == [mark.spot for mark in step.marks]
        assert [(tuple(fill["spot"]), fill["text"]) for fill in told["fills"]] == [(f.spot, f.text) for f in step.fills]
        assert len(told["arcs"]) == (len(step.links) if story.is_row else 0)
        assert len(told["beam"]) == 4


def test_every_cell_that_is_written_is_there(story):
    text = html_text(story, 1)
    reader = read(text)
    names = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(names) == len(set(names))
    for step in story.steps:
        for fill in step.fills:
            assert f"c{'-'.join(map(str, fill.spot))}" in names


def test_the_page_names_everything(story):
    texts = read(html_text(story, 1)).texts
    for name, fact in story.facts:
        assert name in texts
        assert fact in texts
    assert texts.count(story.title) == 2
    assert all(name in texts for _, name in story.legend)


def test_the_page_fetches_nothing_and_runs_only_its_own_script():
    text = html_text(STORIES["row"](), 1)
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
    story = STORIES["row"]()
    step = replace(story.steps[0], title=HOSTILE, lines=(HOSTILE,))
    text = html_text(replace(story, title=HOSTILE, subtitle=HOSTILE, steps=(step,), facts=((HOSTILE, HOSTILE),)), 1)
    reader = read(text)
    assert reader.texts.count(HOSTILE) == 5
    assert "b" not in {tag for tag, _ in reader.tags}
    data, _ = scripts(text)
    assert data["steps"][0]["lines"] == [HOSTILE]


def test_buttons_and_the_slider_have_names():
    tags = read(html_text(STORIES["row"](), 1)).tags
    buttons = [attributes for tag, attributes in tags if tag == "button"]
    assert [button["id"] for button in buttons] == ["first", "back", "play", "forward", "last"]
    assert all(button["aria-label"] and button["type"] == "button" for button in buttons)
    (slider,) = (attributes for tag, attributes in tags if tag == "input")
    assert (slider["min"], slider["max"]) == ("1", "3")
    assert slider["aria-label"] == "Step"


def test_writing_twice_gives_the_same_page(story):
    assert html_text(story, 1) == html_text(story, 1)
