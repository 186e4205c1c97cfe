"""Pictures of label maps: in class colours, as overlays and error maps, and thumbnails on a contact sheet."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from omniconv.checks import check_integer
from omniconv.errors import InputError, printable

BACKGROUND = (58, 71, 88)
OKABE_ITO = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (0, 114, 178), (213, 94, 0), (204, 121, 167), (240, 228, 66))
SHADES = ((0.75, 0.85), (0.55, 0.60), (0.40, 0.95))  # saturation and value of successive hues
FIRST_HUE, HUE_STEP = 0.75, 0.6180339887498949  # steps by the golden ratio keep any number of hues apart
CORRECT, WRONG = (226, 229, 232), (225, 29, 42)
HATCH_BACKGROUND, HATCH_LINE = (246, 246, 246), (188, 188, 188)
MARGIN = 14
FONT_SIZE = 14
CAPTION_COLOUR = (31, 41, 51)

Picture = np.ndarray | Image.Image


def palette(classes: int) -> np.ndarray:
    """Return the colours of classes, uint8 (classes, 3): grey-blue for the background, Okabe-Ito, then spaced hues.

    The colour of a class does not depend on the number of classes.

    Example:
        >>> palette(2).tolist()
        [[58, 71, 88], [230, 159, 0]]
    """
    check_integer("classes", classes, 1, "count the background too")
    fixed = (BACKGROUND, *OKABE_ITO)[:classes]
    return np.array([*fixed, *(_hue(index) for index in range(classes - len(fixed)))], np.uint8)


def paint(labels: np.ndarray, classes: int, ignored: int = 255) -> np.ndarray:
    """Return labels (H, W) in the colours of their classes, uint8 (H, W, 3); ignored pixels are hatched in light grey.

    Example:
        >>> paint(np.array([[0, 1]]), classes=2).tolist()
        [[[58, 71, 88], [230, 159, 0]]]
    """
    check_label_map("labels", labels)
    colours = palette(classes)
    indices = np.where(labels == ignored, 0, labels).astype(np.intp)
    unknown = indices[(indices < 0) | (indices >= classes)]
    if unknown.size:
        rule = f"must be a class, 0 to {classes - 1}, or the ignored label {ignored}"
        raise InputError("labels", int(unknown[0]), rule, "raise classes or name the ignored label")
    return _hatched(colours[indices], labels == ignored)


def overlay(
    image: np.ndarray, labels: np.ndarray, classes: int, opacity: float = 0.45, ignored: int = 255
) -> np.ndarray:
    """Return an image (H, W, 3) under translucent class colours, with opaque lines along the edges of classes.

    The image is unchanged in the background, class 0. Ignored pixels are hatched.

    Example:
        >>> image = np.full((1, 2, 3), 100, np.uint8)
        >>> overlay(image, np.array([[0, 0]]), classes=2).tolist() == image.tolist()
        True
    """
    check_rgb("image", image)
    if not 0 <= opacity <= 1:
        raise InputError("opacity", opacity, "must be from 0 to 1", "use opacity=0.45")
    colours = paint(labels, classes, ignored)
    check_same_size("labels", labels, "image", image)
    strength = np.where(labels == 0, 0.0, opacity)
    strength[_edges(labels) & (labels != 0) & (labels != ignored)] = 1.0
    mixed = image + (colours - image.astype(np.float64)) * strength[..., None]
    return np.rint(mixed).astype(np.uint8)


def error_map(truth: np.ndarray, prediction: np.ndarray, ignored: int = 255) -> np.ndarray:
    """Return a picture (H, W, 3) of wrong labels (H, W), red on light grey; ignored true labels are hatched.

    Example:
        >>> error_map(np.array([[1, 1]]), np.array([[1, 0]])).tolist()
        [[[226, 229, 232], [225, 29, 42]]]
    """
    check_label_map("truth", truth)
    check_label_map("prediction", prediction)
    check_same_size("prediction", prediction, "truth", truth)
    colours = np.where((truth == prediction)[..., None], np.array(CORRECT, np.uint8), np.array(WRONG, np.uint8))
    return _hatched(colours, truth == ignored)


def paint_hole(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Return an image (H, W, 3) or (H, W) with its hole, True in ``hole`` (H, W), hatched in light grey.

    Example:
        >>> paint_hole(np.zeros((1, 2, 3), np.uint8), np.array([[False, True]]))[0, :, 0].tolist()
        [0, 188]
    """
    colours = np.broadcast_to(image[..., None], (*image.shape, 3)) if image.ndim == 2 else image
    check_rgb("image", np.asarray(colours))
    check_same_size("hole", hole, "image", image)
    return _hatched(colours, hole)


def legend(class_names: Sequence[str]) -> list[tuple[str, str]]:
    """Return each class name with its CSS colour; the background comes first.

    Example:
        >>> legend(["sea", "land"])
        [('sea', '#3a4758'), ('land', '#e69f00')]
    """
    colours = palette(len(class_names))
    return [(name, f"#{bytes(colour).hex()}") for name, colour in zip(class_names, colours, strict=True)]


