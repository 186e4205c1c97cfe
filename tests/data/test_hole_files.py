"""Mask files of holes: formats, values, pairing with images, errors in one line."""

import unicodedata

import numpy as np
import pytest
from PIL import Image
from tiny import save

from omniconv.data.hole_files import check_hole_array, check_holes, find_holes, read_hole
from omniconv.data.images import read_header
from omniconv.errors import FileError, InputError

HOLE = np.zeros((12, 16), bool)
HOLE[3:8, 4:11] = True


def written(path, mode="L", **options):
    picture = Image.fromarray(np.where(HOLE, np.uint8(255), np.uint8(0)))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.convert(mode).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("name", "mode"),
    [("m.png", "L"), ("m.png", "1"), ("m.png", "P"), ("m.png", "RGB"), ("m.png", "LA"), ("m.png", "RGBA"),
     ("m.jpg", "L"), ("m.jpg", "RGB"), ("m.bmp", "L"), ("m.tif", "L"), ("m.webp", "RGB")],
)  # fmt: skip
def test_every_format_is_read(tmp_path, name, mode):
    hole = read_hole(written(tmp_path / name, mode))
    assert hole.dtype == bool
    assert (hole != HOLE).mean() < (0.05 if name.endswith(("jpg", "webp")) else 1e-9)


def test_sixteen_bits_are_scaled(tmp_path):
    path = tmp_path / "m.png"
    Image.fromarray(np.where(HOLE, 60_000, 9_000).astype(np.uint16)).save(path)
    assert np.array_equal(read_hole(path), HOLE)


def test_values_from_128_on_are_the_hole(tmp_path):
    assert np.array_equal(read_hole(save(tmp_path / "m.png", np.where(HOLE, 128, 0).astype(np.uint8))), HOLE)
    soft = np.where(HOLE, 255, 0).astype(np.uint8)
    soft[2, 4:11], soft[8, 4:11] = 127, 90
    assert np.array_equal(read_hole(save(tmp_path / "m.png", soft)), HOLE)


def test_a_black_mask_is_read(tmp_path):
    assert not read_hole(save(tmp_path / "m.png", np.zeros((4, 4), np.uint8))).any()


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.full((4, 4), 255, np.uint8), "is white everywhere, so that nothing of the image is known; paint only"),
        (HOLE.astype(np.uint8), "has no white pixels, its largest value is 1: the hole begins at 128; save it as a"),
        (np.full((4, 4), 160, np.uint8), "is a picture, not a mask: 100 % of its pixels"),
        (np.dstack([HOLE * 255, HOLE * 0, HOLE * 0]).astype(np.uint8), r"is a colour picture \(18 % of its pixels\)"),
        (np.dstack([HOLE * 255] * 3 + [HOLE * 255]).astype(np.uint8), "is a mask with transparent pixels; save it as"),
    ],
)  # fmt: skip
def test_what_is_no_mask_is_refused_in_one_line(tmp_path, pixels, message):
    path = save(tmp_path / "m.png", pixels)
    with pytest.raises(FileError, match=message) as error:
        read_hole(path)
    assert "\n" not in str(error.value)


def test_a_mask_has_the_size_of_its_image(tmp_path):
    image = save(tmp_path / "i.png", np.zeros((12, 17, 3), np.uint8))
    with pytest.raises(FileError, match=r"the mask is 12 x 16 but its image is 12 x 17 \(height x width\); save"):
        read_hole(written(tmp_path / "m.png"), read_header(image))


def test_a_mask_of_the_stored_pixels_follows_the_orientation_of_its_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(np.zeros((12, 16, 3), np.uint8))
    image.save(tmp_path / "i.jpg", exif=exif)
    header = read_header(tmp_path / "i.jpg")
    assert header.size == (16, 12)
    assert np.array_equal(read_hole(written(tmp_path / "m.png"), header), np.rot90(HOLE, -1))


def named(root, *names):
    return [save(root / name, np.zeros((12, 16, 3), np.uint8)) for name in names]


