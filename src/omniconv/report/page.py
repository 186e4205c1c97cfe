"""HTML page in one file: pictures, charts and styles are embedded, and it contains no script."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from omniconv.errors import InputError, printable
from omniconv.files import atomic_write
from omniconv.report.pictures import Picture, as_image, png_bytes
from omniconv.report.tables import Best, CellValue, make_columns, value_text

MAX_PNG_BYTES = 200_000  # a photograph above this becomes a JPEG
MAX_EXACT_COLOURS = 4096  # label maps and charts have fewer colours, and stay exact
CSS_COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}|[a-zA-Z]+|(rgb|hsl)a?\([0-9.,%/ ]+\)")


class Page:
    """Report that is filled from top to bottom and written as one HTML file.

    Every text is escaped: a class called ``<b>`` is shown as ``<b>``, a control character as ``\\x1b``. The page needs
    no script, no network and no other file, and is laid out for phones and desktops, light and dark.

    Args:
        title: title of the page.
        subtitle: one line below it.

    Example:
        >>> page = Page("Land and sea", subtitle="one epoch")
        >>> page.heading("Result")
        >>> page.table(["surface", "IoU"], [["plane", 0.81], ["sphere", 0.92]], best={"IoU": "max"})
        >>> page.write("/tmp/page.html")
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self._title = title
        self._subtitle = subtitle
        self._parts: list[tuple[str, Any]] = []

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._parts.append(("heading", text))

    def text(self, text: str) -> None:
        """Add prose; an empty line begins a new paragraph."""
        paragraphs = re.split(r"\n\s*\n", text.strip())
        self._parts += [("paragraph", " ".join(paragraph.split())) for paragraph in paragraphs]

    def table(
        self,
        header: Sequence[str],
        rows: Sequence[Sequence[CellValue]],
        caption: str = "",
        best: Best = None,
        measures_in_rows: bool = False,
    ) -> None:
        """Add a table; numbers are right-aligned, and those of a measure share their decimals.

        Args:
            header: names of the columns.
            rows: cells, as many in each row as there are columns; ``None`` and not-a-number are shown as a dash.
            caption: line above the table.
            best: which number of a column is bold: ``"max"`` or ``"min"`` for all columns of numbers, or a choice for
                some columns by their name, such as ``{"IoU": "max", "seconds": "min"}``.
            measures_in_rows: each row is a measure; by default each column is one.

        Raises:
            InputError: a row has more or fewer cells than the header, or ``best`` names no column or another choice.
        """
        self._parts.append(
            ("table", {"columns": make_columns(header, rows, best, measures_in_rows), "caption": caption})
        )

    def row(self, pictures: Sequence[tuple[Picture, str]]) -> None:
        """Add pictures with their captions side by side; they wrap on a narrow screen.

        Args:
            pictures: Pillow images, or uint8 of shape (H, W), (H, W, 3) or (H, W, 4), each with its caption.

        Raises:
            InputError: an array of another shape or dtype.
        """
        self._parts.append(("row", [_embed(picture, caption) for picture, caption in pictures]))

    def svg(self, svg_text: str, caption: str = "") -> None:
        """Add a drawing, such as a chart of :mod:`omniconv.report.charts`, unescaped.

        Raises:
            InputError: the text contains no ``<svg>`` element.
        """
        start, end = svg_text.find("<svg"), svg_text.rfind("</svg>")
        if start < 0 or end < start:
            raise InputError("svg_text", svg_text[:40], "must contain <svg>…</svg>", "give a chart of report.charts")
        self._parts.append(("chart", {"drawing": Markup(svg_text[start : end + len("</svg>")]), "caption": caption}))

    def facts(self, facts: Mapping[str, Any]) -> None:
        """Add names with their values, one pair a line."""
        self._parts.append(("facts", [(name, value_text(value)) for name, value in facts.items()]))

    def legend(self, entries: Sequence[tuple[str, str]]) -> None:
        """Add names with patches of their CSS colours, as returned by :func:`omniconv.report.pictures.legend`.

        Raises:
            InputError: a colour is no plain CSS colour.
        """
        for _, colour in entries:
            if not CSS_COLOUR.fullmatch(colour):
                raise InputError("colour", colour, "must be a plain CSS colour", 'use one such as "#e69f00"')
        self._parts.append(("legend", entries))

    def html(self) -> str:
        """Return the page as HTML text."""
        return load_template("report").render(title=self._title, subtitle=self._subtitle, parts=self._parts)

    def write(self, path: str | Path) -> None:
        """Write the page atomically.

        Raises:
            FileError: the file cannot be written.
        """
        with atomic_write(path) as file:
            file.write(self.html().encode())


@cache
def load_template(package: str) -> Template:
    """Return ``templates/page.html`` of a package of omniconv; texts are escaped, undefined variables raise errors."""
    loader = PackageLoader(f"omniconv.{package}")
    environment = Environment(
        loader=loader, autoescape=True, finalize=_escape_invisible, trim_blocks=True, keep_trailing_newline=True,
        undefined=StrictUndefined,
    )  # fmt: skip
    environment.filters["zip"] = lambda columns: zip(*columns, strict=True)
    return environment.get_template("page.html")


def _escape_invisible(value: Any) -> Any:
    """Escape control characters and lone surrogates of a text before Jinja escapes its HTML."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _embed(picture: Picture, caption: str) -> dict[str, Any]:
    """Return the size, the caption and the file of a picture (a data URL) for the template."""
    image = as_image(picture)
    kind, content = "png", png_bytes(image)
    is_photograph = image.mode == "RGB" and image.getcolors(MAX_EXACT_COLOURS) is None
    if is_photograph and len(content) > MAX_PNG_BYTES:
        buffer = io.BytesIO()
        image.save(buffer, format="JPEG", quality=90)
        kind, content = "jpeg", buffer.getvalue()
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
    return {"width": image.width, "height": image.height, "caption": caption, "source": source}
