"""Pictures of labels distinguish classes, errors and ignored pixels by colour."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from omniconv.errors import InputError
from omniconv.report.pictures import contact_sheet, error_map, legend, overlay, paint, palette, png_bytes

CORRECT, WRONG = [226, 229, 232], [225, 29, 42]


@pytest.fixture
def labels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 5, (20, 30))


def distances(colours: np.ndarray) -> np.ndarray:
    """Distance of each pair of colours in red, green and blue."""
    steps = colours[:, None].astype(float) - colours[None]
    return np.sqrt((steps**2).sum(-1))[np.triu_indices(len(colours), 1)]


@pytest.mark.parametrize(("classes", "apart"), [(8, 60), (24, 20), (64, 8), (256, 1)])
def test_the_colours_are_distinct(classes, apart):
    colours = palette(classes)
    assert colours.shape == (classes, 3)
    assert colours.dtype == np.uint8
    assert distances(colours).min() >= apart


def test_a_class_keeps_its_colour_when_others_follow():
    np.testing.assert_array_equal(palette(300)[:5], palette(5))


def test_a_palette_needs_a_class():
    with pytest.raises(InputError, match="classes=0"):
        palette(0)


def test_painting_can_be_undone(labels):
    painted = paint(labels, 5)
    found = (painted[..., None, :] == palette(5)).all(-1).argmax(-1)
    np.testing.assert_array_equal(found, labels)


def test_truth_values_are_two_classes():
    np.testing.assert_array_equal(paint(np.array([[False, True]]), 2), palette(2)[None])


@pytest.mark.parametrize("ignored", [255, -1])
def test_ignored_pixels_are_hatched_in_grey_that_no_class_has(labels, ignored):
    labels[5:15] = ignored
    hatch = paint(labels, 5, ignored)[5:15]
    assert (hatch == hatch[..., :1]).all()
    assert len(np.unique(hatch)) == 2
    assert hatch.min() > 150


@pytest.mark.parametrize("strange", [5, -1, 200])
def test_a_label_without_class_is_refused(labels, strange):
    labels[3, 4] = strange
    with pytest.raises(InputError, match=f"labels={strange}: must be a class, 0 to 4"):
        paint(labels, 5)


@pytest.mark.parametrize("array", [np.zeros((3, 4)), np.zeros((1, 3, 4), int), np.zeros((0, 4), int)])
def test_what_is_no_label_map_is_refused(array):
    with pytest.raises(InputError, match="must be a label map"):
        paint(array, 2)


def test_the_overlay_leaves_the_background_as_it_is(labels):
    image = np.random.default_rng(1).integers(0, 256, (*labels.shape, 3), np.uint8)
    shown = overlay(image, labels, 5)
    np.testing.assert_array_equal(shown[labels == 0], image[labels == 0])
    assert (shown != image).any(-1)[labels != 0].mean() > 0.9


def test_the_overlay_mixes_inside_a_class_and_draws_its_edge():
    image = np.full((9, 9, 3), 100, np.uint8)
    labels = np.zeros((9, 9), int)
    labels[2:7, 2:7] = 1
    shown, colour = overlay(image, labels, 2, opacity=0.25), palette(2)[1]
    assert (shown[2, 2:7] == colour).all()
    assert (shown[2:7, 6] == colour).all()
    np.testing.assert_array_equal(shown[4, 4], np.rint(0.75 * 100 + 0.25 * colour))


def test_the_overlay_runs_from_the_image_to_the_colours():
    image = np.full((6, 6, 3), 80, np.uint8)
    labels = np.ones((6, 6), int)
    np.testing.assert_array_equal(overlay(image, labels, 2, opacity=0), image)
    np.testing.assert_array_equal(overlay(image, labels, 2, opacity=1), paint(labels, 2))


def test_the_overlay_refuses_what_does_not_fit(labels):
    image = np.zeros((20, 31, 3), np.uint8)
    with pytest.raises(InputError, match=r"labels=\(20, 30\): must have the height and width of image"):
        overlay(image, labels, 5)
    with pytest.raises(InputError, match=r"opacity=1.5"):
        overlay(image[:, :30], labels, 5, opacity=1.5)


def test_errors_are_red_exactly_where_the_labels_differ(labels):
    prediction = np.roll(labels, 1, axis=1)
    shown = error_map(labels, prediction)
    assert (shown[labels != prediction] == WRONG).all()
    assert (shown[labels == prediction] == CORRECT).all()


def test_errors_do_not_count_where_the_truth_is_ignored(labels):
    prediction = labels + 1
    labels[:] = 255
    assert not (error_map(labels, prediction) == WRONG).all(-1).any()


def test_errors_need_one_size(labels):
    with pytest.raises(InputError, match=r"prediction=\(19, 30\)"):
        error_map(labels, labels[1:])


def test_the_legend_has_the_colours_of_the_palette():
    entries = legend(["sea", "land", "ice"])
    assert [name for name, _ in entries] == ["sea", "land", "ice"]
    assert [list(bytes.fromhex(colour[1:])) for _, colour in entries] == palette(3).tolist()


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4)], ids=str)
def test_a_png_holds_the_array(shape):
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    with Image.open(io.BytesIO(png_bytes(array))) as image:
        np.testing.assert_array_equal(np.asarray(image), array)
    assert png_bytes(array) == png_bytes(Image.fromarray(array))


@pytest.mark.parametrize("array", [np.zeros((4, 5)), np.zeros((4, 5, 2), np.uint8), np.zeros((0, 5), np.uint8)])
def test_a_png_of_no_picture_is_refused(array):
    with pytest.raises(InputError, match="picture="):
        png_bytes(array)


def test_the_sheet_has_rows_and_columns():
    tile = np.zeros((50, 100, 3), np.uint8)
    one, two, four = (contact_sheet([(tile, "caption")] * count, columns=2) for count in (1, 2, 4))
    assert one.size == two.size
    assert one.width == 2 * 220 + 3 * 14
    assert four.height - two.height == two.height - 14


def test_the_thumbnail_fills_its_tile():
    sheet = np.asarray(contact_sheet([(np.full((10, 20), 7, np.uint8), "")], columns=1, tile_width=100))
    assert (sheet[14:64, 14:114] == 7).all()
    assert (sheet[64:] == 255).all()


@pytest.mark.parametrize("tile_width", [1, 10, 37, 120, 221])
@pytest.mark.parametrize("caption", ["gypsum " * 40, "W" * 99, "two\nlines\tand a tab", "(qÅgjpy|)", "日本"])
def test_captions_are_never_cut_off(caption, tile_width):
    sheet = contact_sheet([(np.full((8, 8, 3), 255, np.uint8), caption)], columns=1, tile_width=tile_width)
    ink = np.argwhere(np.asarray(sheet.convert("L")) < 250)
    if ink.size:
        assert ink.min() >= 13  # at most one pixel of a letter's overhang in the margin
        assert ink[:, 1].max() < 14 + tile_width
        assert ink[:, 0].max() < sheet.height - 14


def test_a_long_caption_is_its_start():
    tile = np.full((8, 8, 3), 255, np.uint8)
    short, long = (np.asarray(contact_sheet([(tile, text)], columns=1)) for text in ("polar sea", "polar sea " * 20))
    np.testing.assert_array_equal(short[:, :70], long[:, :70])
    assert (long < 128).sum() > (short < 128).sum()


def test_an_empty_sheet_is_refused():
    with pytest.raises(InputError, match="tiles=0"):
        contact_sheet([], columns=2)
