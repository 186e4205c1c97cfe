"""Charts are self-contained, deterministic drawings that contain the names and numbers given."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

from omniconv.errors import InputError
from omniconv.report.charts import bars, confusion, curves

SERIES = {"train": [(1, 0.9), (2, 0.5), (3, 0.4)], "validation": [(1, 1.0), (2, float("nan")), (3, 0.6)]}
GROUPS = {"north": {"plane": 0.5, "sphere": 0.91}, "south": {"sphere": 0.875}}
MATRIX = np.array([[3, 1, 0], [0, 8, 0], [0, 0, 0]])


def draw_curves() -> str:
    return curves(SERIES, "Loss", "epoch", "cross-entropy")


def draw_bars() -> str:
    return bars(GROUPS, "IoU by latitude", "IoU")


def draw_confusion() -> str:
    return confusion(MATRIX, ["sea", "land", "ice"])


ALL = [draw_curves, draw_bars, draw_confusion]


def texts(svg: str) -> list[str]:
    """Every text of a drawing; reading it fails unless it is well-formed."""
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("}text")]


@pytest.mark.parametrize("draw", ALL)
def test_a_chart_is_one_svg_element_that_fetches_nothing(draw):
    svg = draw()
    assert svg.startswith("<svg ")
    assert svg.rstrip().endswith("</svg>")
    references = re.findall(r'(?:href="|url\()([^")]*)', svg)
    assert all(reference.startswith("#") for reference in references)
    assert "<script" not in svg
    assert "<image" not in svg


@pytest.mark.parametrize("draw", ALL)
def test_a_chart_drawn_twice_is_the_same(draw):
    assert draw() == draw()


@pytest.mark.parametrize("draw", ALL)
def test_settings_of_matplotlib_do_not_change_and_do_not_matter(draw):
    expected = draw()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        assert draw() == expected
        assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("draw", ALL)
def test_charts_define_the_ids_they_refer_to(draw):
    svg = draw()
    assert set(re.findall(r"#([mp][0-9a-f]{8,})", svg)) <= set(re.findall(r' id="([^"]+)"', svg))


def test_ids_shared_by_charts_name_equal_elements():
    found: dict[str, str] = {}
    for svg in (draw() for draw in ALL):
        for node in ElementTree.fromstring(svg).iter():
            if "id" in node.attrib:
                drawn = ElementTree.tostring(node).decode().strip()
                assert found.setdefault(node.attrib["id"], drawn) == drawn


def test_one_epoch_has_one_tick():
    texts = re.findall(r"<text[^>]*>([^<]*)", curves({"train": [(1, 0.5)]}, "Loss", "epoch", "loss"))
    assert texts[:2] == ["1", "epoch"]


def test_curves_contain_their_texts():
    assert {"Loss", "epoch", "cross-entropy", "train", "validation"} <= set(texts(draw_curves()))


def test_bars_contain_their_texts_and_numbers():
    assert {"IoU by latitude", "north", "south", "plane", "sphere", "0.5", "0.91", "0.875"} <= set(texts(draw_bars()))


def test_the_confusion_is_in_percent_of_each_row():
    numbers = [text for text in texts(draw_confusion()) if text.isdigit()]
    assert numbers == ["75", "25", "0", "0", "100", "0"]


def test_text_has_the_colour_of_the_page():
    assert "currentColor" in draw_curves()
    assert "#1b2733" not in draw_curves()


NAMES = ["<b>", "$x$", "a$b", "_hidden", "a & b", '"quoted"', "日本"]


def test_any_name_is_written_as_it_is():
    assert set(NAMES) <= set(texts(curves({name: [(0, 1)] for name in NAMES}, "t", "x", "y")))
    assert set(NAMES) <= set(texts(bars({name: {"a": 1.0} for name in NAMES}, "t", "y")))
    assert set(NAMES) <= set(texts(bars({"a": dict.fromkeys(NAMES, 1.0)}, "t", "y")))
    assert set(NAMES) <= set(texts(confusion(np.eye(len(NAMES)), NAMES)))


@pytest.mark.parametrize("name", ["<b>", "a$b$", '"日本"'])
def test_any_title_and_label_is_written_as_it_is(name):
    assert {f"{name} title", f"{name} x", f"{name} y"} <= set(
        texts(curves({"a": [(0, 1)]}, f"{name} title", f"{name} x", f"{name} y"))
    )


def test_a_long_name_ends_in_an_ellipsis():
    (name,) = [text for text in texts(bars({"long " * 20: {"a": 1.0}}, "t", "y")) if text.startswith("long")]
    assert name.endswith("…")
    assert len(name) <= 24


@pytest.mark.parametrize("count", [1, 9, 30])
def test_many_series_are_drawn(count):
    names = [f"class number {number}" for number in range(count)]
    assert names[-1] in texts(curves({name: [(0, 1)] for name in names}, "t", "x", "y"))
    assert names[-1] in texts(bars({name: {"a": 1.0, "b": 2.0} for name in names}, "t", "y"))


def test_a_line_without_points_leaves_the_others():
    assert "full" in texts(curves({"empty": [], "full": [(1, 2)]}, "t", "x", "y"))


def test_empty_charts_raise():
    with pytest.raises(InputError, match="series=0"):
        curves({}, "t", "x", "y")
    with pytest.raises(InputError, match="groups=0"):
        bars({}, "t", "y")
    with pytest.raises(InputError, match="values=0"):
        bars({"north": {}}, "t", "y")


@pytest.mark.parametrize("matrix", [np.zeros((2, 3)), np.zeros((3, 3)), np.zeros(2)])
def test_matrix_of_another_size_than_its_names_raises(matrix):
    with pytest.raises(InputError, match=r"matrix=.*one row and one column per name"):
        confusion(matrix, ["sea", "land"])
