"""Animated GIF of an explanation: frames with the drawing, the arithmetic of the step and the facts.

The SVG of ``svg.py`` is rasterised by resvg. The parts that do not change between steps are rasterised once, as text
takes half of the time.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageFont

from omniconv.explain.layout import ARC, RULER, WIDTH, Box, bounding_box, moved, wide_layout
from omniconv.explain.page import resource
from omniconv.explain.scene import CellIndex, Scene, Step
from omniconv.explain.svg import HATCH, Drawing, draw_key, points_text, tag, text_tag

LAST_FRAME_STEPS = 3  # duration of the last frame, in durations of the others
PALETTE_FRAMES = 4  # number of frames whose colours make the palette
UNCHANGED = 255  # palette index of pixels that stay as in the frame before
MARGIN, MIN_WIDTH = 24.0, 640.0
HEAD_HEIGHT, LINE_HEIGHT, FONT_SIZE = 66.0, 20.0, 13.0  # heights of the head and of a line; font size
FACT_NAMES_WIDTH = 132.0  # width of the names of facts
MAX_LINES = 2  # of each text of a step


def gif_bytes(scene: Scene, seconds: float) -> bytes:
    """Return an animation that repeats for ever; a step takes ``seconds``."""
    frames = Frames(scene)
    palette = Palette(frames.render(every=-(-len(scene.steps) // PALETTE_FRAMES)))
    first, *changes = _changes(frames.render(), palette)
    durations = [round(1000 * seconds)] * len(changes) + [round(1000 * seconds * LAST_FRAME_STEPS)]
    buffer = io.BytesIO()
    first.save(
        buffer, "GIF", save_all=True, append_images=changes, duration=durations, loop=0, optimize=False, disposal=1,
        transparency=UNCHANGED,
    )  # fmt: skip
    return buffer.getvalue()


class Frames:
    """Frames of a scene, from top to bottom: head, panels, step, facts, legend."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.layout = scene, wide_layout(scene)
        self.drawing = Drawing(scene, self.layout.cell)
        text = max(MIN_WIDTH, text_width(scene.title, 19, bold=True), text_width(scene.subtitle, FONT_SIZE))
        self.text_width = max(self.layout.size[0], min(text, WIDTH))
        self.origin = (round(MARGIN + (self.text_width - self.layout.size[0]) / 2), HEAD_HEIGHT + 14 * scene.is_row)
        self.step_top = self.origin[1] + self.layout.size[1] + 18
        step_lines = max(len(self.step_lines(step)) for step in scene.steps)
        self.facts_top = self.step_top + 26 + LINE_HEIGHT * step_lines + 14
        facts, bottom = self._facts()
        legend, bottom = self._legend(bottom + 14)
        self.size = (round(self.text_width + 2 * MARGIN), round(bottom + 8))
        self._static = "".join([self._head(), facts, legend, *self._panels()])

    def render(self, every: int = 1) -> Iterator[Image.Image]:
        """Yield an RGB image for each step, or for each ``every``-th step up to the last."""
        width, height = map(float, self.size)
        base = rasterise(self._static, (0.0, 0.0, width, height))  # transparent between panels, where the band shows
        shown: dict[CellIndex, str] = {}
        for remaining, step in zip(range(len(self.scene.steps) - 1, -1, -1), self.scene.steps, strict=True):
            for update in step.updates:
                shown[update.cell] = update.text
                box = moved(self.layout.box(update.cell), self.origin)
                _paste(base, self._in_panel(update.cell[0], self.drawing.update(update)), box)
            if remaining % every == 0:
                image = Image.new("RGBA", self.size, _variables()["paper"])
                self._draw_step(image, base, step, shown)
                yield image.convert("RGB")

    def step_lines(self, step: Step) -> list[tuple[str, str]]:
        """Return the wrapped lines of a step with their CSS classes; the first text is the arithmetic itself."""
        return [
            (part, "line index" if number else "line")
            for number, line in enumerate(step.lines)
            for part in wrapped(line, self.text_width, FONT_SIZE, MAX_LINES)
        ]

    def _draw_step(self, image: Image.Image, base: Image.Image, step: Step, shown: dict[CellIndex, str]) -> None:
        corners = [(x + self.origin[0], y + self.origin[1]) for x, y in self.layout.band(step)]
        band = tag("polygon", class_="band", points=points_text(corners))
        _paste(image, band, bounding_box([(*corner, *corner) for corner in corners]))
        image.alpha_composite(base)
        for number, layer in enumerate(self.drawing.overlays(step, shown)):
            if layer:  # the marks of each panel by themselves, as the time grows with the area
                cells = [self.layout.box(mark.cell) for mark in step.marks if mark.cell[0] == number]
                left, top, right, bottom = moved(bounding_box(cells), self.origin)
                arcs = ARC + RULER if step.links else 3.0
                _paste(image, self._in_panel(number, layer), (left - 3, top - arcs, right + 3, bottom + arcs))
        lines = self.step_lines(step)
        width = max(text_width(step.title, 14, bold=True), *(text_width(line, FONT_SIZE) for line, _ in lines))
        texts = [text_tag((MARGIN, self.step_top + 16), step.title, 14, "heading step")]
        for number, (line, class_) in enumerate(lines):
            texts.append(text_tag((MARGIN, self.step_top + 40 + number * LINE_HEIGHT), line, FONT_SIZE, class_))
        bottom = self.step_top + 32 + len(lines) * LINE_HEIGHT
        _paste(image, "".join(texts), (MARGIN, self.step_top, MARGIN + width + 8, bottom))

    def _in_panel(self, number: int, content: str) -> str:
        x, y = self.layout.origins[number]
        return tag("g", content, transform=f"translate({x + self.origin[0]:g} {y + self.origin[1]:g})")

    def _panels(self) -> list[str]:
        panels = [self._in_panel(number, self.drawing.panel(number)) for number in range(len(self.scene.panels))]
        titles = tag("g", self.drawing.titles(self.layout), transform="translate({:g} {:g})".format(*self.origin))
        return [*panels, titles]

    def _head(self) -> str:
        subtitle = wrapped(self.scene.subtitle, self.text_width, FONT_SIZE, 1)[0]
        title = text_tag((MARGIN, 36), self.scene.title, 19, "heading")
        return title + text_tag((MARGIN, 57), subtitle, FONT_SIZE, "line index")

    def _facts(self) -> tuple[str, float]:
        y = self.facts_top
        parts = [tag("path", class_="rule", d=f"M{MARGIN} {y:g}h{self.text_width:g}")]
        y += 8
        for name, text in self.scene.facts:
            parts.append(text_tag((MARGIN, y + LINE_HEIGHT), name, FONT_SIZE, "line index"))
            for line in wrapped(text, self.text_width - FACT_NAMES_WIDTH, FONT_SIZE, 2):
                y += LINE_HEIGHT
                parts.append(text_tag((MARGIN + FACT_NAMES_WIDTH, y), line, FONT_SIZE, "line"))
        return "".join(parts), y

    def _legend(self, top: float) -> tuple[str, float]:
        """Return the entries side by side, in a new line where the width ends, and the bottom of the last line."""
        parts, x, y = [], 0.0, top
        for key, name in self.scene.legend:
            width = 28 + text_width(name, 12)
            if x and x + width > self.text_width:
                x, y = 0.0, y + 24
            symbol = draw_key(key) + text_tag((28, 15.3), name, 12, "line index")
            parts.append(tag("g", symbol, transform=f"translate({MARGIN - 2 + x:g} {y:g})"))
            x += width + 20
        return "".join(parts), y + 24


