"""Reading of image files: the header without decoding the pixels, and upright RGB pixels."""

from __future__ import annotations

import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile

from omniconv.data.colours import ColourConversion, colour_conversion
from omniconv.data.gpano import Crop, read_gpano
from omniconv.errors import FileError, InputError
from omniconv.files import as_path, open_regular

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
MAX_PIXELS = 178_956_970
"""Largest number of pixels of an image, twice Pillow's ``MAX_IMAGE_PIXELS``: 0.7 GB when it is decoded as RGB."""
BLOCK_PIXELS = 2**22
"""Number of pixels that are converted at once, which bounds the memory of intermediate results to some 50 MB."""
COPY_AGAIN = "copy the file again from its source or take it out of the folder"

_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr"})
_REDUCING_GAP = 2.0  # of Pillow's resize: average by an integer factor down to twice the size, then interpolate
_SIGNATURES = {
    b"#?RADIANCE": "Radiance HDR", b"#?RGBE": "Radiance HDR", b"\x76\x2f\x31\x01": "OpenEXR", b"GIF8": "GIF",
    b"8BPS": "Photoshop", b"\x00\x00\x00\x0cjP  ": "JPEG 2000", b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\x00\x00\x00\x0cJXL ": "JPEG XL", b"\xff\x0a": "JPEG XL", b"%PDF": "PDF", b"<svg": "SVG",
}  # fmt: skip
"""Formats that are named in errors, by the first bytes of a file."""
_FILTER = Image.Resampling.BILINEAR
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
        notes: properties that change how the image is read, such as transparency, as texts for the user.
        crop: part of the sphere that a panorama shows by its GPano metadata; ``None`` for a whole one and for others.
        gpano_notes: further notes, which apply only if the image is used as a panorama.
    """

    width: int
    height: int
    mode: str
    format: str
    orientation: int
    notes: tuple[str, ...] = ()
    crop: Crop | None = None
    gpano_notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Upright (height, width)."""
        return self.height, self.width

    @property
    def panorama_size(self) -> tuple[int, int]:
        """(height, width) of the full panorama that the image is, or is a part of."""
        return self.crop.full_size(*self.size) if self.crop else self.size

    @property
    def stored_size(self) -> tuple[int, int]:
        """(height, width) of the pixels as stored, before the EXIF orientation is applied."""
        return (self.width, self.height) if _swaps_axes(self.orientation) else (self.height, self.width)


def read_header(path: str | Path | Image.Image) -> Header:
    """Read and check the header of an image, without decoding the pixels.

    Args:
        path: a PNG, JPEG, BMP, TIFF or WebP file with one picture of 8 bits per channel.

    Raises:
        FileError: as ``open_image``, or the image has more than 8 bits per channel or is neither grey nor RGB (LAB, or
            CMYK without a profile).

    Example:
        >>> read_header("photo.jpg").size  # doctest: +SKIP
        (1080, 1920)
    """
    with open_image(path) as image:
        return _read_header(path, image, colour_conversion(image))


