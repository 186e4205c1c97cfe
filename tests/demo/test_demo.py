from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image
from tiny import SMALL, picture

from omniconv.data.masks import IGNORE_INDEX, read_mask
from omniconv.demo import demonstration
from omniconv.demo.comparison import LATITUDE_RANGES, ROTATED_VIEWS, EarthView, score, views
from omniconv.demo.comparison_page import QUALITY_COLUMNS
from omniconv.demo.earth import FILES, Earth, load_earth, write_training_folder
from omniconv.errors import FileError, InputError
from omniconv.surfaces import panorama


def small_earth():
    image, land = picture(4)
    unseen = np.broadcast_to(np.arange(32) >= 20, land.shape)
    return Earth(image, land, unseen)


@pytest.fixture
def small_demo(monkeypatch):
    make_small(monkeypatch)


def make_small(monkeypatch):
    networks = {
        "mesh": {"surface": "icosphere:2"},
        "plane, rotated pictures": {"surface": "plane", "augment": ("rotate", "colour")},
    }
    settings = {**SMALL, "task": "segment", "repeat": 4, "augment": ("turn", "colour"), "size": (16, 32)}
    monkeypatch.setattr(demonstration, "load_earth", small_earth)
    monkeypatch.setattr(demonstration, "NETWORKS", networks)
    monkeypatch.setattr(demonstration, "SETTINGS", settings)


def run(out, given=None):
    said, tables = [], []
    page = demonstration.run_demo(out, given or {}, said.append, False, lambda *table: tables.append(table))
    return page, said, tables


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("earth") / "demo"
    with pytest.MonkeyPatch.context() as monkeypatch:
        make_small(monkeypatch)
        return out, run(out)


def test_report_contains_tables_and_images(finished, small_demo):
    out, (page, said, tables) = finished
    assert page == out / "report.html"
    text = page.read_text()
    for name in ("mesh", "plane, rotated pictures"):
        assert any(line.strip() == name for line in said)
        for caption in ("prediction", "errors on the unseen part"):
            assert text.count(f'alt="{name}: {caption}"') == 2
    assert text.count('alt="truth"') == text.count('alt="input"') == 2
    assert text.count("<img") == 3 * (1 + 2 * (2 + 2 * 2))
    assert text.count("<table") == 2
    assert text.count("<svg") >= 2
    (header, rows, _), (bands, band_rows, _) = tables
    assert header == QUALITY_COLUMNS
    assert bands == ["network", *LATITUDE_RANGES, *(f"{band} rotated" for band in LATITUDE_RANGES)]
    assert [row[0] for row in rows] == [row[0] for row in band_rows] == list(demonstration.NETWORKS)
    assert all(0 <= value <= 1 for row in rows for value in row[1:5])


def test_unseen_part_is_blank_in_the_training_folder(finished):
    data = finished[0] / "data"
    with Image.open(data / "images/earth.png") as image:
        hidden = np.asarray(image)[:, 20:]
    assert len(np.unique(hidden.reshape(-1, 3), axis=0)) == 1
    assert (read_mask(data / "masks/earth.png")[:, 20:] == IGNORE_INDEX).all()


def test_earlier_demonstration_is_replaced(finished, small_demo, tmp_path):
    out = tmp_path / "demo"
    shutil.copytree(finished[0], out)
    (out / "runs/mesh/leftover").touch()
    run(out, {"seed": 1})
    assert {path.name for path in out.iterdir()} == {"data", "runs", "report.html"}
    assert {path.name for path in (out / "runs").iterdir()} == {"mesh", "plane-rotated-pictures"}
    assert not (out / "runs/mesh/leftover").exists()


