from __future__ import annotations

import io

import numpy as np
import pytest
from pictures import pattern, save, write_png
from PIL import Image, ImageCms
from profiles import ADOBE_RGB, DISPLAY_P3, cmyk_profile, grey_profile, rgb_profile

from omniconv.data import colours
from omniconv.data.images import read_header, read_image
from omniconv.errors import FileError

COLOUR = (200, 180, 40)


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def translucent(hidden, alpha=255):
    """A square of one colour on a transparent ground that hides another one."""
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[..., :3] = hidden
    pixels[8:24, 8:24] = (*COLOUR, alpha)
    return pixels


def visible(alpha=255):
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[8:24, 8:24] = np.round(np.array(COLOUR) * alpha / 255)
    return pixels


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("hidden", [(0, 0, 0), (0, 0, 255)])
@pytest.mark.parametrize("alpha", [255, 128, 3])
def test_transparent_pixels_are_black(tmp_path, suffix, hidden, alpha):
    options = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    path = save(tmp_path / f"a{suffix}", translucent(hidden, alpha), **options)
    assert np.abs(read_image(path).astype(int) - visible(alpha)).max() <= 1
    assert read_header(path).notes == (colours.TRANSPARENCY,)
    assert np.abs(read_image(path, (16, 16))[8, 8].astype(int) - visible(alpha)[16, 16]).max() <= 1


def test_every_way_to_store_transparency_shows_the_same_picture(tmp_path):
    grey = np.full((32, 32), 77, np.uint8)
    grey[8:24, 8:24] = 200
    expected = np.where(grey == 200, 200, 0)[..., None].repeat(3, 2).astype(np.uint8)
    alpha = Image.fromarray(np.where(grey == 200, 255, 0).astype(np.uint8))
    layered = Image.merge("LA", (Image.fromarray(grey), alpha))
    palette = Image.fromarray(grey)
    palette.putpalette([value for index in range(256) for value in (index, index, index)])
    hidden = bytes(0 if index == 77 else 255 for index in range(256))
    paths = [
        save(tmp_path / "la.png", layered),
        save(tmp_path / "rgba.png", layered.convert("RGBA")),
        save(tmp_path / "palette.png", palette, transparency=hidden),
        save(tmp_path / "index.png", palette, transparency=77),
        save(tmp_path / "grey.png", Image.fromarray(grey), transparency=77),
        save(tmp_path / "rgb.png", Image.fromarray(grey).convert("RGB"), transparency=(77, 77, 77)),
        save(tmp_path / "la.tif", layered),
        save(tmp_path / "rgba.webp", layered.convert("RGBA"), lossless=True, exact=True),
    ]
    for path in paths:
        assert np.array_equal(read_image(path), expected), path
        assert read_header(path).notes == (colours.TRANSPARENCY,), path


def test_premultiplied_tiff(tmp_path):
    premultiplied = Image.fromarray(translucent((0, 0, 255), 128)).convert("RGBa")
    path = save(tmp_path / "a.tif", Image.frombytes("RGBA", (32, 32), premultiplied.tobytes()))
    content = bytearray(path.read_bytes())
    position = content.index(b"\x52\x01\x03\x00\x01\x00\x00\x00\x02\x00")  # ExtraSamples: 2, alpha as is
    content[position + 8] = 1
    path.write_bytes(content)
    assert np.abs(read_image(path).astype(int) - visible(128)).max() <= 1


def test_transparent_colour_of_grey_below_8_bits(tmp_path):
    path = write_png(tmp_path / "a.png", 4, 2, bits=2, kind=0, rows=b"\x00\x1b\x00\x1b")
    assert read_image(path)[0, :, 0].tolist() == [0, 85, 170, 255]
    chunk = b"\x00\x00\x00\x02tRNS\x00\x02"
    import zlib

    chunk += zlib.crc32(chunk[4:]).to_bytes(4, "big")
    content = path.read_bytes()
    place = content.index(b"IDAT") - 4
    path.write_bytes(content[:place] + chunk + content[place:])
    assert read_image(path)[0, :, 0].tolist() == [0, 85, 0, 255]


def test_opaque_pictures_with_alpha_are_unchanged(tmp_path):
    opaque = np.dstack([pattern(), np.full((12, 20), 255, np.uint8)])
    assert np.array_equal(read_image(save(tmp_path / "a.png", opaque)), pattern())


