from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
from pictures import cut, noise, pattern, save, stored, write_png
from PIL import Image

from omniconv.data.images import IMAGE_SUFFIXES, Header, read_header, read_image
from omniconv.errors import FileError, InputError


def refused(path, rule, cure, read=read_header, starts=None):
    with pytest.raises(FileError) as caught:
        read(path)
    text = str(caught.value)
    assert text.startswith(starts or f"{path}: ")
    assert rule in text
    assert cure in text
    assert "\n" not in text


def test_header_of_a_plain_picture(tmp_path):
    path = save(tmp_path / "a.png", pattern())
    assert read_header(path) == Header(20, 12, "RGB", "PNG", 1)
    assert read_header(str(path)).size == (12, 20)


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_every_suffix_is_read(tmp_path, suffix):
    image = read_image(save(tmp_path / f"a{suffix}", pattern(64, 96)))
    assert image.shape == (64, 96, 3)
    assert np.abs(image[10, 10].astype(int) - (250, 10, 10)).max() < 12


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(tmp_path, orientation, suffix):
    options = {"lossless": True} if suffix == ".webp" else {}
    path = save(tmp_path / f"a{suffix}", stored(pattern(64, 96), orientation), orientation, **options)
    header = read_header(path)
    assert header.size == (64, 96)
    assert header.stored_size == ((96, 64) if orientation >= 5 else (64, 96))
    assert header.orientation == orientation
    difference = np.abs(read_image(path).astype(int) - pattern(64, 96))
    assert difference.mean() < (4 if suffix == ".jpg" else 0.001)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_compressed_tiff_is_turned_once(tmp_path, orientation):
    path = save(tmp_path / "a.tif", stored(pattern(), orientation), orientation, compression="tiff_lzw")
    assert read_header(path).size == (12, 20)
    assert np.array_equal(read_image(path), pattern())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_is_upright(tmp_path, orientation):
    path = save(tmp_path / "a.jpg", stored(pattern(640, 960), orientation), orientation)
    image = read_image(path, size=(16, 24))
    assert image.shape == (16, 24, 3)
    assert np.abs(image[3:5, 3:5].astype(int) - (250, 10, 10)).max() < 12
    assert np.abs(image[3:5, -5:-3].astype(int) - (10, 250, 10)).max() < 12


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_senseless_orientation_is_upright(tmp_path, orientation):
    path = save(tmp_path / "a.png", pattern(), orientation)
    assert read_header(path).orientation == 1
    assert np.array_equal(read_image(path), pattern())