def png_bytes(picture: Picture) -> bytes:
    """Return a Pillow image, or uint8 of shape (H, W), (H, W, 3) or (H, W, 4), as a PNG file.

    Example:
        >>> png_bytes(np.zeros((2, 2), np.uint8))[1:4]
        b'PNG'
    """
    buffer = io.BytesIO()
    as_image(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def contact_sheet(tiles: Sequence[tuple[Picture, str]], columns: int, tile_width: int = 220) -> Image.Image:
    """Return thumbnails of one width in reading order on white, each above its caption.

    A caption that is too long ends in an ellipsis.

    Example:
        >>> contact_sheet([(np.zeros((10, 20, 3), np.uint8), "night")], columns=1, tile_width=100).width
        128
    """
    for argument, count in (("tiles", len(tiles)), ("columns", columns), ("tile_width", tile_width)):
        check_integer(argument, count, 1, "use at least one")
    thumbnails = [_tile(picture, caption, tile_width) for picture, caption in tiles]
    rows = [thumbnails[start : start + columns] for start in range(0, len(thumbnails), columns)]
    heights = [max(tile.height for tile in row) for row in rows]
    size = (MARGIN + columns * (tile_width + MARGIN), MARGIN + sum(height + MARGIN for height in heights))
    sheet = Image.new("RGB", size, "white")
    top = MARGIN
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            sheet.paste(tile, (MARGIN + column * (tile_width + MARGIN), top))
        top += height + MARGIN
    return sheet


def fit_side(picture: np.ndarray, side: int) -> np.ndarray:
    """Return a picture (H, W) or (H, W, C), uint8, at a size to look at.

    Args:
        picture: the picture.
        side: its longer side in the result; a smaller picture is enlarged by the largest integer factor that fits, so
            that its pixels stay squares of one size.

    Example:
        >>> [fit_side(np.zeros(size, np.uint8), 100).shape for size in ((30, 40), (300, 400))]
        [(60, 80), (75, 100)]
    """
    height, width = picture.shape[:2]
    if max(height, width) <= side:
        factor = max(1, side // max(height, width))
        return np.repeat(np.repeat(picture, factor, 0), factor, 1)
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX, reducing_gap=2.0))


def check_rgb(argument: str, image: np.ndarray) -> None:
    """Check that an array is an RGB image: uint8 (H, W, 3), with at least one pixel."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        rule = "must be an RGB image, uint8 of shape (H, W, 3)"
        raise InputError(argument, _describe(image), rule, "scale it to 0..255 and put the channels last")


def check_label_map(argument: str, labels: np.ndarray) -> None:
    """Check that an array is a label map: integers (H, W), with at least one pixel."""
    if labels.ndim != 2 or labels.dtype.kind not in "iub" or labels.size == 0:
        rule = "must be a label map, integers of shape (H, W)"
        raise InputError(argument, _describe(labels), rule, "take the argmax over the classes of one image")


def check_same_size(argument: str, value: np.ndarray, other_argument: str, other: np.ndarray) -> None:
    """Check that two images have the same height and width."""
    if value.shape[:2] != other.shape[:2]:
        rule = f"must have the height and width of {other_argument}, {other.shape[:2]}"
        raise InputError(argument, value.shape[:2], rule, "resize one of them")


def as_image(picture: Picture) -> Image.Image:
    """Return uint8 (H, W), (H, W, 3) or (H, W, 4) as a Pillow image; a Pillow image is not copied."""
    if isinstance(picture, Image.Image):
        return picture
    shaped = picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] in (3, 4))
    if not shaped or picture.dtype != np.uint8 or picture.size == 0:
        rule = "must be uint8 of shape (H, W), (H, W, 3) or (H, W, 4)"
        raise InputError("picture", _describe(picture), rule, "scale it to 0..255 and put the channels last")
    return Image.fromarray(np.ascontiguousarray(picture))


def _hue(index: int) -> tuple[int, int, int]:
    saturation, value = SHADES[index % len(SHADES)]
    red, green, blue = colorsys.hsv_to_rgb((FIRST_HUE + index * HUE_STEP) % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def _hatched(colours: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(ignored.shape)
    line = (rows + columns) % 8 < 2
    hatch = np.array([HATCH_BACKGROUND, HATCH_LINE], np.uint8)[line.astype(np.intp)]
    return np.where(ignored[..., None], hatch, colours)


def _edges(labels: np.ndarray) -> np.ndarray:
    """Return True for pixels with a neighbour above, below, left or right of another label, bool (H, W)."""
    padded = np.pad(labels, 1, mode="edge")
    neighbours = padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]
    return np.logical_or.reduce([labels != neighbour for neighbour in neighbours])


def _tile(picture: Picture, caption: str, width: int) -> Image.Image:
    font = ImageFont.load_default(size=FONT_SIZE)
    thumbnail = _thumbnail(as_image(picture), width)
    above, below = font.getmetrics() if isinstance(font, ImageFont.FreeTypeFont) else (FONT_SIZE, 0)
    tile = Image.new("RGB", (width, thumbnail.height + 6 + above + below), "white")
    tile.paste(thumbnail, (0, 0))
    text = _fit_caption(caption, width, font)
    ImageDraw.Draw(tile).text((0, thumbnail.height + 5), text, fill=CAPTION_COLOUR, font=font)
    return tile


def _thumbnail(image: Image.Image, width: int) -> Image.Image:
    height = max(1, round(image.height * width / image.width))
    # Nearest enlarges pixels to squares; Hamming shrinks without the halos of Lanczos around the edges of labels.
    method = Image.Resampling.NEAREST if width > image.width else Image.Resampling.HAMMING
    return image.convert("RGB").resize((width, height), method)


def _fit_caption(caption: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return the caption on one line, or as much of its start as fits before an ellipsis."""
    line = printable(" ".join(caption.split()))
    truncated = (line[:end].rstrip() + "…" for end in range(min(len(line), width), 0, -1))
    for text in (line, *truncated):
        if font.getlength(text) < width - 1:
            return text
    return ""


def _describe(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"
