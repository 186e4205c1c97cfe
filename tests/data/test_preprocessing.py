from __future__ import annotations

import json

import numpy as np
import pytest
from pictures import labels, pattern, save, stored

from omniconv.data.images import read_header
from omniconv.data.layouts.dataset_folder import Sample
from omniconv.data.preprocessing import (
    STATISTICS_IMAGES,
    Preprocessing,
    channel_statistics,
    default_size,
    resize_labels,
)
from omniconv.surfaces import Equirectangular, Plane, surface

SURFACES = ("plane", "equirectangular", "icosphere:2")


@pytest.mark.parametrize("name", SURFACES)
def test_round_trip_through_json(name):
    first = Preprocessing(surface(name), (16, 32), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), binary=True)
    assert Preprocessing.from_json(json.loads(json.dumps(first.to_json()))) == first


def test_keys_of_the_first_file_format_are_still_read_and_written():
    written = {
        "surface": "icosphere:2,laplacian=mass",
        "size": [8, 16],
        "mean": [0.1] * 3,
        "spread": [0.2] * 3,
        "binary": False,
    }
    read = Preprocessing.from_json(written)
    assert read == Preprocessing(surface("icosphere:2"), (8, 16), (0.1,) * 3, (0.2,) * 3)
    assert read.to_json() == written


@pytest.mark.parametrize("name", SURFACES)
def test_shapes_and_kinds(name, tmp_path):
    preprocessing = Preprocessing(surface(name), (16, 32))
    image = preprocessing.image(save(tmp_path / "image.png", pattern()))
    assert image.shape == (3, 16, 32)
    assert image.dtype == np.float32
    assert 0 <= image.min() <= image.max() <= 1
    grid = (16, 32) if name != "icosphere:2" else (162,)
    x = preprocessing.on_surface(image)
    assert x.shape == (3, *grid)
    assert x.dtype == np.float32
    found = preprocessing.labels_on_surface(preprocessing.labels(save(tmp_path / "mask.png", labels())))
    assert found.shape == grid
    assert found.dtype == np.int64
    assert set(np.unique(found)) == {0, 1, 2, 3}


@pytest.mark.parametrize("name", SURFACES)
def test_a_constant_is_standardised(name):
    preprocessing = Preprocessing(surface(name), (16, 32), mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.5))
    image = np.broadcast_to(np.float32([0.3, 0.2, 0.6])[:, None, None], (3, 16, 32))
    x = preprocessing.on_surface(image).reshape(3, -1)
    assert x == pytest.approx(np.broadcast_to([[1.0], [-1.0], [0.0]], x.shape), abs=1e-5)


def test_areas_have_mean_one():
    assert Preprocessing(Plane(), (16, 32)).areas() is None
    for name, shape in (("equirectangular", (16, 32)), ("icosphere:2", (162,))):
        areas = Preprocessing(surface(name), (16, 32)).areas()
        assert areas.shape == shape
        assert areas.dtype == np.float32
        assert areas.mean() == pytest.approx(1, abs=1e-6)
    rows = Preprocessing(Equirectangular(), (16, 32)).areas()[:, 0]
    assert rows[0] < 0.2 < 1.5 < rows[8]


@pytest.mark.parametrize(
    ("name", "sizes", "expected"),
    [
        ("plane", [(48, 64)] * 3, (48, 64)),
        ("plane", [(48, 64), (64, 48)], (256, 256)),
        ("plane", [(512, 512)], (512, 512)),
        ("plane", [(513, 64)], (256, 256)),
        ("plane", [], (256, 256)),
        ("equirectangular", [(512, 1024)], (512, 1024)),
        ("equirectangular", [(513, 1026)], (256, 512)),
        ("equirectangular", [], (256, 512)),
    ],
)
def test_default_size(name, sizes, expected):
    assert default_size(surface(name), sizes) == expected


@pytest.mark.parametrize("level", [1, 3, 5])
def test_a_mesh_asks_for_the_panorama_that_it_can_show(level):
    height, width = default_size(surface(f"icosphere:{level}"), [(16, 32)])
    assert width == 2 * height
    assert height == surface(f"icosphere:{level}").panorama_height()


def test_statistics_of_known_images(tmp_path):
    black, other = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
    other[:] = (255, 51, 0)
    samples = [Sample(save(tmp_path / f"{i}.png", image), 0) for i, image in enumerate((black, other))]
    mean, std = channel_statistics(samples, lambda sample: Preprocessing(Plane(), (8, 8)).image(sample.image))
    assert mean == pytest.approx((0.5, 0.1, 0.0), abs=1e-6)
    assert std == pytest.approx((0.5, 0.1, 0.01), abs=1e-6)  # never so small that noise is blown up


@pytest.mark.parametrize("count", [1, 200, 201, 399, 1000])
def test_statistics_look_at_images_from_first_to_last(count):
    seen = []

    def read(sample):
        seen.append(sample.image)
        return np.zeros((3, 8, 8), np.float32)

    channel_statistics([Sample(index) for index in range(count)], read)
    assert len(set(seen)) == len(seen) == min(count, STATISTICS_IMAGES)
    assert min(seen) == 0
    assert max(seen) == count - 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["plane", "equirectangular"])
def test_exif_is_applied_once(tmp_path, orientation, name):
    preprocessing = Preprocessing(surface(name), (12, 20))
    image = save(tmp_path / "image.png", stored(pattern(), orientation), orientation)
    mask = save(tmp_path / "mask.png", stored(labels(), orientation), orientation)
    upright = np.moveaxis(pattern(), -1, 0) / np.float32(255)
    assert preprocessing.image(image) == pytest.approx(upright, abs=1e-6)
    assert np.array_equal(preprocessing.labels(mask, read_header(image)), labels())


def test_panoramas_shrink_without_a_seam(tmp_path):
    wide = np.zeros((32, 64, 3), np.uint8)
    wide[:, :8] = 255
    preprocessing = Preprocessing(Equirectangular(), (8, 16))
    small = preprocessing.image(save(tmp_path / "a.png", wide))
    turned = preprocessing.image(save(tmp_path / "b.png", np.roll(wide, 4, axis=1)))
    assert np.roll(small, 1, axis=-1) == pytest.approx(turned, abs=1e-6)


def test_binary_masks(tmp_path):
    mask = save(tmp_path / "mask.png", (labels() == 2).astype(np.uint8) * 255)
    found = Preprocessing(Plane(), (12, 20), binary=True).labels(mask)
    assert np.array_equal(found, labels() == 2)


@pytest.mark.parametrize("size", [(12, 20), (6, 10), (24, 40), (7, 9)])
def test_resized_labels_are_labels_of_the_original(size):
    found = resize_labels(labels(), size)
    assert found.shape == size
    assert set(np.unique(found)) == {0, 1, 2, 3}
    assert np.array_equal(resize_labels(resize_labels(labels(), (24, 40)), (12, 20)), labels())