def test_damaged_metadata_does_no_harm(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(pattern()), exif=b"Exif\0\0nonsense")
    assert np.array_equal(read_image(path), pattern())


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "RGB"])
def test_modes_become_rgb(tmp_path, mode):
    original = Image.fromarray(pattern()).convert(mode)
    image = read_image(save(tmp_path / "a.png", original))
    assert image.shape == (12, 20, 3)
    assert image.dtype == np.uint8
    assert image.flags["C_CONTIGUOUS"]
    assert image.flags["WRITEABLE"]
    assert np.array_equal(image, np.asarray(original.convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
@pytest.mark.parametrize("size", [None, (100, 150), (40, 30), (300, 13)])
def test_blocks_give_what_the_whole_picture_gives(tmp_path, monkeypatch, mode, size):
    path = save(tmp_path / "a.png", Image.fromarray(noise(200, 301)).convert(mode))
    whole = Image.open(path).convert("RGB")
    expected = whole if size is None else whole.resize(size[::-1], Image.Resampling.BILINEAR, reducing_gap=2.0)
    monkeypatch.setattr("omniconv.data.images.BLOCK_PIXELS", 5000)
    assert np.array_equal(read_image(path, size), np.asarray(expected))


def test_shrinking_averages(tmp_path):
    board = np.zeros((64, 64, 3), np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = 255
    image = read_image(save(tmp_path / "a.png", board), size=(8, 8))
    assert np.abs(image.astype(int) - 128).max() < 8


def test_growing(tmp_path):
    assert read_image(save(tmp_path / "a.jpg", pattern()), size=(100, 90)).shape == (100, 90, 3)


@pytest.mark.parametrize("size", [(0, 5), (5,), (5, -1)])
def test_size_must_be_positive(tmp_path, size):
    path = save(tmp_path / "a.png", pattern())
    with pytest.raises(InputError, match=r"size=.*must be \(height, width\).*use size="):
        read_image(path, size=size)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_missing_folder_and_empty_files(tmp_path, suffix):
    refused(tmp_path / f"no.{suffix}", "does not exist", "check the path")
    refused(tmp_path, "is a folder, not an image", "name an image file")
    empty = tmp_path / f"empty.{suffix}"
    empty.touch()
    refused(empty, "is empty (0 bytes)", "copy the file again")
    refused(empty / "a.png", "does not exist", "check the path")
    refused(f"{tmp_path}/a\0.png", "holds a NUL character", "check the path", starts=f"{tmp_path}/a")


def test_links_that_lead_nowhere(tmp_path):
    (tmp_path / "a.png").symlink_to("a.png")
    refused(tmp_path / "a.png", "cannot be read (too many levels of symbolic links)", "check the permissions")
    (tmp_path / "b.png").symlink_to("c.png")
    refused(tmp_path / "b.png", "does not exist", "check the path")


def test_not_a_regular_file(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    refused(tmp_path / "a.png", "is a device or pipe, not an image", "name an image file")


def test_not_an_image(tmp_path):
    text = tmp_path / "a.png"
    text.write_text("not an image\n")
    refused(text, "is not a PNG, JPEG, BMP, TIFF or WebP image", "save it again as PNG")


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n", "Radiance HDR"),
        (b"\x76\x2f\x31\x01", "OpenEXR"),
        (b"GIF89a", "GIF"),
        (b"\0\0\0\x1cftypavif", "AVIF"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
    ],
)
def test_other_formats_are_named(tmp_path, start, name):
    path = tmp_path / "a.png"
    path.write_bytes(start + bytes(40))
    refused(path, f"is a {name} image: omniconv reads PNG, JPEG, BMP, TIFF and WebP", "convert it")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp"])
def test_header_cut_short(tmp_path, suffix):
    path = save(tmp_path / f"a{suffix}", noise())
    path.write_bytes(path.read_bytes()[:14])
    refused(path, "or its header is damaged", "take it out of the folder")


def test_no_permission(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", pattern())

    def deny(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", deny)  # a real file would not do: root may read everything
    refused(path, "cannot be read (permission denied)", "check its path and permissions")


def test_a_large_panorama_is_legitimate(tmp_path):
    path = write_png(tmp_path / "a.png", 16384, 8192, bits=1, kind=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_header(path).size == (8192, 16384)


def test_a_bomb_is_refused_undecoded(tmp_path):
    path = write_png(tmp_path / "a.png", 60000, 60000, bits=8, kind=2)
    refused(path, "has more than 178 megapixels", "shrink it")
    refused(path, "has more than 178 megapixels", "shrink it", read_image)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_one_picture_a_file(tmp_path, suffix):
    pages = [Image.fromarray(pattern()), Image.fromarray(pattern()[::-1])]
    path = save(tmp_path / f"a{suffix}", pages[0], save_all=True, append_images=pages[1:])
    refused(path, "contains several pictures", "save each picture as a separate file")


def test_a_phones_mpo_is_its_first_picture(tmp_path):
    pages = [Image.fromarray(pattern(64, 96)), Image.fromarray(pattern(64, 96)[::-1])]
    path = save(tmp_path / "a.jpg", pages[0], format="MPO", save_all=True, append_images=pages[1:])
    assert read_header(path).format == "MPO"
    assert np.abs(read_image(path, size=(16, 24)).astype(int) - pattern(16, 24)).mean() < 12


@pytest.mark.parametrize("shape", [(1, 20), (20, 1), (1, 1)])
def test_one_pixel(tmp_path, shape):
    path = save(tmp_path / "a.png", pattern(20, 20)[: shape[0], : shape[1]])
    refused(path, f"is {shape[0]} x {shape[1]} (height x width): each side must have at least 2", "take it out")


@pytest.mark.parametrize(
    ("name", "dtype", "bits"),
    [("a.png", np.uint16, 16), ("a.tif", np.uint16, 16), ("b.tif", np.int32, 32), ("c.tif", np.float32, 32)],
)
def test_deep_images(tmp_path, name, dtype, bits):
    path = save(tmp_path / name, np.full((6, 5), 700, dtype))
    refused(path, f"is a {bits}-bit image: omniconv reads 8 bits per channel", "magick in.png -depth 8")
    refused(path, f"is a {bits}-bit image", "magick", read_image)


def test_deep_rgb(tmp_path):
    path = write_png(tmp_path / "a.png", 2, 2, bits=16, kind=2, rows=bytes(2 * 13))
    refused(path, "is a 16-bit image: omniconv reads 8 bits per channel", "magick in.png -depth 8")


@pytest.mark.parametrize(("name", "mode"), [("a.jpg", "CMYK"), ("a.tif", "CMYK"), ("b.tif", "LAB")])
def test_other_colours(tmp_path, name, mode):
    path = save(tmp_path / name, Image.new(mode, (6, 5)))
    refused(path, f"is a {mode} image: omniconv reads grey and RGB", "save it as RGB")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp"])
@pytest.mark.parametrize("size", [None, (16, 16)])
def test_cut_short(tmp_path, suffix, size):
    path = cut(save(tmp_path / f"a{suffix}", noise()))
    with pytest.raises(FileError, match=r"(is truncated or damaged|header is damaged).*; ") as caught:
        read_image(path, size)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_header_of_a_cut_file_is_read(tmp_path, suffix):
    path = cut(save(tmp_path / f"a{suffix}", noise()))
    assert read_header(path).size == (64, 96)
    refused(path, "is truncated or damaged", "copy the file again", read_image)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_uncompressed_grey_tiff_is_turned_once(tmp_path, orientation):
    grey = pattern()[..., 0]
    path = save(tmp_path / "a.tif", stored(grey, orientation), orientation)
    assert read_header(path).size == (12, 20)
    assert np.array_equal(read_image(path)[..., 0], grey)


def test_images_unlike_those_of_the_training_are_noted(tmp_path):
    from omniconv.data.image_notes import describe_differences
    from omniconv.data.preprocessing import Preprocessing
    from omniconv.surfaces import surface

    random = np.random.default_rng(0)
    colours = random.integers(0, 256, (20, 40, 3), np.uint8)
    pictures = {"colour": colours, "grey": colours[..., 0], "grey_rgb": np.repeat(colours[..., :1], 3, 2)}
    files = {}
    for name, pixels in pictures.items():
        files[name] = tmp_path / f"{name}.png"
        Image.fromarray(pixels).save(files[name])
    flat = Preprocessing(surface("plane"), (32, 64), mean=(0.5, 0.4, 0.3))
    assert describe_differences(files.values(), flat) == {
        "grey, and the network was trained on images in colour": f"1 image ({files['grey']})"
    }
    square_grey = Preprocessing(surface("plane"), (32, 32), mean=(0.5,) * 3)
    notes = describe_differences(files.values(), square_grey)
    assert notes["in colour, and the network was trained on grey images"] == f"1 image ({files['colour']})"
    assert notes["stretched to the shape of the network's images, 32x32"].startswith("3 images (")
    assert len(notes) == 2
    round_one = Preprocessing(surface("icosphere:1"), (32, 32), mean=(0.5, 0.4, 0.3))
    assert describe_differences([files["colour"]], round_one) == {}
