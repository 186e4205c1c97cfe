from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import picture, save

from omniconv.data.image_notes import check_images
from omniconv.data.layouts.image_list import scan_images
from omniconv.data.masks import IGNORE_INDEX, read_mask
from omniconv.errors import FileError
from omniconv.inference import write_predictions as module
from omniconv.inference.predictor import Predictor
from omniconv.inference.write_predictions import write_predictions
from omniconv.locks import UNFINISHED, OwnedError
from omniconv.tasks import get_task
from omniconv.tasks.segment import index_png


def check_out(out, images, *inputs):
    targets = get_task("segment").prediction_files(out, [stem for _, stem in images])
    module.check_out(targets, out, images, *inputs)


def files(root):
    return {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def predictor(segment_run):
    return Predictor.open(segment_run.path, "cpu")


@pytest.fixture
def photos(tmp_path):
    """Write images with equal stems in different folders, and with stems that differ in the suffix alone."""
    for seed, name in enumerate(("rome/1.png", "oslo/1.png", "oslo/1.jpg", "oslo/deep/1.png", "2.png")):
        save(tmp_path / "photos" / name, picture(seed, 13, 27)[0])
    return tmp_path / "photos"


def test_label_files_hold_class_indices(predictor, photos, tmp_path):
    listed, seen = scan_images([photos]), []
    written = write_predictions(predictor, listed, tmp_path / "out", lambda: seen.append(1))
    assert len(seen) == len(written)
    for (image, _), label_file in zip(listed, written, strict=True):
        with Image.open(label_file) as opened:
            assert opened.mode == "P"
            assert np.array_equal(np.asarray(opened), predictor.predict(image))
        with Image.open(str(label_file).replace("/labels/", "/overlays/")) as overlay:
            assert overlay.mode == "RGB"
            assert overlay.size == (27, 13)


def test_outputs_mirror_the_inputs_and_none_is_lost(predictor, photos, tmp_path):
    write_predictions(predictor, scan_images([photos]), tmp_path / "out")
    names = {"2.png", "oslo/1.jpg.png", "oslo/1.png.png", "oslo/deep/1.png", "rome/1.png"}
    expected = {f"{part}/{name}" for part in ("labels", "overlays") for name in names}
    assert set(files(tmp_path / "out")) == expected | {"counts.csv"}


def test_folders_given_one_by_one(predictor, photos, tmp_path):
    listed = scan_images([photos / "rome", photos / "oslo", photos / "2.png"])
    written = write_predictions(predictor, listed, tmp_path / "out")
    assert len(set(written)) == len(listed) == 5
    assert len(files(tmp_path / "out")) == 11


@pytest.mark.parametrize("out", ["photos", "photos/oslo", "elsewhere"])
def test_inputs_are_never_overwritten(predictor, photos, tmp_path, out):
    before = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files(photos).items()}
    listed = scan_images([photos])
    check_out(tmp_path / out, listed)
    write_predictions(predictor, listed, tmp_path / out)
    for name, digest in before.items():
        assert hashlib.sha256((photos / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("part", ["labels", "overlays"])
def test_images_where_predictions_would_go_are_refused(tmp_path, part):
    save(tmp_path / part / "deep/a.png", picture(0)[0])
    with pytest.raises(FileError, match="contains the images to predict; choose another out=FOLDER"):
        check_out(tmp_path, scan_images([tmp_path / part]))
    check_out(tmp_path / "out", scan_images([tmp_path / part]))


def test_a_link_to_the_images_is_seen_through(tmp_path):
    save(tmp_path / "photos/labels/a.png", picture(0)[0])
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    with pytest.raises(FileError, match="contains the images to predict"):
        check_out(tmp_path / "link", scan_images([tmp_path / "photos/labels"]))


def test_a_bad_image_leaves_whole_files_only(predictor, photos, tmp_path):
    (photos / "oslo/1.png").write_bytes(b"no image")
    with pytest.raises(FileError, match=r"oslo/1\.png: is not a PNG"):
        write_predictions(predictor, scan_images([photos]), tmp_path / "out")
    for name, path in files(tmp_path / "out").items():
        if name != UNFINISHED:
            with Image.open(path) as image:
                image.load()


def test_the_same_call_replaces_what_a_failed_one_wrote_and_nothing_else(predictor, photos, tmp_path):
    out, listed, broken = tmp_path / "out", scan_images([photos]), photos / "rome/1.png"
    mine = save(out / "labels/mine.png", picture(7)[0])
    content = broken.read_bytes()
    broken.write_bytes(b"no image")
    with pytest.raises(FileError, match=r"rome/1\.png: is not a PNG"):
        write_predictions(predictor, listed, out, overwrite=False)
    written = files(out)
    assert UNFINISHED in written
    broken.write_bytes(content)
    (out / UNFINISHED).write_text((out / UNFINISHED).read_text() + '["labels/a')  # killed while it was written

    save(out / "labels/2.png", picture(8)[0])  # changed by the user
    for call in (lambda: write_predictions(predictor, listed, out, overwrite=False), lambda: check_out(out, listed)):
        with pytest.raises(FileError, match=r"out/labels/2\.png: exists already; add overwrite=True"):
            call()
    (out / "labels/2.png").unlink()
    check_out(out, listed)
    write_predictions(predictor, listed, out, overwrite=False)
    assert len(files(out)) == 12
    assert np.array_equal(np.asarray(Image.open(mine)), picture(7)[0])
    with pytest.raises(FileError, match="exists already"):  # finished now
        write_predictions(predictor, listed, out, overwrite=False)


def test_a_folder_that_is_being_written_has_an_owner(predictor, photos, tmp_path):
    out, listed = tmp_path / "out", scan_images([photos])

    def step():
        with pytest.raises(OwnedError, match="out: is being written by process"):
            check_out(out, listed)

    write_predictions(predictor, listed, out, step, overwrite=False)


def test_probabilities(classify_run, classify_data, tmp_path):
    predictor = Predictor.open(classify_run.path, "cpu")
    listed, seen = scan_images([classify_data]), []
    table, overview = write_predictions(predictor, listed, tmp_path / "out", lambda: seen.append(1))
    assert len(seen) == len(listed)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "predicted", "bright", "dark"]
    assert [row["image"] for row in rows] == [str(image) for image, _ in listed]
    for row in rows:
        values = {name: float(row[name]) for name in predictor.classes}
        assert sum(values.values()) == pytest.approx(1, abs=1e-5)
        assert row["predicted"] == max(values, key=values.get)
        assert list(values.values()) == pytest.approx(predictor.predict(Path(row["image"])), abs=1e-6)
    with Image.open(overview) as image:
        image.load()


@pytest.mark.parametrize("classes", [2, 3, 16, 17, 254])
def test_index_png_keeps_every_label_and_what_is_ignored(tmp_path, classes):
    labels = np.append(np.arange(classes), IGNORE_INDEX).astype(np.uint8)[None].repeat(2, axis=0)
    (tmp_path / "a.png").write_bytes(index_png(labels, classes))
    assert np.array_equal(read_mask(tmp_path / "a.png"), labels)


def test_index_png_shows_every_class_in_its_own_colour(tmp_path):
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    (tmp_path / "a.png").write_bytes(index_png(labels, 12))
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), labels)
        assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) == 12


def test_results_do_not_lie_among_the_images(tmp_path):
    folder = tmp_path / "photos"
    save(folder / "a.png", picture(0)[0])
    listed = scan_images([folder])
    for out in (folder, folder / "found"):
        with pytest.raises(FileError, match="is inside a folder of images, so that predictions would be taken"):
            check_out(out, listed, [folder])
    check_out(tmp_path / "found", listed, [folder])


def test_every_image_is_opened_before_the_first_is_predicted(tmp_path):
    save(tmp_path / "photos/a.png", picture(0)[0])
    (tmp_path / "photos/b.png").write_text("no picture")
    with pytest.raises(FileError, match=r"b\.png"):
        check_images([file for file, _ in scan_images([tmp_path / "photos"])], spherical=False)
