"""Mask files of the holes to fill: white pixels are the hole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from omniconv.data.file_listing import Skipped, find_images, normalized
from omniconv.data.images import Header, bits_per_channel, decode, open_image, read_header, read_orientation, row_blocks
from omniconv.data.masks import check_mask_size, orient_as_image
from omniconv.errors import FileError, InputError
from omniconv.files import as_path

THRESHOLD = 128
"""Least value of a pixel in the hole."""
GREY_TOLERANCE = 48
"""Largest difference of two channels of a grey pixel: JPEG compression colours the edges of black and white masks."""
MIDDLE = (64, 192)
"""Values from the first to below the second are neither black nor white; a mask has them on soft edges only."""
LARGEST_MIDDLE_SHARE, LARGEST_COLOUR_SHARE = 0.5, 0.01
"""Shares of such pixels and of coloured ones above which a file is a picture instead of a mask."""
_SAVE = "save it as a grey PNG, white (255) in the hole and black (0) elsewhere"
_DEEP_MODES = frozenset({"I", "I;16", "I;16B", "I;16L"})


def read_hole(path: str | Path | Image.Image, image_header: Header | None = None) -> np.ndarray:
    """Read a mask of the hole of an image: pixels from ``THRESHOLD`` on are in the hole.

    Grey, palette, RGB and 1-bit files are accepted, also JPEG, and 16-bit grey files. The mask's own EXIF orientation
    is applied; a mask without one is taken as upright, unless only the stored size of its image fits it.

    Args:
        path: a PNG, JPEG, BMP, TIFF or WebP file, or a Pillow image.
        image_header: header of the image that the mask belongs to; the mask must have its size.

    Returns:
        Boolean array (height, width), True in the hole; all False for a black mask.

    Raises:
        FileError: the file cannot be read, has another size than its image, has transparent pixels, is a picture
            rather than a mask, is white everywhere, or has values above 0 but none in the hole.

    Example:
        >>> read_hole("masks/0001.png", read_header("images/0001.jpg"))  # doctest: +SKIP
    """
    with open_image(path) as image:
        has_orientation = read_orientation(image) != 1
        bits = bits_per_channel(image)
        picture = decode(path, image)
        if image_header is not None:
            picture = picture if has_orientation else orient_as_image(picture, image_header)
            check_mask_size(path, picture, image_header)
        if (picture.mode in _DEEP_MODES and bits > 16) or picture.mode == "F":
            raise FileError(path, f"is a 32-bit mask ({picture.mode})", _SAVE)
        hole = np.empty((picture.height, picture.width), bool)
        largest, middle, coloured = 0, 0, 0
        for rows in row_blocks(picture.height, picture.width):
            values, colours = _read_values(path, picture.crop((0, rows.start, picture.width, rows.stop)))
            hole[rows] = values >= THRESHOLD
            largest = max(largest, int(values.max()))
            middle += int(((values >= MIDDLE[0]) & (values < MIDDLE[1])).sum())
            coloured += colours
    if coloured > LARGEST_COLOUR_SHARE * hole.size:
        rule = f"is a colour picture ({100 * coloured / hole.size:.0f} % of its pixels), not a mask"
        raise FileError(path, rule, _SAVE)
    if middle > LARGEST_MIDDLE_SHARE * hole.size:
        rule = f"is a picture, not a mask: {100 * middle / hole.size:.0f} % of its pixels are neither black nor white"
        raise FileError(path, rule, _SAVE)
    if hole.all():
        raise FileError(path, "is white everywhere, so that nothing of the image is known", "paint only the hole white")
    if largest and not hole.any():
        rule = f"has no white pixels, its largest value is {largest}: the hole begins at {THRESHOLD}"
        raise FileError(path, rule, _SAVE)
    return hole


def _read_values(path: object, picture: Image.Image) -> tuple[np.ndarray, int]:
    """Return the values of a block from 0 to 255, and the number of coloured pixels."""
    if picture.mode in _DEEP_MODES:
        return np.clip(np.asarray(picture, np.int64) // 257, 0, 255), 0
    if picture.mode in ("1", "L") and "transparency" not in picture.info:
        return np.asarray(picture.convert("L")), 0
    layers = np.asarray(picture.convert("RGBA"))
    if layers[..., 3].min() < 255:
        raise FileError(path, "is a mask with transparent pixels", f"{_SAVE}, without transparency")
    low, high = layers[..., :3].min(axis=-1), layers[..., :3].max(axis=-1)
    return np.asarray(picture.convert("L")), int((high - low > GREY_TOLERANCE).sum())


def find_holes(
    images: Sequence[Path], inputs: Sequence[str | Path], masks: str | Path
) -> tuple[dict[Path, Path], list[Skipped]]:
    """Return the mask of each image, and the files of the folder of masks that are not used.

    A folder of masks has a file for each image, with its path in the folder of images but for the suffix and the
    Unicode form of accents (NFC or NFD); if the images are in a folder ``images`` of it, as in a data set, also
    without that folder. A single file is the mask of all images.

    Args:
        images: the images.
        inputs: the files and folders that they were found in.
        masks: a mask, or a folder of masks.

    Raises:
        FileError: ``masks`` does not exist, an image has no mask, or two masks share a name.
    """
    masks = Path(masks)
    if not as_path(masks).exists():
        raise FileError(masks, "does not exist", "check the path of the masks for a typing error")
    if not masks.is_dir():
        return dict.fromkeys(images, masks), []
    files, skipped = find_images(masks)
    named: dict[str, Path] = {}
    for file in files:
        other = named.setdefault(_name(file.relative_to(masks)), file)
        if other != file:
            raise FileError(file, f"has the same name as {other.name}", "rename one of them, or take it out")
    if not named:
        raise FileError(masks, "contains no masks", "put a mask in it for each image, of the same name")
    found = {image: _find_mask(image, inputs, named) for image in images}
    missing = [image for image, mask in found.items() if mask is None]
    if missing:
        rule = f"has no mask in {masks} ({len(missing)} of {len(images)} images lack one)"
        name = _relative(missing[0], inputs).with_suffix(".png")
        same = {name.casefold(): file for name, file in named.items()}.get(_name(name).casefold())
        case = f"rename {same}, which differs in upper and lower case"
        raise FileError(missing[0], rule, case if same else f"expected {masks / name}, or give one mask for all images")
    paired = {image: mask for image, mask in found.items() if mask is not None}
    used = set(paired.values())
    return paired, [*skipped, *((file, "has no image") for file in files if file not in used)]


def check_holes(pairs: Mapping[Path, Path]) -> list[Path]:
    """Read every mask once and check it against its image; return the images whose mask is black.

    Raises:
        FileError: as ``read_hole``; the message tells how many masks cannot be used.
    """
    sizes: dict[tuple[Path, tuple[int, int], tuple[int, int]], bool] = {}
    errors, black = [], []
    for image, mask in pairs.items():
        header = read_header(image)
        key = mask, header.size, header.stored_size
        try:
            if key not in sizes:
                sizes[key] = bool(read_hole(mask, header).any())
        except FileError as error:
            errors.append(error)
            continue
        if not sizes[key]:
            black.append(image)
    if len(errors) > 1:
        raise FileError.from_input_error(f"{len(errors)} of {len(pairs)} masks cannot be used, the first", errors[0])
    if errors:
        raise errors[0]
    return black


def check_hole_array(mask: object, size: tuple[int, int]) -> np.ndarray:
    """Return a mask that is given as an array as booleans.

    Args:
        mask: array (height, width), with any other axes of length 1, of booleans, of integers from 0 (known) to 255, or
            of floating point from 0 to 1; from the middle on a value is in the hole, and of integers up to 1 everything
            above 0.
        size: (height, width) of the image.

    Raises:
        InputError: another type, size or range, or everything is in the hole.
    """
    array = np.asarray(mask)
    if tuple(side for side in array.shape if side != 1) == size:
        array = array.reshape(size)
    if array.shape != size:
        rule = f"must have the height and width of its image, {size[0]} x {size[1]}"
        raise InputError("mask", f"an array {array.shape}", rule, "resize it without interpolation")
    if array.dtype.kind not in "buif" or (array.size and not (array.min() >= 0 and array.max() <= 255)):
        rule = "must be True, 255 or 1.0 in the hole and 0 elsewhere"
        raise InputError("mask", f"{array.dtype} values", rule, "convert it to booleans")
    if array.dtype.kind != "b":
        array = array >= (0.5 if array.max() <= 1 else THRESHOLD)
    if array.all():
        raise InputError("mask", "True everywhere", "must leave a part of the image known", "mark only the hole")
    return array


def _find_mask(image: Path, inputs: Sequence[str | Path], named: Mapping[str, Path]) -> Path | None:
    relative = _relative(image, inputs)
    mask = named.get(_name(relative))
    if mask is None and len(relative.parts) > 1 and relative.parts[0] == "images":
        mask = named.get(_name(Path(*relative.parts[1:])))
    return mask


def _relative(image: Path, inputs: Sequence[str | Path]) -> Path:
    """Return the path of an image in the folder that it was found in; the name of an image that is given itself."""
    for folder in map(Path, inputs):
        if folder != image and image.is_relative_to(folder):
            return image.relative_to(folder)
    return Path(image.name)


def _name(path: Path) -> str:
    return normalized(str(path.with_suffix("")))
