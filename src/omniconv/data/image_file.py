"""Image files opened and decoded with Pillow; whatever is wrong with a file becomes a FileError."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile

from omniconv.errors import FileError

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
COPY_AGAIN = "copy the file again from its source or take it out of the folder"

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@contextmanager
def open_image(path: str | Path) -> Iterator[Image.Image]:
    """Open an image file without decoding it, closed again at the end of the ``with`` block.

    Raises:
        FileError: the file is missing, a folder, empty, not to be read, not an image, too large to be safe
            (about 179 megapixels), smaller than 2 pixels on a side, or holds several pictures.

    Example:
        >>> with open_image("photo.jpg") as image:  # doctest: +SKIP
        ...     image.size
    """
    _check_file(Path(path))
    with warnings.catch_warnings():
        # Large panoramas and odd metadata are legitimate: what cannot be used raises.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        with _open_file(Path(path)) as file, _identify(path, file) as image:
            _check_picture(path, image)
            yield image


def decode(path: str | Path, image: Image.Image) -> Image.Image:
    """Decode an opened image and turn it upright by its own EXIF orientation.

    Raises:
        FileError: the file is cut short or damaged.
    """
    orientation = read_orientation(image)  # Pillow forgets it once a TIFF is decoded
    try:
        image.load()
    except Exception as error:  # Pillow's decoders raise whatever the broken bytes lead to
        raise FileError(path, f"is cut short or damaged ({_reason(error)})", COPY_AGAIN) from error
    return image if isinstance(image, TiffImageFile) else turn(image, orientation)  # Pillow turns TIFF itself


def turn(image: Image.Image, orientation: int) -> Image.Image:
    """Turn stored pixels upright; ``orientation`` is the EXIF value, 1 (leave alone) to 8."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def swaps_sides(orientation: int) -> bool:
    """Whether an EXIF orientation exchanges width and height."""
    return orientation >= 5


def read_orientation(image: Image.Image) -> int:
    """The EXIF orientation of an opened image, 1 to 8; 1 where the tag is absent or makes no sense.

    In a PNG the tag must stand before the pixels, as all common programs write it.
    """
    try:
        orientation = Image.Image.getexif(image).get(Base.Orientation, 1)  # PNG's own getexif would decode the file
    except Exception:  # damaged metadata does not harm the pixels
        return 1
    return int(orientation) if orientation in range(1, 9) else 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """The (width, height) of an opened, not yet decoded image once it has been turned upright."""
    width, height = image.size
    if isinstance(image, TiffImageFile):  # some versions of Pillow have swapped the sides by now, some have not
        width, height = image.tag_v2[IMAGEWIDTH], image.tag_v2[IMAGELENGTH]
    return (height, width) if swaps_sides(read_orientation(image)) else (width, height)


def raw_mode(image: Image.Image) -> str:
    """How the file stores its pixels, in Pillow's words (``"RGB;16B"`` in a 16-bit PNG); empty when unknown."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def bits_a_channel(image: Image.Image) -> int:
    """The bits that one channel of a pixel takes in the file: 8, 16 or 32; fewer than 8 count as 8."""
    if image.mode in ("I", "F"):
        return 16 if ";16" in raw_mode(image) else 32
    deep = image.mode.startswith("I;16") or ";16" in raw_mode(image)
    return 16 if deep and image.format != "BMP" else 8  # a 16-bit BMP spends 5 or 6 bits a channel


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise FileError(path, "does not exist", "check the path for a typing error") from None
    except OSError as error:
        raise _unreadable(path, error) from error
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "a device or pipe"
        raise FileError(path, f"is {kind}, not an image", "name an image file")
    if status.st_size == 0:
        raise FileError(path, "is empty (0 bytes)", COPY_AGAIN)


def _open_file(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error


def _identify(path: str | Path, file: BinaryIO) -> Image.Image:
    try:
        # Given the path itself, Pillow 13 would map a grey TIFF into memory and scramble it where it lies on its side.
        return Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        rule = f"has more than {limit} megapixels, which are refused as unsafe to decode"
        raise FileError(path, rule, "shrink it or cut it into smaller images") from error
    except Exception as error:  # a damaged header raises whatever it leads to
        if isinstance(error, OSError) and error.strerror:
            raise _unreadable(path, error) from error
        rule = "is not a PNG, JPEG, BMP, TIFF or WebP image, or its header is damaged"
        raise FileError(path, rule, "save it again as PNG or take it out of the folder") from error


def _check_picture(path: str | Path, image: Image.Image) -> None:
    width, height = image.size
    if min(width, height) < 2:
        rule = f"is {height} x {width} (height x width): each side must have at least 2 pixels"
        raise FileError(path, rule, "take it out of the folder")
    # An MPO file is a phone's or camera's JPEG: its first picture is the photograph, the others are by-products.
    if image.format != "MPO" and _count_pictures(path, image) > 1:
        rule = f"holds {_count_pictures(path, image)} pictures (an animation or pages): a file must hold one picture"
        raise FileError(path, rule, "save each picture as a file of its own")


def _count_pictures(path: str | Path, image: Image.Image) -> int:
    try:
        return getattr(image, "n_frames", 1)
    except Exception as error:  # a TIFF's chain of pages is read here
        raise FileError(path, f"is cut short or damaged ({_reason(error)})", COPY_AGAIN) from error


def _unreadable(path: str | Path, error: OSError) -> FileError:
    return FileError(path, f"cannot be read ({_reason(error)})", "check the permissions of the file and its folders")


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.lower().split())
