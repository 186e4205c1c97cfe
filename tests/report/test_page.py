"""Pages are one file, escape every text and embed pictures exactly."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from omniconv.errors import FileError, InputError
from omniconv.report.page import Page
from omniconv.report.tables import column_texts, make_columns, value_text

HOSTILE = """<b> & "quotes" 'single' <script>alert(1)</script>"""
VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Collects tags, attributes and texts, and checks that tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def read(page: Page) -> Reader:
    reader = Reader()
    reader.feed(page.html())
    reader.close()
    assert reader.open == []
    return reader


def embedded(page: Page) -> list[tuple[str, Image.Image]]:
    """Kind and content of the pictures of a page."""
    found = re.findall(r"data:image/(\w+);base64,([^\"]+)", page.html())
    return [(kind, Image.open(io.BytesIO(base64.b64decode(data)))) for kind, data in found]


@pytest.fixture
def page() -> Page:
    return Page("Title", subtitle="subtitle")


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)


def test_everything_is_escaped():
    page = Page(HOSTILE, subtitle=HOSTILE)
    page.heading(HOSTILE)
    page.text(HOSTILE)
    page.table([HOSTILE], [[HOSTILE]], caption=HOSTILE)
    page.row([(np.zeros((2, 2), np.uint8), HOSTILE)])
    page.svg("<svg></svg>", caption=HOSTILE)
    page.facts({HOSTILE: HOSTILE})
    page.legend([(HOSTILE, "red")])
    reader = read(page)
    assert {tag for tag, _ in reader.tags}.isdisjoint({"script", "b"})
    assert reader.texts.count(HOSTILE) == 13
    assert [image["alt"] for image in reader.attributes("img")] == [HOSTILE]


def test_a_page_has_a_language_a_viewport_and_a_title(page):
    reader = read(page)
    assert reader.attributes("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in reader.attributes("meta")
    assert reader.texts.count("Title") == 2


def test_a_page_fetches_nothing(page, noise):
    page.row([(noise, "")])
    page.svg("<svg></svg>")
    reader = read(page)
    assert {tag for tag, _ in reader.tags}.isdisjoint({"script", "link", "iframe"})
    sources = [value for _, attributes in reader.tags for name, value in attributes.items() if name in ("src", "href")]
    assert all(source.startswith("data:") for source in sources)
    style = re.search(r"<style>(.*?)</style>", page.html(), re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    assert "prefers-color-scheme: dark" in style[1]


def test_parts_are_in_the_order_of_their_calls(page):
    page.facts({"first": 1})
    page.heading("second")
    page.text("third\n\nfourth")
    words = [text for text in read(page).texts if text in ("first", "second", "third", "fourth")]
    assert words == ["first", "second", "third", "fourth"]


def test_writing_twice_gives_the_same_file(page, noise, tmp_path):
    page.row([(noise, "noise")])
    for name in ("a.html", "b.html"):
        page.write(tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert (tmp_path / "a.html").read_text("utf-8") == page.html()
    assert {path.name for path in tmp_path.iterdir()} == {"a.html", "b.html"}


def test_writing_into_a_missing_folder_raises(page, tmp_path):
    with pytest.raises(FileError, match="cannot be written"):
        page.write(tmp_path / "missing" / "page.html")


def test_a_name_that_is_no_unicode_is_still_written(page, tmp_path):
    page.text("broken \udcff name")
    page.write(tmp_path / "page.html")
    assert rb"broken \xff name" in (tmp_path / "page.html").read_bytes()


def test_a_small_picture_is_kept_exactly(page):
    array = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    page.row([(array, "noise")])
    ((kind, image),) = embedded(page)
    assert kind == "png"
    np.testing.assert_array_equal(np.asarray(image), array)
    assert read(page).attributes("img")[0].items() >= {"width": "30", "height": "20", "alt": "noise"}.items()


def test_a_large_photograph_becomes_a_jpeg(page, noise):
    page.row([(Image.fromarray(noise), "")])
    ((kind, image),) = embedded(page)
    assert kind == "jpeg"
    assert image.size == (400, 300)


def test_a_large_label_map_is_kept_exactly(page):
    labels = np.random.default_rng(0).integers(0, 30, (900, 900), np.uint8)
    colours = np.stack([labels, 2 * labels, 3 * labels], axis=-1)
    page.row([(colours, "")])
    ((kind, image),) = embedded(page)
    assert kind == "png"
    np.testing.assert_array_equal(np.asarray(image), colours)


def test_transparency_is_kept(page, noise):
    page.row([(np.dstack([noise, noise[..., :1]]), "")])
    assert embedded(page)[0][1].mode == "RGBA"


def test_pictures_have_captions(page, noise):
    page.row([(noise[:9, :9], "left"), (noise[:9, :9], "right")])
    page.row([(noise[:9, :9], "")])
    reader = read(page)
    assert len(reader.attributes("figure")) == 3
    assert len(reader.attributes("figcaption")) == 2
    assert [image["alt"] for image in reader.attributes("img")] == ["left", "right", ""]


def test_svg_prologue_is_removed(page):
    page.svg('<?xml version="1.0"?>\n<!DOCTYPE svg>\n<svg width="1"><path/></svg>\n', caption="drawing")
    assert '<svg width="1"><path/></svg>' in page.html()
    assert "<?xml" not in page.html()


@pytest.mark.parametrize("text", ["", "drawing", "</svg><svg"])
def test_text_without_svg_raises(page, text):
    with pytest.raises(InputError, match="must contain <svg>…</svg>"):
        page.svg(text)


def test_numbers_are_right_aligned_and_the_best_are_bold(page):
    rows = [["plane", 0.81, 9.5, 3], ["sphere", 0.92, 31.0, 3], ["other", float("nan"), None, 4]]
    page.table(["surface", "IoU", "seconds", "runs"], rows, best={"IoU": "max", "seconds": "min"})
    html = page.html()
    assert re.findall(r"<strong>(.*?)</strong>", html) == ["9.50", "0.9200"]
    assert html.count('<td class="number">') == 9
    assert html.count('<th scope="col" class="number">') == 3
    assert "<td>plane</td>" in html


def test_equal_rounded_numbers_are_all_marked_best(page):
    page.table(["IoU"], [[0.91231], [0.91234], [0.5]], best="max")
    assert page.html().count("<strong>0.9123</strong>") == 2


def test_an_empty_table_and_one_without_numbers_have_no_best(page):
    page.table(["IoU"], [], best="max")
    page.table(["name", "note"], [["a", "b"]], best="min")
    assert "<strong>" not in page.html()
    read(page)


def test_wrong_tables_raise(page):
    with pytest.raises(InputError, match="must have 2 cells"):
        page.table(["a", "b"], [[1]])
    with pytest.raises(InputError, match="best="):
        page.table(["a"], [[1]], best="largest")
    with pytest.raises(InputError, match="best="):
        page.table(["a"], [[1]], best={"b": "max"})


@pytest.mark.parametrize("colour", ["#e69f00", "red", "rgb(1, 2, 3)", "rgba(1 2 3 / 50%)"])
def test_a_legend_shows_its_colours(page, colour):
    page.legend([("land", colour)])
    assert f"background:{colour}" in page.html()


@pytest.mark.parametrize("colour", ["red;position:fixed", "url(x.png)", '"><b>', ""])
def test_legend_colours_other_than_css_colours_raise(page, colour):
    with pytest.raises(InputError, match="must be a plain CSS colour"):
        page.legend([("land", colour)])


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.5, 0.91234, None], ["0.5000", "0.9123", "–"]),
        ([12.25, 9, float("nan")], ["12.25", "9", "–"]),
        ([1234.5, 0.001], ["1,234", "0.001"]),
        ([1e-6, 2e-6], ["1e-06", "2e-06"]),
        ([np.float32(0.25), np.int64(1000)], ["0.2500", "1,000"]),
        ([0.0, float("inf")], ["0.0", "inf"]),
        ([True, "text"], ["True", "text"]),
        ([], []),
    ],
)
def test_a_column_shares_its_decimals(values, texts):
    assert column_texts(values) == texts


def test_measures_in_rows_share_their_decimals_in_each_row():
    rows = [["distance", 12.25, 9.0], ["kernel", 0.0123, 0.5]]
    by_row, by_column = (make_columns(["", "samples", "real"], rows, None, in_rows) for in_rows in (True, False))
    assert [[cell.text for cell in column.cells] for column in by_row[1:]] == [["12.25", "0.0123"], ["9.00", "0.5000"]]
    assert [[cell.text for cell in column.cells] for column in by_column[1:]] == [["12.25", "0.01"], ["9.000", "0.500"]]
    assert make_columns(["", "samples"], [], None, True)[1].cells == []


def test_single_value_has_no_trailing_zeros():
    assert [value_text(value) for value in (3e-4, 0.5, 12345678, None)] == ["0.0003", "0.5", "12,345,678", "–"]
