"""A web page in one file: pictures, charts and styles are inside it, and nothing in it can run."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from PIL import Image

from omniconv.errors import InputError
from omniconv.files import atomic_write
from omniconv.report.checks import Picture, as_image
from omniconv.report.numbers import value_text
from omniconv.report.pictures import png_bytes
from omniconv.report.table import table_html

LARGEST_PNG = 200_000  # bytes; a photograph above this becomes a JPEG
FEW_COLOURS = 4096  # label maps and charts have fewer colours, and stay exact
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
CSS_COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}|[a-zA-Z]+|(rgb|hsl)a?\([0-9.,%/ ]+\)")


class Page:
    """A report that grows from top to bottom and is written as one HTML file.

    Every text is escaped: a class called ``<b>`` is read as ``<b>``. The page needs no script, no network and no other
    file; it reads well on a phone and on a desktop, on light and on dark.

    Args:
        title: the name of the page.
        subtitle: one line beneath it.

    Example:
        >>> page = Page("Land and sea", subtitle="one epoch")
        >>> page.heading("Result")
        >>> page.table(["surface", "IoU"], [["plane", 0.81], ["sphere", 0.92]], best={"IoU": "max"})
        >>> page.write("/tmp/page.html")
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self._title = title
        self._subtitle = subtitle
        self._parts: list[str] = []

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._parts.append(f"<h2>{escape(text)}</h2>")

    def text(self, text: str) -> None:
        """Add prose; an empty line begins a new paragraph."""
        paragraphs = re.split(r"\n\s*\n", text.strip())
        self._parts.extend(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs)

    def table(
        self,
        header: Sequence[str],
        rows: Sequence[Sequence[str | float | None]],
        caption: str = "",
        best: str | Mapping[str, str] | None = None,
    ) -> None:
        """Add a table; numbers stand right-aligned with one count of decimals in a column.

        Args:
            header: names of the columns.
            rows: cells, as many in each row as there are columns; ``None`` and not-a-number show a dash.
            caption: a line above the table.
            best: which number of a column is bold: ``"max"`` or ``"min"`` for all columns of numbers, or a choice for
                some columns by their name, such as ``{"IoU": "max", "seconds": "min"}``.

        Raises:
            InputError: a row has more or fewer cells than the header, or ``best`` names no column or another choice.
        """
        self._parts.append(f'<div class="scroll" tabindex="0">{table_html(header, rows, caption, best)}</div>')

    def picture(self, picture: Picture, caption: str = "") -> None:
        """Add a picture: a Pillow image, or uint8 of shape (H, W), (H, W, 3) or (H, W, 4).

        Raises:
            InputError: an array of another shape or dtype.
        """
        self._parts.append(_figure(_image(picture, caption), caption))

    def row(self, pictures: Sequence[tuple[Picture, str]]) -> None:
        """Add pictures with their captions side by side, beneath each other where there is no room.

        Raises:
            InputError: an array is no picture.
        """
        figures = "\n".join(_figure(_image(picture, caption), caption) for picture, caption in pictures)
        self._parts.append(f'<div class="row">\n{figures}\n</div>')

    def svg(self, svg_text: str, caption: str = "") -> None:
        """Add a drawing, such as a chart of :mod:`omniconv.report.charts`, as it is.

        Raises:
            InputError: the text holds no ``<svg>`` element.
        """
        start, end = svg_text.find("<svg"), svg_text.rfind("</svg>")
        if start < 0 or end < start:
            raise InputError("svg_text", svg_text[:40], "must hold an <svg> element", "give a chart of report.charts")
        self._parts.append(_figure(svg_text[start : end + len("</svg>")], caption, kind="chart"))

    def facts(self, facts: Mapping[str, Any]) -> None:
        """Add names with their values, one pair a line."""
        pairs = (f"<dt>{escape(key)}</dt><dd>{escape(value_text(value))}</dd>" for key, value in facts.items())
        self._parts.append('<dl class="facts">\n' + "\n".join(pairs) + "\n</dl>")

    def code(self, text: str) -> None:
        """Add text in a fixed width, line by line as it is."""
        self._parts.append(f'<pre tabindex="0"><code>{escape(text)}</code></pre>')

    def legend(self, entries: Sequence[tuple[str, str]]) -> None:
        """Add names with patches of their CSS colours, as :func:`omniconv.report.pictures.legend` gives them.

        Raises:
            InputError: a colour is no plain CSS colour.
        """
        items = "\n".join(_swatch(name, colour) for name, colour in entries)
        self._parts.append(f'<ul class="legend">\n{items}\n</ul>')

    def html(self) -> str:
        """The whole page as text."""
        subtitle = f'\n<p class="subtitle">{escape(self._subtitle)}</p>' if self._subtitle else ""
        return "\n".join(
            [
                '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
                '<meta name="viewport" content="width=device-width, initial-scale=1">',
                f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
                f"<title>{escape(self._title)}</title>\n<style>\n{_style()}</style>\n</head>\n<body>",
                f"<header>\n<h1>{escape(self._title)}</h1>{subtitle}\n</header>\n<main>",
                *self._parts,
                "</main>\n</body>\n</html>\n",
            ]
        )

    def write(self, path: str | Path) -> None:
        """Write the page; its file is whole or not there.

        Raises:
            FileError: the file cannot be written.
        """
        with atomic_write(path) as file:
            file.write(self.html().encode("utf-8", "xmlcharrefreplace"))  # file names may hold lone surrogates


@cache
def _style() -> str:
    return files("omniconv.report").joinpath("page.css").read_text("utf-8")


def _figure(content: str, caption: str, kind: str = "picture") -> str:
    words = f"\n<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure class="{kind}">\n{content}{words}\n</figure>'


def _image(picture: Picture, caption: str) -> str:
    image = as_image(picture)
    kind, content = _encoded(image)
    data = base64.b64encode(content).decode("ascii")
    size = f'width="{image.width}" height="{image.height}"'
    return f'<img {size} alt="{escape(caption)}" src="data:image/{kind};base64,{data}">'


def _encoded(image: Image.Image) -> tuple[str, bytes]:
    """The kind and the bytes of the file: PNG, or JPEG for a large photograph."""
    content = png_bytes(image)
    photograph = image.mode == "RGB" and image.getcolors(FEW_COLOURS) is None
    if len(content) <= LARGEST_PNG or not photograph:
        return "png", content
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=90)
    return "jpeg", buffer.getvalue()


def _swatch(name: str, colour: str) -> str:
    if not CSS_COLOUR.fullmatch(colour):
        raise InputError("colour", colour, "must be a plain CSS colour", 'use one such as "#e69f00"')
    return f'<li><span style="background:{colour}"></span>{escape(name)}</li>'
