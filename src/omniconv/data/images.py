"""Reading of image files: the header without decoding the pixels, and upright RGB pixels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile

from omniconv.errors import FileError, InputError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
COPY_AGAIN = "copy the file again from its source or take it out of the folder"

_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr"})
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transposition that makes an image upright, for each EXIF orientation; 1 is upright."""


@dataclass(frozen=True)
class Header:
    """Header of an image file.

    Attributes:
        width: pixels per row, after the EXIF orientation has been applied.
        height: rows, after the EXIF orientation has been applied.
        mode: Pillow's name of the pixel format, such as ``"RGB"`` or ``"P"``.
        format: Pillow's name of the file format, such as ``"JPEG"``.
        orientation: EXIF orientation of the stored pixels, 1 (upright) to 8.
    """

    width: int
    height: int
    mode: str
    format: str
    orientation: int

    @property
    def size(self) -> tuple[int, int]:
        """Upright (height, width)."""
        return self.height, self.width

    @property
    def stored_size(self) -> tuple[int, int]:
        """(height, width) of the pixels as stored, before the EXIF orientation is applied."""
        return (self.width, self.height) if _swaps_axes(self.orientation) else (self.height, self.width)


def read_header(path: str | Path) -> Header:
    """Read and check the header of an image, without decoding the pixels.

    Args:
        path: a PNG, JPEG, BMP, TIFF or WebP file with one picture of 8 bits per channel.

    Raises:
        FileError: as ``open_image``, or the image has more than 8 bits per channel or is neither grey nor RGB (CMYK,
            LAB).

    Example:
        >>> read_header("photo.jpg").size  # doctest: +SKIP
        (1080, 1920)
    """
    with open_image(path) as image:
        return _read_header(path, image)