def rasterise(content: str, box: Box) -> Image.Image:
    """Return a part of a drawing as an RGBA image, one pixel for each unit; the box must have integer coordinates."""
    import resvg_py

    left, top, right, bottom = box
    width, height = right - left, bottom - top
    svg = tag(
        "svg", f"<style>{_style()}</style>{HATCH}{content}", xmlns="http://www.w3.org/2000/svg", class_="drawing",
        width=width, height=height, viewBox=f"{left:g} {top:g} {width:g} {height:g}", font_family="DejaVu Sans",
    )  # fmt: skip
    fonts = [_font_file(False), _font_file(True)] if "<text" in content else []  # 2 ms to read them
    png = resvg_py.svg_to_bytes(svg_string=svg, font_files=fonts, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


def _paste(image: Image.Image, content: str, box: Box) -> None:
    """Rasterise the part of a drawing inside a box, and draw it over an image."""
    left, top = (max(0, int(edge)) for edge in box[:2])
    right, bottom = (min(size, int(edge) + 1) for size, edge in zip(image.size, box[2:], strict=True))
    image.alpha_composite(rasterise(content, (left, top, right, bottom)), (left, top))


@cache
def _variables() -> dict[str, str]:
    """Return the CSS variables of the page on light paper: the first definition of each."""
    css = resource("report", "page.css") + resource("explain", "player.css")
    return dict(reversed(re.findall(r"--(\w+): ([^;]+);", css)))


@cache
def _style() -> str:
    """Return the style sheet of the drawing with the values of its variables, which resvg does not know."""
    return re.sub(r"var\(--(\w+)\)", lambda name: _variables()[name[1]], resource("explain", "drawing.css"))


@cache
def _font_file(bold: bool) -> str:
    """Return DejaVu Sans of Matplotlib's data, which has all signs of the formulas, and is the same everywhere."""
    import matplotlib

    return f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans{'-Bold' * bold}.ttf"


@cache
def text_width(text: str, size: float, bold: bool = False) -> float:
    """Return the width of a line in pixels."""
    return ImageFont.truetype(_font_file(bold), size).getlength(text)


def wrapped(text: str, width: float, size: float, most: int) -> list[str]:
    """Return a text in lines of a width, broken at spaces; a text of more than ``most`` lines loses its middle."""
    words = text.split(" ")
    lines = _break_lines(words, width, size)
    kept = min(len(words) - 1, 160)  # two lines have room for fewer words, however short
    while len(lines) > most and kept > 1:
        kept -= 1
        lines = _break_lines([*words[: -(-kept // 2)], "…", *words[len(words) - kept // 2 :]], width, size)
    return lines


def _break_lines(words: Sequence[str], width: float, size: float) -> list[str]:
    lines: list[list[str]] = []
    free = 0.0  # pixels left in the last line
    for word in words:
        word_width = text_width(f" {word}", size)
        if not lines or word_width > free:
            lines.append([])
            free = width + text_width(" ", size)  # the first word of a line has no space before it
        lines[-1].append(word)
        free -= word_width
    return [" ".join(line) for line in lines]


class Palette:
    """Most frequent colours of some RGB frames, used for all frames so that nothing flickers.

    Colours are matched exactly: Pillow 13's ``quantize(palette=...)`` turns white into (252, 253, 252).
    """

    def __init__(self, frames: Iterable[Image.Image]) -> None:
        colours, counts = np.unique(np.concatenate([_packed(frame).ravel() for frame in frames]), return_counts=True)
        self._colours = colours[np.argsort(-counts, kind="stable")][:UNCHANGED]
        self._nearest = np.full(1 << 24, -1, np.int16)  # palette index of each colour that was looked up

    def indices(self, frame: Image.Image) -> np.ndarray:
        """Return the index of the nearest colour for each pixel."""
        packed = _packed(frame)
        unknown = np.unique(packed[self._nearest[packed] < 0])
        if unknown.size:
            difference = _channels(unknown)[:, None] - _channels(self._colours)[None]
            self._nearest[unknown] = (difference**2).sum(-1).argmin(-1)
        return self._nearest[packed].astype(np.uint8)

    def image(self, indices: np.ndarray) -> Image.Image:
        """Return an image of indices with this palette."""
        result = Image.fromarray(indices)
        result.putpalette(_channels(self._colours).astype(np.uint8).tobytes())
        return result


def _changes(frames: Iterable[Image.Image], palette: Palette) -> Iterator[Image.Image]:
    """Yield the first frame, then each later one with only the pixels that differ from the frame before."""
    before = None
    for frame in frames:
        indices = palette.indices(frame)
        yield palette.image(indices if before is None else np.where(before == indices, np.uint8(UNCHANGED), indices))
        before = indices


def _packed(frame: Image.Image) -> np.ndarray:
    """Return red, green and blue in one number."""
    red, green, blue = np.moveaxis(np.asarray(frame, np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def _channels(packed: np.ndarray) -> np.ndarray:
    return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], -1).astype(np.int32)
