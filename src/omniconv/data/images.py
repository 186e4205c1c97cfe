"""Images: the header without decoding, and the upright RGB pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from omniconv.data.image_file import bits_a_channel, decode, open_image, read_orientation, swaps_sides, upright_size
from omniconv.errors import FileError, InputError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})

_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr"})


@dataclass(frozen=True)
class Header:
    """What an image file says about itself.

    Attributes:
        width: pixels a row, after the EXIF orientation has been applied.
        height: rows, after the EXIF orientation has been applied.
        mode: Pillow's name of the pixel layout, such as ``"RGB"`` or ``"P"``.
        format: Pillow's name of the file format, such as ``"JPEG"``.
        orientation: the EXIF orientation of the stored pixels, 1 (upright) to 8.
    """

    width: int
    height: int
    mode: str
    format: str
    orientation: int

    @property
    def size(self) -> tuple[int, int]:
        """The upright (height, width)."""
        return self.height, self.width

    @property
    def stored_size(self) -> tuple[int, int]:
        """The (height, width) of the pixels as they lie in the file, before the EXIF orientation."""
        return (self.width, self.height) if swaps_sides(self.orientation) else (self.height, self.width)


def read_header(path: str | Path) -> Header:
    """Read an image's size and kind, and refuse what omniconv cannot use, without decoding the pixels.

    Args:
        path: a PNG, JPEG, BMP, TIFF or WebP file with one picture of 8 bits a channel.

    Raises:
        FileError: the file is missing, a folder, empty, not readable, not an image, of more than about
            179 megapixels, smaller than 2 pixels on a side, animated or of several pages, of more than
            8 bits a channel, or neither grey nor RGB (CMYK, LAB).

    Example:
        >>> read_header("photo.jpg").size  # doctest: +SKIP
        (1080, 1920)
    """
    with open_image(path) as image:
        return _describe(path, image)


def read_image(path: str | Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read an image as upright RGB pixels.

    Palette, grey and 1-bit images become RGB. Transparency is dropped: a pixel keeps the colour that is
    stored beneath it. The EXIF orientation is applied once, before ``size``.

    Args:
        path: an image file, see [`read_header`][omniconv.data.images.read_header].
        size: the wanted (height, width); by default the image's own. Shrinking averages, and a large JPEG
            is decoded small at once.

    Returns:
        The pixels, uint8 of shape (height, width, 3), contiguous.

    Raises:
        FileError: as ``read_header``, or the file is cut short or damaged.
        InputError: ``size`` is not two positive numbers.

    Example:
        >>> read_image("photo.jpg", size=(512, 1024)).shape  # doctest: +SKIP
        (512, 1024, 3)
    """
    with open_image(path) as image:
        header = _describe(path, image)
        height, width = header.size if size is None else _check_size(size)
        _decode_small(image, header, height, width)
        picture = _to_rgb(decode(path, image))
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
        return np.array(picture)


def _describe(path: str | Path, image: Image.Image) -> Header:
    _check_mode(path, image)
    width, height = upright_size(image)
    return Header(width, height, image.mode, str(image.format), read_orientation(image))


def _check_mode(path: str | Path, image: Image.Image) -> None:
    bits = bits_a_channel(image)
    if bits > 8:
        rule = f"is a {bits}-bit image: omniconv reads 8 bits a channel"
        raise FileError(path, rule, "scale it to 8 bits, for example with ImageMagick: magick in.png -depth 8 out.png")
    if image.mode not in _MODES:
        raise FileError(path, f"is a {image.mode} image: omniconv reads grey and RGB images", "save it as RGB")


def _check_size(size: tuple[int, int]) -> tuple[int, int]:
    if len(size) != 2 or min(size) < 1:
        raise InputError("size", size, "must be (height, width) of at least 1", "use size=(512, 1024), for example")
    return size


def _decode_small(image: Image.Image, header: Header, height: int, width: int) -> None:
    wanted = (height, width) if swaps_sides(header.orientation) else (width, height)
    image.draft(None, (2 * wanted[0], 2 * wanted[1]))  # twice the size leaves the last halving to the better filter


def _to_rgb(image: Image.Image) -> Image.Image:
    image.info.pop("transparency", None)
    return image if image.mode == "RGB" else image.convert("RGB")  # a conversion always copies