def read_image(path: str | Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read an image as upright RGB pixels.

    Palette, grey and 1-bit images become RGB. The alpha channel is dropped. The EXIF orientation is applied once,
    before ``size``.

    Args:
        path: an image file, see [`read_header`][omniconv.data.images.read_header].
        size: (height, width) of the result; by default the image's own. Shrinking averages over areas.

    Returns:
        Pixels, uint8 (height, width, 3), contiguous.

    Raises:
        FileError: as ``read_header``, or the file is truncated or damaged.
        InputError: ``size`` is not two positive numbers.

    Example:
        >>> read_image("photo.jpg", size=(512, 1024)).shape  # doctest: +SKIP
        (512, 1024, 3)
    """
    with open_image(path) as image:
        header = _read_header(path, image)
        height, width = header.size if size is None else _check_size(size)
        stored = (height, width) if _swaps_axes(header.orientation) else (width, height)
        # Decode a large JPEG at 1/2, 1/4 or 1/8 of its size, which is faster; at least at twice the final size, so that
        # the bilinear filter does the last step.
        image.draft(None, (2 * stored[0], 2 * stored[1]))
        picture = decode(path, image)
        picture.info.pop("transparency", None)  # Pillow warns when it converts a palette with transparency
        picture = picture if picture.mode == "RGB" else picture.convert("RGB")
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
        return np.array(picture)


@contextmanager
def open_image(path: str | Path) -> Iterator[Image.Image]:
    """Open an image file without decoding it; it is closed at the end of the ``with`` block.

    Raises:
        FileError: the file is missing, a folder, empty, not readable, not an image, of more than about 179 megapixels,
            smaller than 2 pixels on a side, or contains several pictures.

    Example:
        >>> with open_image("photo.jpg") as image:  # doctest: +SKIP
        ...     image.size
    """
    _check_file(Path(path))
    with warnings.catch_warnings():
        # Pillow warns of large images and invalid metadata, both of which are accepted here.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        with _open_file(Path(path)) as file, _identify(path, file) as image:
            _check_picture(path, image)
            yield image


def decode(path: str | Path, image: Image.Image) -> Image.Image:
    """Decode an opened image and apply its EXIF orientation.

    Raises:
        FileError: the file is truncated or damaged.
    """
    orientation = read_orientation(image)  # before load(), after which Pillow has removed it from a TIFF
    try:
        image.load()
    except Exception as error:  # Pillow's decoders raise many classes on damaged bytes
        raise FileError(path, f"is truncated or damaged ({_reason(error)})", COPY_AGAIN) from error
    # Pillow has already applied the orientation of a TIFF.
    return image if isinstance(image, TiffImageFile) else apply_orientation(image, orientation)


def apply_orientation(image: Image.Image, orientation: int) -> Image.Image:
    """Make an image upright; ``orientation`` is the EXIF value, 1 (upright) to 8."""
    return image.transpose(_TRANSPOSITIONS[orientation]) if orientation in _TRANSPOSITIONS else image


def read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an opened image, 1 to 8; 1 if the tag is missing or invalid.

    In a PNG the tag must precede the pixels, as common programs write it.
    """
    try:
        orientation = Image.Image.getexif(image).get(Base.Orientation, 1)  # PngImageFile.getexif would decode the file
    except Exception:  # damaged metadata; the pixels may be intact
        return 1
    return int(orientation) if orientation in range(1, 9) else 1


def raw_mode(image: Image.Image) -> str:
    """Return Pillow's name of the stored pixel format (``"RGB;16B"`` of a 16-bit PNG); empty if unknown."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def bits_per_channel(image: Image.Image) -> int:
    """Return the bits per channel in the file: 8, 16 or 32; fewer than 8 count as 8."""
    if image.mode in ("I", "F"):
        return 16 if ";16" in raw_mode(image) else 32
    is_deep = image.mode.startswith("I;16") or ";16" in raw_mode(image)
    return 16 if is_deep and image.format != "BMP" else 8  # a 16-bit BMP has 5 or 6 bits per channel


def _read_header(path: str | Path, image: Image.Image) -> Header:
    bits = bits_per_channel(image)
    if bits > 8:
        rule = f"is a {bits}-bit image: omniconv reads 8 bits per channel"
        raise FileError(path, rule, "scale it to 8 bits, for example with ImageMagick: magick in.png -depth 8 out.png")
    if image.mode not in _MODES:
        raise FileError(path, f"is a {image.mode} image: omniconv reads grey and RGB images", "save it as RGB")
    width, height = image.size
    if isinstance(image, TiffImageFile):  # image.size is upright in some versions of Pillow only
        width, height = image.tag_v2[IMAGEWIDTH], image.tag_v2[IMAGELENGTH]
    orientation = read_orientation(image)
    if _swaps_axes(orientation):
        width, height = height, width
    return Header(width, height, image.mode, str(image.format), orientation)


def _swaps_axes(orientation: int) -> bool:
    return orientation >= 5


def _check_size(size: tuple[int, int]) -> tuple[int, int]:
    if len(size) != 2 or min(size) < 1:
        raise InputError("size", size, "must be (height, width) of at least 1", "use size=(512, 1024), for example")
    return size


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise FileError(path, "does not exist", "check the path for a typing error") from None
    except OSError as error:
        raise _unreadable(path, error) from error
    if not path.is_file():
        file_type = "a folder" if path.is_dir() else "a device or pipe"
        raise FileError(path, f"is {file_type}, not an image", "name an image file")
    if status.st_size == 0:
        raise FileError(path, "is empty (0 bytes)", COPY_AGAIN)


def _open_file(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error


def _identify(path: str | Path, file: BinaryIO) -> Image.Image:
    try:
        # A file, not its path: Pillow 13 would memory-map a grey TIFF, and scramble it for orientations 5 to 8.
        return Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        rule = f"has more than {limit} megapixels, which are refused as unsafe to decode"
        raise FileError(path, rule, "shrink it or cut it into smaller images") from error
    except Exception as error:  # Pillow raises many classes on a damaged header
        if isinstance(error, OSError) and error.strerror:
            raise _unreadable(path, error) from error
        rule = "is not a PNG, JPEG, BMP, TIFF or WebP image, or its header is damaged"
        raise FileError(path, rule, "save it again as PNG or take it out of the folder") from error


def _check_picture(path: str | Path, image: Image.Image) -> None:
    width, height = image.size
    if min(width, height) < 2:
        rule = f"is {height} x {width} (height x width): each side must have at least 2 pixels"
        raise FileError(path, rule, "take it out of the folder")
    try:
        count = getattr(image, "n_frames", 1)
    except Exception as error:  # n_frames reads the directory of every page of a TIFF
        raise FileError(path, f"is truncated or damaged ({_reason(error)})", COPY_AGAIN) from error
    # An MPO file is the JPEG of a phone or camera: the first picture is the photograph, the others are previews.
    if image.format != "MPO" and count > 1:
        rule = f"contains {count} pictures (an animation or pages): a file must contain one picture"
        raise FileError(path, rule, "save each picture as a separate file")


def _unreadable(path: str | Path, error: OSError) -> FileError:
    return FileError(path, f"cannot be read ({_reason(error)})", "check the permissions of the file and its folders")


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.lower().split())