def read_image(path: str | Path | Image.Image, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read an image as upright RGB pixels.

    Palette, grey and 1-bit images become RGB. Transparent pixels are laid on black. An ICC profile other than sRGB is
    converted to sRGB. The EXIF orientation is applied once, before ``size``. The decoded file takes up to 4 bytes per
    pixel; everything else is of the size of the result.

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
        colours = colour_conversion(image)
        header = _read_header(path, image, colours)
        height, width = header.size if size is None else _check_size(size)
        stored = (height, width) if _swaps_axes(header.orientation) else (width, height)
        # Decode a large JPEG at 1/2, 1/4 or 1/8 of its size, which is faster; at least at twice the final size, so that
        # the bilinear filter does the last step.
        image.draft(None, (2 * stored[0], 2 * stored[1]))
        transparent_grey = _transparent_grey(image)
        picture = decode(path, image)
        if transparent_grey is not None:
            picture.info["transparency"] = transparent_grey
        return _to_array(picture, (width, height), colours)


def read_layers(path: str | Path | Image.Image) -> np.ndarray:
    """Read an image as upright pixels with its own channels, to write it again.

    Args:
        path: an image file, see [`read_header`][omniconv.data.images.read_header].

    Returns:
        Pixels, uint8: grey (height, width), colours (height, width, 3), or with transparency (height, width, 4), whose
        colours are those stored below transparent pixels. An ICC profile other than sRGB is converted to sRGB.

    Raises:
        FileError: as ``read_header``, or the file is truncated or damaged.
    """
    with open_image(path) as image:
        colours = colour_conversion(image)
        _read_header(path, image, colours)
        transparent_grey = _transparent_grey(image)
        is_grey = image.mode in ("1", "L")
        picture = decode(path, image)
        if transparent_grey is not None:
            picture.info["transparency"] = transparent_grey
        if colours.has_alpha:
            layers = picture.convert("RGBA")
            opaque = replace(colours, has_alpha=False).apply(layers.convert("RGB")) if colours.profile else layers
            return np.dstack([np.asarray(opaque)[..., :3], np.asarray(layers.getchannel("A"))])
        if is_grey and not colours.profile:
            return np.array(picture.convert("L"))
        return _to_array(picture, picture.size, colours)


@contextmanager
def open_image(path: str | Path | Image.Image) -> Iterator[Image.Image]:
    """Open an image file without decoding it; it is closed at the end of the ``with`` block.

    ``path`` may also be a Pillow image, in place of a file, here and in ``read_header`` and ``read_image``.

    Raises:
        FileError: the file is missing, a folder, empty, not readable, not an image, of more than ``MAX_PIXELS``,
            smaller than 2 pixels on a side, or contains several pictures.

    Example:
        >>> with open_image("photo.jpg") as image:  # doctest: +SKIP
        ...     image.size
    """
    if isinstance(path, Image.Image):
        picture = path.copy()  # decoding changes its attributes
        _check_picture(path, picture)
        yield picture
        return
    _check_file(as_path(path))
    with warnings.catch_warnings():
        # Pillow warns of large images and invalid metadata, both of which are accepted here.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        with open_regular(path) as file, _identify(path, file) as image:
            _check_picture(path, image)
            yield image


def decode(path: str | Path | Image.Image, image: Image.Image) -> Image.Image:
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


def row_blocks(height: int, width: int, multiple: int = 1) -> Iterator[slice]:
    """Divide rows into blocks of about ``BLOCK_PIXELS``; all but the last have a multiple of ``multiple`` rows."""
    rows = max(BLOCK_PIXELS // width // multiple, 1) * multiple
    return (slice(start, min(start + rows, height)) for start in range(0, height, rows))


def _to_array(picture: Image.Image, size: tuple[int, int], colours: ColourConversion) -> np.ndarray:
    """Convert a decoded picture to RGB and resize it to (width, height)."""
    is_plain = picture.mode == "RGB" and not colours.has_alpha and not colours.profile
    if is_plain or picture.width * picture.height <= BLOCK_PIXELS:
        picture = picture if is_plain else colours.apply(picture)
        resized = picture.size != size
        return np.array(picture.resize(size, _FILTER, reducing_gap=_REDUCING_GAP) if resized else picture)
    # Convert block by block, and reduce each block by the factors that Pillow's resize chooses: a palette picture of
    # 178 megapixels would take 0.7 GB as RGB.
    width, height = picture.size
    x, y = (max(int(old / new / _REDUCING_GAP), 1) for old, new in zip(picture.size, size, strict=True))
    reduced = np.empty((-(-height // y), -(-width // x), 3), np.uint8)
    for rows in row_blocks(height, width, y):
        block = colours.apply(picture.crop((0, rows.start, width, rows.stop)))
        reduced[rows.start // y : -(-rows.stop // y)] = np.asarray(block.reduce((x, y)))
    if picture.size == size:
        return reduced
    box = (0, 0, width / x, height / y)
    return np.array(Image.fromarray(reduced).resize(size, _FILTER, box))


def _transparent_grey(image: Image.Image) -> int | None:
    """Return the transparent value of a grey PNG of 2 or 4 bits, which Pillow does not scale as the pixels (13.0)."""
    value, raw = image.info.get("transparency"), raw_mode(image)
    scale = {"L;2": 85, "L;4": 17}.get(raw)
    return value * scale if scale and isinstance(value, int) and image.mode == "L" else None


def _read_header(path: object, image: Image.Image, colours: ColourConversion) -> Header:
    bits = bits_per_channel(image)
    if bits > 8:
        rule = f"is a {bits}-bit image: omniconv reads 8 bits per channel"
        raise FileError(path, rule, "scale it to 8 bits, for example with ImageMagick: magick in.png -depth 8 out.png")
    if image.mode not in _MODES and not (image.mode == "CMYK" and colours.profile):
        raise FileError(path, f"is a {image.mode} image: omniconv reads grey and RGB images", "save it as RGB")
    width, height = image.size
    if isinstance(image, TiffImageFile):  # image.size is upright in some versions of Pillow only
        width, height = image.tag_v2[IMAGEWIDTH], image.tag_v2[IMAGELENGTH]
    orientation = read_orientation(image)
    if _swaps_axes(orientation):
        width, height = height, width
    gpano = read_gpano(image, height, width)
    notes, crop, gpano_notes = colours.notes, gpano.crop, gpano.notes
    return Header(width, height, image.mode, str(image.format), orientation, notes, crop, gpano_notes)


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
    if not stat.S_ISREG(status.st_mode):
        file_type = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or pipe"
        raise FileError(path, f"is {file_type}, not an image", "name an image file")
    if status.st_size == 0:
        raise FileError(path, "is empty (0 bytes)", COPY_AGAIN)


def _identify(path: str | Path, file: BinaryIO) -> Image.Image:
    try:
        # A file, not its path: Pillow 13 would memory-map a grey TIFF, and scramble it for orientations 5 to 8.
        return Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except Exception as error:  # Pillow raises many classes on a damaged header
        if isinstance(error, OSError) and error.strerror:
            raise _unreadable(path, error) from error
        raise _unidentified(path, file) from error


def _check_picture(path: object, image: Image.Image) -> None:
    width, height = image.size
    if min(width, height) < 2:
        rule = f"is {height} x {width} (height x width): each side must have at least 2 pixels"
        raise FileError(path, rule, "take it out of the folder")
    if width * height > MAX_PIXELS:
        raise _too_large(path)
    # An MPO file is the JPEG of a phone or camera: the first picture is the photograph, the others are previews. Pages
    # are not counted, which would read the directory of every page of a TIFF.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        rule = "contains several pictures (an animation or pages): a file must contain one picture"
        raise FileError(path, rule, "save each picture as a separate file")


def _too_large(path: object) -> FileError:
    rule = f"has more than {MAX_PIXELS // 10**6} megapixels, which are refused as unsafe to decode"
    return FileError(path, rule, "shrink it or cut it into smaller images")


def _unidentified(path: str | Path, file: BinaryIO) -> FileError:
    file.seek(0)
    start = file.read(16)
    name = next((name for signature, name in _SIGNATURES.items() if start.startswith(signature)), "")
    name = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF"}.get(start[8:12], name)
    if name:
        rule = f"is a {name} image: omniconv reads PNG, JPEG, BMP, TIFF and WebP of 8 bits per channel"
        return FileError(path, rule, "convert it, for example with ImageMagick: magick in -depth 8 out.png")
    rule = "is not a PNG, JPEG, BMP, TIFF or WebP image, or its header is damaged"
    return FileError(path, rule, "save it again as PNG or take it out of the folder")


def _unreadable(path: str | Path, error: OSError) -> FileError:
    return FileError(path, f"cannot be read ({_reason(error)})", "check the permissions of the file and its folders")


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.lower().split())
