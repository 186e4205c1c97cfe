from __future__ import annotations

import numpy as np
import pytest
from pictures import noise, save
from PIL import Image
from xmp import crop_fields, packet, save_with

from omniconv.data import gpano
from omniconv.data.gpano import Crop
from omniconv.data.images import read_header
from omniconv.data.layouts.dataset_folder import Sample
from omniconv.data.masks import IGNORE_INDEX
from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import FileError
from omniconv.inference.evaluation import evaluate
from omniconv.inference.predictor import Predictor
from omniconv.surfaces import panorama, surface
from omniconv.tasks import get_task
from omniconv.training.datasets import SampleReader

FULL, TOP, LEFT, SIZE = (64, 128), 16, 32, (24, 64)
PART = slice(16, 40), slice(32, 96)
FIELDS = crop_fields(FULL, TOP, LEFT, SIZE)


def small(height=24, width=64):
    return Image.fromarray(noise(height, width))


def header(tmp_path, fields, picture=None, **options):
    return read_header(save_with(tmp_path / "a.png", picture or small(), packet(fields, **options)))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
@pytest.mark.parametrize("elements", [False, True])
def test_crop_of_every_format(tmp_path, suffix, elements):
    path = save_with(tmp_path / f"a{suffix}", small(), packet(FIELDS, elements, prefix="G"))
    found = read_header(path)
    assert found.crop == Crop(0.25, 0.625, 0.25, 0.75)
    assert found.gpano_notes == (gpano.PART,)
    assert found.panorama_size == FULL
    assert found.crop.own_box(*found.size) == PART
    assert found.crop.box(32, 64) == (slice(8, 20), slice(16, 48))


def test_a_picture_resized_after_its_metadata_was_written(tmp_path):
    found = header(tmp_path, crop_fields((640, 1280), 160, 320, (240, 640)))
    assert found.crop == Crop(0.25, 0.625, 0.25, 0.75)
    assert found.panorama_size == FULL


def test_a_whole_panorama_has_no_crop(tmp_path):
    found = header(tmp_path, crop_fields((32, 64), 0, 0, (32, 64)), small(32, 64))
    assert found.crop is None
    assert found.gpano_notes == ()


@pytest.mark.parametrize("name", ["PoseHeadingDegrees", "PosePitchDegrees", "PoseRollDegrees"])
def test_a_pose_is_noted(tmp_path, name):
    assert header(tmp_path, FIELDS | {name: "-3.5"}).gpano_notes == (gpano.PART, gpano.POSE)
    assert header(tmp_path, FIELDS | {name: "0.0"}).gpano_notes == (gpano.PART,)


@pytest.mark.parametrize(
    "change",
    [
        {"ProjectionType": "cylindrical"},
        {"FullPanoWidthPixels": "nan"},
        {"FullPanoWidthPixels": "1e400"},
        {"FullPanoWidthPixels": "9" * 5000},
        {"FullPanoWidthPixels": ""},
        {"FullPanoWidthPixels": 64},
        {"FullPanoHeightPixels": 0},
        {"FullPanoHeightPixels": -64},
        {"CroppedAreaTopPixels": -1},
        {"CroppedAreaTopPixels": 50},
        {"CroppedAreaLeftPixels": 70},
        {"CroppedAreaImageHeightPixels": 0},
        {"CroppedAreaImageHeightPixels": 40},
        {"PoseRollDegrees": "much"},
    ],
)
def test_senseless_fields_are_noted_and_ignored(tmp_path, change):
    found = header(tmp_path, FIELDS | change)
    assert found.crop is None
    assert found.gpano_notes == (gpano.UNUSABLE_CROP,)


def test_a_missing_field(tmp_path):
    fields = {name: value for name, value in FIELDS.items() if name != "CroppedAreaTopPixels"}
    assert header(tmp_path, fields).gpano_notes == (gpano.UNUSABLE_CROP,)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<x:xmpmeta", b'<!DOCTYPE x [<!ENTITY a "b">]><x:xmpmeta'),
        (b"</rdf:RDF>", b""),
        (b"<rdf:RDF", b"<a>" * 50_000 + b"<rdf:RDF"),
        (b"equirectangular", b"\xff\xfe"),
    ],
)
def test_hostile_packets_are_noted_and_ignored(tmp_path, old, new):
    path = save_with(tmp_path / "a.webp", small(), packet(FIELDS).replace(old, new))
    assert read_header(path).gpano_notes == (gpano.UNUSABLE_CROP,)


def test_packets_beyond_the_limit_are_not_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(gpano, "MAX_PACKET_BYTES", 100)
    assert header(tmp_path, FIELDS).crop is None


def whole_and_part(folder, suffix=".png"):
    """A panorama that is black outside a part, and the file of the part."""
    part = noise(*SIZE)
    whole = np.zeros((*FULL, 3), np.uint8)
    whole[PART] = part
    return (
        save(folder / "whole.png", whole),
        save_with(folder / f"part{suffix}", Image.fromarray(part), packet(FIELDS)),
    )


