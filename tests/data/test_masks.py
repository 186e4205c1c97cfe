from __future__ import annotations

import numpy as np
import pytest
from pictures import cut, labels, noise, pattern, save, stored, write_png
from PIL import Image
from profiles import grey_profile

from omniconv.data.images import read_header, read_image
from omniconv.data.masks import IGNORE_INDEX, check_labels, label_counts, read_mask
from omniconv.errors import FileError

SAVE_INDEX = "save the class index of each pixel as an 8-bit grey or palette PNG"


def refused(path, rule, cure, **options):
    with pytest.raises(FileError) as caught:
        read_mask(path, **options)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert rule in text
    assert cure in text
    assert "\n" not in text


def palette(indices):
    image = Image.fromarray(indices)
    image.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200, 9, 9, 9])
    return image


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
@pytest.mark.parametrize("make", [Image.fromarray, palette])
def test_grey_and_palette(tmp_path, suffix, make):
    read = read_mask(save(tmp_path / f"a{suffix}", make(labels())))
    assert read.dtype == np.uint8
    assert np.array_equal(read, labels())


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_one_bit(tmp_path, suffix):
    path = save(tmp_path / f"a{suffix}", Image.fromarray(labels() > 1))
    assert np.array_equal(read_mask(path), labels() > 1)
    assert np.array_equal(read_mask(path, binary=True), labels() > 1)


def test_grey_with_alpha(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(labels()).convert("LA"))
    assert np.array_equal(read_mask(path), labels())


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("alpha", [0, 254])
def test_transparent_pixels_are_refused(tmp_path, mode, alpha):
    picture = Image.fromarray(labels()).convert(mode)
    layer = np.full((12, 20), 255, np.uint8)
    layer[3, 4] = alpha
    picture.putalpha(Image.fromarray(layer))
    cure = "save the class index of each pixel as an 8-bit grey or palette PNG, and 255 where it is to be ignored"
    refused(save(tmp_path / "a.png", picture), "has transparent pixels", cure)


def test_transparent_palette_entries_and_profiles_concern_the_display_only(tmp_path):
    for name, picture in (("a.png", Image.fromarray(labels())), ("b.png", palette(labels()))):
        path = save(tmp_path / name, picture, transparency=0, icc_profile=grey_profile(1.0))
        assert np.array_equal(read_mask(path), labels())


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "I;16", "I"])
def test_blocks_give_the_whole_mask(tmp_path, monkeypatch, mode):
    monkeypatch.setattr("omniconv.data.images.BLOCK_PIXELS", 50)
    path = save(tmp_path / "a.tif", Image.fromarray(labels()).convert(mode))
    assert np.array_equal(read_mask(path), labels())


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_three_equal_channels(tmp_path, mode, suffix):
    options = {"lossless": True} if suffix == ".webp" else {}
    path = save(tmp_path / f"a{suffix}", Image.fromarray(labels()).convert(mode), **options)
    assert np.array_equal(read_mask(path), labels())


@pytest.mark.parametrize(("name", "dtype"), [("a.png", np.uint16), ("a.tif", np.uint16), ("b.tif", np.int32)])
def test_deep_masks_of_small_labels(tmp_path, name, dtype):
    assert np.array_equal(read_mask(save(tmp_path / name, labels().astype(dtype))), labels())
    refused(save(tmp_path / name, labels().astype(dtype) * 100), "contains values from 0 to 300", SAVE_INDEX)


def test_negative_labels(tmp_path):
    refused(save(tmp_path / "a.tif", labels().astype(np.int32) - 1), "contains values from -1 to 2", SAVE_INDEX)


def test_float_mask(tmp_path):
    refused(save(tmp_path / "a.tif", labels().astype(np.float32)), "is a F mask: a mask has one integer", SAVE_INDEX)


def test_two_bit_grey(tmp_path):
    path = write_png(tmp_path / "a.png", 4, 2, bits=2, kind=0, rows=b"\x00\x1b\x00\x1b")
    refused(path, "is a 2-bit grey mask, whose values Pillow scales to 0 to 255", SAVE_INDEX)


def test_deep_colour(tmp_path):
    path = write_png(tmp_path / "a.png", 2, 2, bits=16, kind=2, rows=bytes(2 * 13))
    refused(path, "is a mask of several 16-bit channels", SAVE_INDEX)


