"""Drawing with Pillow at twice the size, so that lines come out smooth: boxes, polygons, curves and fitted text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from omniconv.explain.colours import INK, PAPER
from omniconv.explain.layout import Box, Point

SCALE = 2
MOST_WORDS = 160  # of a text that is shortened


@cache
def font(size: float, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which Matplotlib brings along; it has every sign that formulas need."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size * SCALE)


@cache
def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width of a line in pixels of the picture."""
    return font(size, bold).getlength(text) / SCALE


class Brush:
    """Draws on one image; everything is measured in pixels of the finished picture.

    Args:
        image: twice as large as the finished picture.
        shift: where the origin lies.
    """

    def __init__(self, image: Image.Image, shift: Point = (0, 0)) -> None:
        self.image, self.shift = image, shift
        self.draw = ImageDraw.Draw(image, "RGBA")

    def moved(self, by: Point) -> Brush:
        """The same with another origin."""
        return Brush(self.image, (self.shift[0] + by[0], self.shift[1] + by[1]))

    def box(
        self, box: Box, fill: str | None = None, line: str | None = None, width: float = 1, inset: float = 0
    ) -> None:
        """A rectangle with slightly round corners."""
        left, top, right, bottom = box
        corners = self._points([(left + inset, top + inset), (right - inset, bottom - inset)])
        self.draw.rounded_rectangle(corners, 2.5 * SCALE, fill, line, round(width * SCALE) if line else 0)

    def polygon(self, points: Sequence[Point], fill: str) -> None:
        """A filled shape."""
        self.draw.polygon(self._points(points), fill)

    def line(self, points: Sequence[Point], colour: str, width: float = 1) -> None:
        """A line from point to point."""
        self.draw.line(self._points(points), colour, round(width * SCALE), joint="curve")

    def text(
        self, at: Point, text: str, size: float = 13, colour: str = INK, anchor: str = "mm", bold: bool = False
    ) -> None:
        """A line of text; the anchor is Pillow's."""
        self.draw.text(self._points([at])[0], text, colour, font(size, bold), anchor)

    def restore(self, before: Image.Image, box: Box) -> None:
        """Put a part of the picture back to what it was."""
        (left, top), (right, bottom) = self._points([box[:2], box[2:]])
        corners = (int(left), int(top), round(right) + 1, round(bottom) + 1)
        self.image.paste(before.crop(corners), corners[:2])

    def _points(self, points: Sequence[Point]) -> list[Point]:
        return [((x + self.shift[0]) * SCALE, (y + self.shift[1]) * SCALE) for x, y in points]


def new_canvas(width: float, height: float) -> Image.Image:
    """White paper for a picture of this size."""
    return Image.new("RGB", (round(width) * SCALE, round(height) * SCALE), PAPER)


def finished(image: Image.Image) -> Image.Image:
    """The picture in its own size."""
    return image.reduce(SCALE)


def wrapped(text: str, width: float, size: float, most: int) -> list[str]:
    """A text in lines of a width; what would take more than ``most`` lines loses its middle, never its end.

    Lines break at plain spaces alone.
    """
    words = text.split(" ")
    lines, kept = _broken(words, width, size), min(len(words) - 1, MOST_WORDS)
    while len(lines) > most and kept > 1:
        kept -= 1
        lines = _broken([*words[: -(-kept // 2)], "…", *words[len(words) - kept // 2 :]], width, size)
    return lines


def _broken(words: Sequence[str], width: float, size: float) -> list[str]:
    lines: list[list[str]] = []
    room = 0.0
    for word in words:
        wide = text_width(f" {word}", size)
        if not lines or wide > room:
            lines.append([])
            room = width + text_width(" ", size)
        lines[-1].append(word)
        room -= wide
    return [" ".join(line) for line in lines]
