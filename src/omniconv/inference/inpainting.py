"""Image files with their holes filled, for every network with a method ``inpaint``."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor, strided

from omniconv.data.gpano import xmp_packet
from omniconv.data.hole_files import check_hole_array, read_hole
from omniconv.data.images import Header, open_image, read_header, read_layers
from omniconv.errors import InputError
from omniconv.files import write_bytes
from omniconv.locks import write_outputs
from omniconv.report.pictures import contact_sheet, paint_hole, png_bytes
from omniconv.tasks.base import Task, Tile

if TYPE_CHECKING:
    from omniconv.inference.predictor import Predictor
    from omniconv.inference.write_predictions import ImageList

INPAINTED, OVERVIEW = "inpainted", "overview.png"
OVERVIEW_IMAGES = 20
"""Most images on the overview, the first ones."""
THUMBNAIL = 320
"""Width in pixels of a picture on the overview."""


def check_masks(task: Task, masks: object, argument: str = "masks") -> None:
    """Check that masks are given to a task that requires them, and to no task that does not take them.

    Args:
        task: the task.
        masks: the masks as they are shown in an error, ``None`` without any.
        argument: name of the argument.

    Raises:
        InputError: they are missing, or the task does not take them.
    """
    if masks is not None and task.masks == "none":
        rule = f"cannot be used: a network of the task {_name(task)} does not fill holes"
        raise InputError(argument, masks, rule, "leave it out, or give a run of the task inpaint")
    if masks is None and task.masks == "required":
        rule = f"is required: a network of the task {_name(task)} fills the holes of masks"
        cure = "give an image that is white in the hole, or a folder of them"
        new = "; to draw new images: omniconv sample RUN --out OUT" if task.draws_images else ""
        raise InputError(argument, None, rule, f"{cure}{new}")


def read_hole_of(mask: Any, header: Header) -> np.ndarray:
    """Return the hole of an image, boolean (height, width), from the mask that ``Predictor.predict`` takes.

    Raises:
        FileError: a file or Pillow image is no mask, or not of the size of the image.
        InputError: an array or tensor is no mask, or not of the size of the image.
    """
    if isinstance(mask, str | Path | Image.Image):
        return read_hole(mask, header)
    if isinstance(mask, Tensor) and (mask.is_meta or mask.layout is not strided):
        found = f"{str(mask.layout).removeprefix('torch.')} tensor on {mask.device}"
        raise InputError("mask", found, "must be dense and have values", "use mask.to_dense(), or load its values")
    return check_hole_array(mask.detach().cpu().numpy() if isinstance(mask, Tensor) else mask, header.size)


def place_in_hole(layers: np.ndarray, filled: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Return the pixels of an image with those of the hole replaced.

    Args:
        layers: result of ``read_layers``: grey, RGB or RGB with transparency; pixels in the hole become opaque.
        filled: uint8 (height, width, 3).
        hole: boolean (height, width), True in the hole.
    """
    result = layers.copy()
    colours = filled[hole]
    if layers.ndim == 2:
        result[hole] = np.rint(colours.mean(axis=-1)).astype(np.uint8)
    else:
        result[hole, :3] = colours
        result[hole, 3:] = 255
    return result


def inpainted_files(out: Path, images: ImageList) -> list[Path]:
    """Return the paths of all files that ``write_inpainted`` would write."""
    return [*(out / INPAINTED / f"{stem}.png" for _, stem in images), out / OVERVIEW]


def write_inpainted(
    predictor: Predictor,
    images: ImageList,
    masks: Mapping[Path, Path],
    out: Path,
    step: Callable[[], None] = lambda: None,
    overwrite: bool = True,
) -> list[Path]:
    """Fill the holes of images one at a time, and write ``inpainted/STEM.png`` and ``overview.png``.

    Pixels outside of the holes are unchanged. The GPano metadata of a part of a panorama is kept. If it fails or is
    killed, the same call works again, as ``write_predictions``.

    Args:
        predictor: the network.
        images: the images.
        masks: the mask of each image.
        out: folder to write to.
        step: called after each image.
        overwrite: replace earlier files.

    Returns:
        The files of the images.

    Raises:
        OwnedError: another process writes into ``out``.
        FileError: a file exists already or cannot be written, or an image or mask cannot be used.
    """
    written: list[Path] = []
    tiles: list[Tile] = []
    with write_outputs(out, inpainted_files(out, images), overwrite):
        for file, stem in images:
            hole, layers = read_hole(masks[file], read_header(file)), read_layers(file)
            result = place_in_hole(layers, predictor.fill(file, hole), hole)
            written.append(write_bytes(out / INPAINTED / f"{stem}.png", _png(file, result)))
            if len(tiles) < 2 * OVERVIEW_IMAGES:
                tiles += _tiles(file.name, layers, result, hole)
            step()
        write_bytes(out / OVERVIEW, png_bytes(contact_sheet(tiles, min(4, len(tiles)), THUMBNAIL)))
    return written


def _png(file: Path, pixels: np.ndarray) -> bytes:
    """Return pixels as a PNG; that of a part of a panorama has the XMP metadata of ``file``."""
    info = PngInfo()
    if read_header(file).crop is not None:
        with open_image(file) as image:
            info.add_itxt("XML:com.adobe.xmp", xmp_packet(image).decode(errors="replace"))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def _tiles(name: str, before: np.ndarray, after: np.ndarray, hole: np.ndarray) -> list[Tile]:
    """Return the image with its hole and the filled image, shrunk, as two tiles."""
    height, width = hole.shape
    scale = min(1.0, THUMBNAIL / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small, filled = (np.asarray(Image.fromarray(picture).resize(size).convert("RGB")) for picture in (before, after))
    shown = np.asarray(Image.fromarray(hole.view(np.uint8) * np.uint8(255)).resize(size)) >= 128
    return [(paint_hole(small, shown), name), (filled, f"{100 * hole.mean():.1f} % filled")]


def _name(task: Task) -> str:
    return f"{task.name} with method={task.method}" if task.method else task.name