def test_lossy_formats(tmp_path):
    cure = "save masks as PNG"
    refused(save(tmp_path / "a.jpg", labels()), "is a lossy JPEG mask: its compression changes labels", cure)
    refused(save(tmp_path / "a.webp", labels()), "is a lossy WEBP mask", cure)
    refused(save(tmp_path / "a.tif", labels(), compression="jpeg"), "is a lossy TIFF mask", cure)
    translucent = Image.fromarray(np.dstack([pattern(), labels()]))
    refused(save(tmp_path / "b.webp", translucent), "is a lossy WEBP mask", cure)


def test_colour_mask(tmp_path):
    refused(save(tmp_path / "a.png", pattern()), "is a colour picture, not a mask of labels", SAVE_INDEX)


def test_files_that_are_no_images(tmp_path):
    refused(tmp_path / "no.png", "does not exist", "check the path")
    refused(cut(save(tmp_path / "a.png", noise()[..., 0])), "is truncated or damaged", "copy the file again")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_tagged_mask_is_turned_once(tmp_path, orientation, suffix):
    image = save(tmp_path / "image.png", stored(pattern(), orientation), orientation)
    mask = save(tmp_path / f"mask{suffix}", stored(labels(), orientation), orientation)
    upright = read_mask(mask, read_header(image))
    assert np.array_equal(upright, labels())
    assert np.array_equal(upright == 1, (read_image(image) == (250, 10, 10)).all(axis=-1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_upright_mask_without_tag_is_left_alone(tmp_path, orientation):
    image = save(tmp_path / "image.jpg", stored(pattern(), orientation), orientation)
    assert np.array_equal(read_mask(save(tmp_path / "mask.png", labels()), read_header(image)), labels())


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_mask_as_stored_is_turned_with_its_image(tmp_path, orientation):
    image = save(tmp_path / "image.jpg", stored(pattern(), orientation), orientation)
    mask = save(tmp_path / "mask.png", stored(labels(), orientation))
    assert np.array_equal(read_mask(mask, read_header(image)), labels())


def test_a_square_mask_without_tag_counts_as_upright(tmp_path):
    image = save(tmp_path / "image.jpg", stored(pattern(12, 12), 6), 6)
    assert np.array_equal(read_mask(save(tmp_path / "mask.png", labels(12, 12)), read_header(image)), labels(12, 12))


def test_size_differs_from_the_image(tmp_path):
    header = read_header(save(tmp_path / "image.png", pattern()))
    mask = save(tmp_path / "mask.png", labels(20, 12))
    cure = "save the mask at the size of its image"
    refused(mask, "the mask is 20 x 12 but its image is 12 x 20 (height x width)", cure, image_header=header)


def test_binary(tmp_path):
    mask = (labels() == 2).astype(np.uint8)
    assert np.array_equal(read_mask(save(tmp_path / "a.png", mask * 255), binary=True), mask)
    assert np.array_equal(read_mask(save(tmp_path / "b.png", mask), binary=True), mask)
    smoothed = save(tmp_path / "c.png", mask * 128)
    refused(smoothed, "contains the value 128: with binary=True a mask contains", "without smoothing", binary=True)


def test_check_labels_names_the_place():
    mask = labels()
    mask[4, 7] = 9
    mask[5, 8] = IGNORE_INDEX
    check_labels("m.png", mask, 10)
    text = (
        r"^m\.png: has the label 9 at row 4, column 7, but there are 4 classes \(0 to 3\); "
        r"add the missing names to classes\.txt, or set these pixels to 255 to ignore them$"
    )
    with pytest.raises(FileError, match=text):
        check_labels("m.png", mask, 4)


@pytest.mark.parametrize("value", [0, 1, IGNORE_INDEX])
def test_check_labels_takes_uniform_masks(value):
    check_labels("m.png", np.full((4, 5), value, np.uint8), 2)


def test_check_labels_takes_background_with_ignored_pixels():
    check_labels("m.png", np.array([[0, IGNORE_INDEX]], np.uint8), 2)


def test_label_counts():
    mask = np.random.default_rng(0).integers(0, 256, (3000, 1500), np.uint8)
    counts = label_counts(mask[:, ::2])
    assert counts.shape == (256,)
    assert np.array_equal(counts, np.bincount(mask[:, ::2].ravel(), minlength=256))