@pytest.mark.parametrize("name", ["equirectangular", "icosphere:2"])
@pytest.mark.parametrize("size", [(64, 128), (32, 64), (16, 32), (9, 18)])
def test_a_part_is_placed_in_the_panorama(tmp_path, name, size):
    whole, part = whole_and_part(tmp_path)
    preprocessing = Preprocessing(surface(name), size)
    # 36 rows, 4 times 9, do not divide 64: the part is placed to the nearest of them.
    tolerance = 0.1 if size == (9, 18) else 0.01
    assert preprocessing.image(part) == pytest.approx(preprocessing.image(whole), abs=tolerance)


def test_a_flat_network_reads_the_part_alone(tmp_path):
    _, part = whole_and_part(tmp_path)
    image = Preprocessing(surface("plane"), SIZE).image(part)
    assert image == pytest.approx(np.moveaxis(noise(*SIZE), -1, 0) / 255, abs=1e-6)


def write_masks(folder):
    mask = np.random.default_rng(1).integers(0, 2, SIZE, np.uint8)
    whole = np.full(FULL, IGNORE_INDEX, np.uint8)
    whole[PART] = mask
    return save(folder / "whole_mask.png", whole), save(folder / "part_mask.png", mask)


@pytest.mark.parametrize("size", [(64, 128), (32, 64), (16, 32)])
def test_the_rest_is_ignored_in_training(tmp_path, size):
    _, part = whole_and_part(tmp_path)
    whole_mask, part_mask = write_masks(tmp_path)
    preprocessing = Preprocessing(surface("equirectangular"), size)
    expected = preprocessing.labels(whole_mask)
    assert np.array_equal(preprocessing.labels(part_mask, read_header(part)), expected)
    reader = SampleReader(get_task("segment"), preprocessing, 1)
    assert np.array_equal(reader.read(Sample(part, part_mask))[1], expected)
    assert IGNORE_INDEX in expected


def test_a_task_that_cannot_ignore_refuses_parts(tmp_path):
    _, part = whole_and_part(tmp_path)
    _, mask = write_masks(tmp_path)

    class Strict(type(get_task("segment"))):
        ignore_index = None

    reader = SampleReader(Strict(), Preprocessing(surface("equirectangular"), (16, 32)), 1)
    with pytest.raises(FileError, match=r"part\.png: .*cannot ignore the rest; use surface='plane'"):
        reader.read(Sample(part, mask))


def test_a_prediction_holds_the_pictures_own_pixels(sphere_run, tmp_path):
    predictor = Predictor.open(sphere_run.path, "cpu")
    whole, part = whole_and_part(tmp_path)
    predicted = predictor.predict(part)
    assert predicted.shape == SIZE
    assert np.mean(predicted == predictor.predict(whole)[PART]) > 0.99


def test_a_measure_by_area_weighs_the_pictures_own_rows(sphere_run, tmp_path):
    predictor = Predictor.open(sphere_run.path, "cpu")
    _, part = whole_and_part(tmp_path / "data")
    folder = tmp_path / "data"
    (folder / "images").mkdir()
    part = part.rename(folder / "images/a.png")
    _, mask = write_masks(folder)
    (folder / "masks").mkdir()
    mask = mask.rename(folder / "masks/a.png")
    from tiny import scan

    found = evaluate(predictor, scan("segment", folder))
    areas = panorama.pixel_areas(*FULL)[PART]
    correct = predictor.predict(part) == np.asarray(Image.open(mask))
    assert found["by_area"]["accuracy"] == pytest.approx((areas * correct).sum() / areas.sum())
    assert found["accuracy"] == pytest.approx(correct.mean())


@pytest.mark.parametrize(("top", "rows"), [(0, 7), (1, 6), (13, 7), (333, 7), (993, 7)])
def test_the_own_box_has_the_size_of_the_picture(top, rows):
    crop = Crop(top / 1000, (top + rows) / 1000, 0.123, 0.999)
    for height in (2, 3, 7, 50):
        for width in (2, 877, 1234):
            full, box = crop.full_size(height, width), crop.own_box(height, width)
            assert [part.stop - part.start for part in box] == [height, width]
            assert all(part.start >= 0 and part.stop <= size for part, size in zip(box, full, strict=True))


def test_a_panorama_beyond_the_largest_image_is_refused(tmp_path):
    fields = crop_fields((40_000, 80_000), 100, 100, (24, 64))
    path = save_with(tmp_path / "a.png", small(), packet(fields))
    with pytest.raises(FileError, match=r"is a part of a panorama of 40000 x 80000 .*178 megapixels\); shrink it"):
        Preprocessing(surface("equirectangular"), (16, 32)).image(path)
