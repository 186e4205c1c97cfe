"""Part of the sphere that a panorama shows, from the GPano fields of its XMP metadata (Google Photo Sphere)."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any
from xml.parsers import expat

from PIL import Image

POSE = "pose (heading, pitch or roll) in GPano metadata, not applied"
UNUSABLE_CROP = "GPano metadata that cannot be used, ignored"
PART = "part of a panorama by GPano metadata, the rest is black and not measured"
"""Notes on panoramas, see ``Header.gpano_notes``."""
MAX_PACKET_BYTES = 2**20
"""Largest XMP packet that is parsed; in a JPEG it has at most 64 KB."""
TOLERANCE = 0.02
"""Largest relative deviation of the full panorama from 2:1, and of the picture from the shape of its crop."""

_NAMESPACE = "http://ns.google.com/photos/1.0/panorama/ "
_CROP_FIELDS = (
    "FullPanoHeightPixels", "FullPanoWidthPixels", "CroppedAreaTopPixels", "CroppedAreaLeftPixels",
    "CroppedAreaImageHeightPixels", "CroppedAreaImageWidthPixels",
)  # fmt: skip
_POSE_FIELDS = ("PoseHeadingDegrees", "PosePitchDegrees", "PoseRollDegrees")
_TAG_XMP = 700  # TIFF tag


@dataclass(frozen=True)
class Crop:
    """Part of a full panorama, as fractions of its height and width from 0 to 1."""

    top: float
    bottom: float
    left: float
    right: float

    def full_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) of the full panorama in pixels of a picture of this part."""
        return round(height / (self.bottom - self.top)), round(width / (self.right - self.left))

    def box(self, height: int, width: int) -> tuple[slice, slice]:
        """Return rows and columns of the part in a full panorama of this size, at least one each."""
        return _span(self.top, self.bottom, height), _span(self.left, self.right, width)

    def own_box(self, height: int, width: int) -> tuple[slice, slice]:
        """Return rows and columns, in the panorama of ``full_size``, of a picture of this part: exactly its own."""
        full_height, full_width = self.full_size(height, width)
        top, left = min(round(self.top * full_height), full_height - height), round(self.left * full_width)
        left = min(left, full_width - width)
        return slice(top, top + height), slice(left, left + width)


@dataclass(frozen=True)
class GPano:
    """GPano metadata of an image.

    Attributes:
        crop: part of the full panorama that the image shows; ``None`` if it is the whole or unknown.
        notes: notes for the user, see ``Header.gpano_notes``.
    """

    crop: Crop | None = None
    notes: tuple[str, ...] = ()


def read_gpano(image: Image.Image, height: int, width: int) -> GPano:
    """Read the GPano metadata of an opened image, which is not decoded.

    Pictures that were resized after their metadata was written are supported: positions are relative to the crop.

    Args:
        image: the opened image.
        height: rows of the upright picture.
        width: columns of the upright picture.
    """
    packet = xmp_packet(image)
    if b"photos/1.0/panorama/" not in packet:
        return GPano()
    try:
        fields = _parse(packet)
        crop = _to_crop(fields, height, width)
        has_pose = any(_number(fields[name]) for name in _POSE_FIELDS if name in fields)
    except (ValueError, expat.ExpatError):
        return GPano(notes=(UNUSABLE_CROP,))
    return GPano(crop, ((PART,) if crop else ()) + ((POSE,) if has_pose else ()))


def xmp_packet(image: Image.Image) -> bytes:
    """Return the XMP metadata of an opened image, empty without any or if it is too large to be parsed."""
    packet: Any = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if packet is None and hasattr(image, "tag_v2"):
        packet = image.tag_v2.get(_TAG_XMP)
    for name, content in getattr(image, "applist", ()):  # JPEG, which Pillow copies into info since version 11
        if packet is None and name == "APP1" and content.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            packet = content.split(b"\0", 1)[1]
    if isinstance(packet, tuple):
        packet = b"".join(part for part in packet if isinstance(part, bytes))
    if isinstance(packet, str):
        packet = packet.encode(errors="replace")
    return packet if isinstance(packet, bytes) and len(packet) <= MAX_PACKET_BYTES else b""


def _parse(packet: bytes) -> dict[str, str]:
    """Return the GPano fields, which XMP writes as attributes or as elements."""
    parser, fields, opened = expat.ParserCreate(namespace_separator=" "), {}, ""

    def refuse(*_: object) -> None:  # a document type may define entities that expand without bound
        raise ValueError("XMP must not have a document type")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal opened
        opened = name.removeprefix(_NAMESPACE) if name.startswith(_NAMESPACE) else ""
        for key, value in attributes.items():
            if key.startswith(_NAMESPACE):
                fields[key.removeprefix(_NAMESPACE)] = value

    def text(content: str) -> None:
        if opened:
            fields[opened] = fields.get(opened, "") + content

    def end(_: str) -> None:
        nonlocal opened
        opened = ""

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.CharacterDataHandler, parser.EndElementHandler = start, text, end
    parser.Parse(packet.strip(b"\0 \r\n\t"), True)
    return fields


def _to_crop(fields: dict[str, str], height: int, width: int) -> Crop | None:
    if fields.get("ProjectionType", "equirectangular").strip().lower() != "equirectangular":
        raise ValueError("is not equirectangular")
    given = [name for name in _CROP_FIELDS if name in fields]
    if not given:
        return None
    if len(given) < len(_CROP_FIELDS):
        raise ValueError("lacks a field")
    full_height, full_width, top, left, rows, columns = (_number(fields[name]) for name in _CROP_FIELDS)
    # Rounding may move an edge of the crop by a pixel.
    is_inside = top >= 0 and left >= 0 and top + rows <= full_height + 1 and left + columns <= full_width + 1
    if min(rows, columns) < 1 or not is_inside:
        raise ValueError("the crop is not inside the full panorama")
    if not _near(full_width, 2 * full_height) or not _near(height * columns, width * rows):
        raise ValueError("sizes do not fit")
    if (rows, columns) == (full_height, full_width):
        return None
    bottom, right = min(1.0, (top + rows) / full_height), min(1.0, (left + columns) / full_width)
    return Crop(top / full_height, bottom, left / full_width, right)


def _number(text: str) -> float:
    number = float(text[:40])
    if not isfinite(number) or abs(number) > 10**9:
        raise ValueError("is not a number of pixels or degrees")
    return number


def _near(first: float, second: float, tolerance: float = TOLERANCE) -> bool:
    return abs(first - second) <= tolerance * abs(second)


def _span(start: float, stop: float, size: int) -> slice:
    first = min(round(start * size), size - 1)
    return slice(first, max(round(stop * size), first + 1))
