"""Many pictures on one sheet, each with its caption."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from omniconv.report.checks import Picture, as_image, require_count

MARGIN = 14
FONT_SIZE = 14
INK = (31, 41, 51)


def contact_sheet(tiles: Sequence[tuple[Picture, str]], columns: int, tile_width: int = 220) -> Image.Image:
    """Lay pictures out on white as thumbnails of one width, each with its caption beneath.

    A caption that is too long ends in an ellipsis.

    Args:
        tiles: pictures with their captions, in reading order; at least one.
        columns: how many stand beside each other.
        tile_width: width of each thumbnail in pixels.

    Returns:
        An RGB image, ``columns`` tiles and the margins between and around them wide.

    Raises:
        InputError: there is no tile, a count is below 1, or an array is no picture.

    Example:
        >>> import numpy as np
        >>> contact_sheet([(np.zeros((10, 20, 3), np.uint8), "night")], columns=1, tile_width=100).width
        128
    """
    for argument, count in (("tiles", len(tiles)), ("columns", columns), ("tile_width", tile_width)):
        require_count(argument, count)
    drawn = [_tile(picture, caption, tile_width) for picture, caption in tiles]
    rows = [drawn[start : start + columns] for start in range(0, len(drawn), columns)]
    heights = [max(tile.height for tile in row) for row in rows]
    size = (MARGIN + columns * (tile_width + MARGIN), MARGIN + sum(height + MARGIN for height in heights))
    sheet = Image.new("RGB", size, "white")
    top = MARGIN
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            sheet.paste(tile, (MARGIN + column * (tile_width + MARGIN), top))
        top += height + MARGIN
    return sheet


def _tile(picture: Picture, caption: str, width: int) -> Image.Image:
    font = ImageFont.load_default(size=FONT_SIZE)
    thumbnail = _thumbnail(as_image(picture), width)
    above, below = font.getmetrics() if isinstance(font, ImageFont.FreeTypeFont) else (FONT_SIZE, 0)
    tile = Image.new("RGB", (width, thumbnail.height + 6 + above + below), "white")
    tile.paste(thumbnail, (0, 0))
    ImageDraw.Draw(tile).text((0, thumbnail.height + 5), _fitted(caption, width, font), fill=INK, font=font)
    return tile


def _thumbnail(image: Image.Image, width: int) -> Image.Image:
    height = max(1, round(image.height * width / image.width))
    grows = width > image.width  # enlarged pixels stay square; Hamming shrinks without halos around label edges
    method = Image.Resampling.NEAREST if grows else Image.Resampling.HAMMING
    return image.convert("RGB").resize((width, height), method)


def _fitted(caption: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The caption on one line, or as much of its start as fits before an ellipsis."""
    line = " ".join(caption.split())
    shortened = (line[:end].rstrip() + "…" for end in range(min(len(line), width), 0, -1))
    for text in (line, *shortened):
        if font.getlength(text) < width - 1:
            return text
    return ""