def test_masks_are_found_by_the_path_in_their_folder(tmp_path):
    images = named(tmp_path / "photos", "a.png", "sub/b.png", f"caf{unicodedata.normalize('NFD', 'é')}.png")
    for name in ("a.png", "sub/b.jpg", f"caf{unicodedata.normalize('NFC', 'é')}.png", "more.png"):
        written(tmp_path / "masks" / name)
    found, skipped = find_holes(images, [tmp_path / "photos"], tmp_path / "masks")
    assert [found[image].suffix for image in images] == [".png", ".jpg", ".png"]
    assert skipped == [(tmp_path / "masks/more.png", "has no image")]
    assert check_holes(found) == []


def test_masks_of_a_data_set_are_found_without_the_folder_images(tmp_path):
    images = named(tmp_path / "data", "images/a.png", "images/sub/b.png")
    written(tmp_path / "data/masks/a.png")
    written(tmp_path / "data/masks/sub/b.png")
    assert len(find_holes(images, [tmp_path / "data"], tmp_path / "data/masks")[0]) == 2


def test_one_mask_serves_all_images(tmp_path):
    images = named(tmp_path / "photos", "a.png", "b.png")
    mask = written(tmp_path / "m.png")
    assert find_holes(images, [tmp_path / "photos"], mask)[0] == dict.fromkeys(images, mask)


def test_errors_of_pairing(tmp_path):
    images = named(tmp_path / "photos", "a.png", "B.png")
    with pytest.raises(FileError, match="nowhere: does not exist; check the path of the masks"):
        find_holes(images, [tmp_path / "photos"], tmp_path / "nowhere")
    (tmp_path / "masks").mkdir()
    with pytest.raises(FileError, match="masks: contains no masks; put a mask in it"):
        find_holes(images, [tmp_path / "photos"], tmp_path / "masks")
    written(tmp_path / "masks/b.png")
    with pytest.raises(FileError, match=r"a.png: has no mask in .* \(2 of 2 images lack one\); expected .*a.png, or"):
        find_holes(images, [tmp_path / "photos"], tmp_path / "masks")
    written(tmp_path / "masks/a.png")
    with pytest.raises(FileError, match=r"B.png: has no mask .*; rename .*b.png, which differs in upper and lower"):
        find_holes(images, [tmp_path / "photos"], tmp_path / "masks")
    written(tmp_path / "masks/b.jpg")
    with pytest.raises(FileError, match=r"b.png: has the same name as b.jpg; rename one of them"):
        find_holes(images, [tmp_path / "photos"], tmp_path / "masks")


def test_every_mask_is_checked_before_any_image_is_filled(tmp_path):
    images = named(tmp_path, "a.png", "b.png", "c.png")
    white, black = (save(tmp_path / f"{value}.png", np.full((12, 16), value, np.uint8)) for value in (255, 0))
    pairs = {images[0]: written(tmp_path / "m.png"), images[1]: black, images[2]: white}
    with pytest.raises(FileError, match=r"255.png: is white everywhere"):
        check_holes(pairs)
    with pytest.raises(FileError, match=r"2 of 3 masks cannot be used, the first: .*255.png: is white"):
        check_holes(pairs | {images[0]: white})
    assert check_holes(pairs | {images[2]: black}) == images[1:]


@pytest.mark.parametrize(
    "mask",
    [HOLE, HOLE.astype(np.uint8), HOLE.astype(np.uint8) * 255, HOLE.astype(float), HOLE[None], HOLE[..., None],
     HOLE[None, None]],
)  # fmt: skip
def test_arrays_of_several_types_are_holes(mask):
    assert np.array_equal(check_hole_array(mask, HOLE.shape), HOLE)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (HOLE[:5], r"mask='an array \(5, 16\)': must have the height and width of its image, 12 x 16; resize"),
        (HOLE * 300, "mask='int64 values': must be True, 255 or 1.0 in the hole and 0 elsewhere"),
        (np.where(HOLE, np.nan, 0), "mask='float64 values': must be True, 255 or 1.0 in the hole"),
        (~HOLE | HOLE, "mask='True everywhere': must leave a part of the image known"),
        (None, r"mask='an array \(\)': must have the height and width"),
    ],
)  # fmt: skip
def test_other_arrays_are_refused(mask, message):
    with pytest.raises(InputError, match=message):
        check_hole_array(mask, HOLE.shape)