def converted(profile: bytes, mode: str, picture: Image.Image) -> np.ndarray:
    """The conversion by Pillow's ImageCms in one call."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB", intent, flags)
    return np.asarray(ImageCms.applyTransform(picture, transform))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
@pytest.mark.parametrize("primaries", [DISPLAY_P3, ADOBE_RGB])
def test_wide_colours_become_srgb(tmp_path, suffix, primaries):
    profile = rgb_profile(primaries)
    options = {".webp": {"lossless": True}, ".jpg": {"quality": 100, "subsampling": 0}}.get(suffix, {})
    picture = Image.new("RGB", (32, 32), (180, 120, 60))
    path = save(tmp_path / f"a{suffix}", picture, icc_profile=profile, **options)
    assert read_header(path).notes == (colours.CONVERTED,)
    image = read_image(path)
    assert np.abs(image.astype(int) - converted(profile, "RGB", picture)).max() <= 2
    assert image[0, 0, 0] > 184  # a red of the wider space is stronger in sRGB
    assert np.abs(read_image(path, (8, 16)).astype(int) - image[0, 0]).max() <= 2


@pytest.mark.parametrize("gamma", [1.0, 1.8])
@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_profiles(tmp_path, gamma, mode):
    grey = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    path = save(tmp_path / "a.png", grey.convert(mode), icc_profile=grey_profile(gamma))
    image = read_image(path)
    assert colours.CONVERTED in read_header(path).notes
    assert np.array_equal(image, converted(grey_profile(gamma), "L", grey))
    assert image[8, 0, 0] > 136  # 128 of a smaller gamma is brighter


def test_grey_and_palette_pictures_with_a_profile_of_rgb(tmp_path):
    for mode in ("L", "P", "1"):
        picture = Image.fromarray(pattern()).convert(mode)
        path = save(tmp_path / f"{mode}.png", picture, icc_profile=rgb_profile(ADOBE_RGB))
        expected = converted(rgb_profile(ADOBE_RGB), "RGB", picture.convert("RGB"))
        assert np.array_equal(read_image(path), expected)


def test_cmyk_with_a_profile_is_read_and_without_one_refused(tmp_path):
    picture = Image.new("CMYK", (16, 16), (100, 100, 100, 50))
    path = save(tmp_path / "a.jpg", picture, icc_profile=cmyk_profile(), quality=100)
    assert read_header(path).notes == (colours.CONVERTED,)
    image = read_image(path)
    assert np.abs(image.astype(int) - converted(cmyk_profile(), "CMYK", picture)).max() <= 2
    assert 100 < image[0, 0, 0] < 160
    for name, profile in (("b.jpg", b""), ("c.jpg", b"broken"), ("d.jpg", srgb_profile())):
        with pytest.raises(FileError, match="is a CMYK image: omniconv reads grey and RGB images; save it as RGB"):
            read_header(save(tmp_path / name, picture, icc_profile=profile))


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_srgb_under_any_name_is_left_alone(tmp_path, mode):
    picture = Image.fromarray(pattern()).convert(mode)
    path = save(tmp_path / "a.png", picture, icc_profile=srgb_profile())
    assert read_header(path).notes == ()
    assert np.array_equal(read_image(path), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("profile", [b"broken", srgb_profile()[:200], cmyk_profile(), grey_profile(1.0)])
def test_profiles_that_cannot_be_used_are_ignored_and_said(tmp_path, profile):
    path = save(tmp_path / "a.png", pattern(), icc_profile=profile)
    assert read_header(path).notes == (colours.UNUSABLE_PROFILE,)
    assert np.array_equal(read_image(path), pattern())


def test_profiles_beyond_the_limit_are_not_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(colours, "MAX_PROFILE_BYTES", 100)
    path = save(tmp_path / "a.tif", pattern(), icc_profile=rgb_profile(ADOBE_RGB))
    assert read_header(path).notes == (colours.UNUSABLE_PROFILE,)


def test_transparency_and_profile_together(tmp_path):
    path = save(tmp_path / "a.png", translucent((9, 9, 255), 128), icc_profile=rgb_profile(ADOBE_RGB))
    assert read_header(path).notes == (colours.TRANSPARENCY, colours.CONVERTED)
    colour = converted(rgb_profile(ADOBE_RGB), "RGB", Image.new("RGB", (1, 1), COLOUR))[0, 0]
    image = read_image(path)
    assert np.abs(image[16, 16].astype(int) - colour * (128 / 255)).max() <= 1
    assert image[0, 0].tolist() == [0, 0, 0]