@pytest.mark.parametrize(
    "name",
    ["thesis.txt", "data/mine.png", "data/images/mine.png", "data/more/mine.png", "runs/mine/model", "runs/mesh/x"],
)
def test_folder_with_other_files_is_refused(small_demo, tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(FileError, match=r"not part of a demonstration; choose another out=FOLDER"):
        run(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()] == [name]


@pytest.mark.parametrize("given", [{"seed": -1}, {"epochs": 0}, {"device": "tpu"}])
def test_settings_are_checked_before_anything_is_removed(small_demo, tmp_path, given):
    out = write_training_folder(small_earth(), tmp_path / "demo/data")
    with pytest.raises(InputError):
        run(tmp_path / "demo", given)
    assert all((out / name).is_file() for name in FILES)


def test_without_the_extra(monkeypatch, tmp_path):
    monkeypatch.setattr("omniconv.checks.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"not installed, which the demonstration needs; .*pip install .*\[demo\]'"):
        run(tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def test_views_rotate_image_land_and_unseen_part_together():
    earth = small_earth()
    upright, rotated = views(earth, seed=0)
    assert len(rotated) == ROTATED_VIEWS
    assert np.array_equal(upright.land, earth.land)
    areas = panorama.pixel_areas(16, 32)
    for view in rotated:
        assert view.image.shape == upright.image.shape
        assert set(np.unique(view.land)) <= {0, 1}
        assert (areas * view.measured).sum() == pytest.approx((areas * earth.unseen).sum(), rel=0.1)
    assert all(np.array_equal(a.land, b.land) for a, b in zip(rotated, views(earth, seed=0)[1], strict=True))
    assert not np.array_equal(rotated[0].land, views(earth, seed=1)[1][0].land)


def test_score_counts_the_unseen_part_only():
    earth = small_earth()
    view = EarthView(np.zeros((3, 16, 32), np.float32), earth.land, earth.unseen)
    wrong_where_seen = np.where(earth.unseen, earth.land, 1 - earth.land)
    assert all(value == 1 for value in score([view], [wrong_where_seen]).values() if not np.isnan(value))
    wrong_where_unseen = np.where(earth.unseen, 1 - earth.land, earth.land)
    assert all(value == 0 for value in score([view], [wrong_where_unseen]).values() if not np.isnan(value))


def test_scores_equal_a_direct_computation():
    random = np.random.default_rng(0)
    land, predicted = (random.integers(0, 2, (16, 32), dtype=np.uint8) for _ in range(2))
    measured = random.random((16, 32)) < 0.5
    found = score([EarthView(np.zeros((3, 16, 32), np.float32), land, measured)], [predicted])
    areas = panorama.pixel_areas(16, 32) * measured
    latitude = np.abs(90 - (np.arange(16) + 0.5) * 180 / 16)[:, None]
    chosen = {"IoU": measured * 1.0, "IoU by area": areas, "30–60°": areas * ((latitude >= 30) & (latitude < 60))}
    for name, weight in chosen.items():
        both = [(weight * ((land == k) & (predicted == k))).sum() for k in (0, 1)]
        either = [(weight * ((land == k) | (predicted == k))).sum() for k in (0, 1)]
        assert found[name] == pytest.approx(np.mean(np.divide(both, either)))


@pytest.fixture(scope="module")
def earth():
    pytest.importorskip("cartopy")
    pytest.importorskip("global_land_mask")
    return load_earth()


def test_the_real_earth(earth):
    assert earth.image.shape == (360, 720, 3)
    assert earth.land.shape == earth.unseen.shape == (360, 720)
    areas = panorama.pixel_areas(360, 720)
    assert (areas * earth.land).sum() / areas.sum() == pytest.approx(0.29, abs=0.02)
    assert earth.unseen.mean() == pytest.approx(1 / 3, abs=0.01)


@pytest.mark.parametrize(
    ("place", "latitude", "longitude", "land"),
    [("Sahara", 23, 10, 1), ("Brazil", -10, -55, 1), ("Pacific", 0, -150, 0), ("Australia", -25, 135, 1),
     ("Siberia", 65, 100, 1), ("Atlantic", 40, -40, 0), ("South Pole", -89, 0, 1), ("North Pole", 89, 0, 0)],
)  # fmt: skip
def test_orientation_of_the_real_earth(earth, place, latitude, longitude, land):
    row, column = int((90 - latitude) * 2), int((longitude + 180) * 2)
    assert earth.land[row, column] == land
    assert earth.unseen[row, column] == (longitude > 60)


def test_no_pixel_of_the_unseen_part_survives(earth, tmp_path):
    write_training_folder(earth, tmp_path)
    with Image.open(tmp_path / "images/earth.png") as image:
        pixels = np.asarray(image)
    assert np.array_equal(pixels[~earth.unseen], earth.image[~earth.unseen])
    assert len(np.unique(pixels[earth.unseen], axis=0)) == 1
    labels = read_mask(tmp_path / "masks/earth.png")
    assert (labels[earth.unseen] == IGNORE_INDEX).all()
    assert np.array_equal(labels[~earth.unseen], earth.land[~earth.unseen])
    assert (tmp_path / "classes.txt").read_text().split() == ["sea", "land"]


def test_image_and_land_mask_agree(earth):
    """Blue pixels coincide with the sea of the mask between 45° N and 45° S."""
    pixels = earth.image[90:270].astype(int)
    blue = pixels[..., 2] > pixels[..., 0] + 20
    assert np.mean(blue == (earth.land[90:270] == 0)) > 0.85
