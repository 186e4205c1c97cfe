"""Conversion of stored pixels to opaque sRGB: ICC profiles and transparency."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

TRANSPARENCY = "alpha channel or transparent colour, laid on black"
CONVERTED = "ICC profile other than sRGB, converted to sRGB"
UNUSABLE_PROFILE = "ICC profile that cannot be used, ignored"
"""Notes on images, see ``Header.notes``."""
MAX_PROFILE_BYTES = 2**22
"""Largest ICC profile that is used; profiles of printing presses have up to about 3 MB."""
SRGB_TOLERANCE = 2
"""Largest change of a channel, of 255, by the conversion from a profile that counts as sRGB: vendors round its curve
and its primaries differently."""

_GREY_MODES = ("1", "L", "LA", "La")
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Mode of Pillow for each colour space of an ICC profile that is supported."""


@dataclass(frozen=True)
class ColourConversion:
    """Conversion of an image's pixels to opaque sRGB.

    Attributes:
        has_alpha: the image has an alpha channel, a transparent colour or a palette with transparent entries.
        profile: ICC profile other than sRGB, ``b""`` if there is none.
        notes: notes for the user, see ``Header.notes``.
    """

    has_alpha: bool = False
    profile: bytes = b""
    notes: tuple[str, ...] = ()

    def apply(self, picture: Image.Image) -> Image.Image:
        """Convert a decoded picture of any mode to RGB."""
        if not self.has_alpha:
            return self._to_srgb(picture)
        layers = picture.convert("RGBA")
        opaque = layers if picture.mode not in _GREY_MODES else layers.convert("L")
        colours = self._to_srgb(opaque.convert("RGB") if opaque.mode == "RGBA" else opaque)
        # Black, for three reasons: missing parts of panoramas and of maps are black, premultiplied pixels need no
        # division, and most programs store black below transparent pixels, which earlier versions read.
        return Image.composite(colours, Image.new("RGB", picture.size), layers.getchannel("A"))

    def _to_srgb(self, picture: Image.Image) -> Image.Image:
        transform = _read_profile(self.profile).transform if self.profile else None
        if transform is None:
            return picture if picture.mode == "RGB" else picture.convert("RGB")
        mode = transform.input_mode
        return transform.apply(picture if picture.mode == mode else picture.convert(mode))


def colour_conversion(image: Image.Image) -> ColourConversion:
    """Return the conversion of an opened image, which is not decoded.

    The profile is converted with the relative colorimetric intent and black point compensation.
    """
    notes = []
    if has_alpha := image.has_transparency_data:
        notes.append(TRANSPARENCY)
    profile = image.info.get("icc_profile") or b""
    if profile:
        found = _read_profile(profile) if len(profile) <= MAX_PROFILE_BYTES else _UNUSABLE
        if not found.is_usable or not _fits(found, image.mode):
            notes.append(UNUSABLE_PROFILE)
            profile = b""
        elif found.transform is None:
            profile = b""
        else:
            notes.append(CONVERTED)
    return ColourConversion(has_alpha, profile, tuple(notes))


@dataclass(frozen=True, eq=False)
class _Profile:
    """ICC profile: whether it can be used, and its conversion to sRGB, ``None`` if that changes nothing."""

    is_usable: bool
    transform: Any = None


_UNUSABLE = _Profile(is_usable=False)


@lru_cache(maxsize=32)  # a folder of photographs has few different profiles
def _read_profile(content: bytes) -> _Profile:
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
        mode = _SPACES[profile.profile.xcolor_space.strip()]
        transform = ImageCms.buildTransform(
            profile, ImageCms.createProfile("sRGB"), mode, "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )  # fmt: skip
        if mode == "CMYK":
            return _Profile(True, transform)
        colours = _test_colours(mode)
        before = np.asarray(colours.convert("RGB"), np.int16)
        after = np.asarray(transform.apply(colours), np.int16)
    except Exception:  # littlecms is not installed, or the profile is damaged
        return _UNUSABLE
    return _Profile(True, None if np.abs(after - before).max() <= SRGB_TOLERANCE else transform)


def _test_colours(mode: str) -> Image.Image:
    """Return a picture of all greys, or of a grid of 9 values per channel."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(9, 81, 3))


def _fits(profile: _Profile, mode: str) -> bool:
    expected = "CMYK" if mode == "CMYK" else "L" if mode in _GREY_MODES else "RGB"
    # Grey pictures with the profile of an RGB space are common, and have equal channels there.
    found = "RGB" if profile.transform is None else str(profile.transform.input_mode)
    return found == expected or (expected == "L" and found == "RGB")
