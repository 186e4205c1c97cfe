"""Task of inpainting: holes of samples, training, evaluation, filled files, and errors, on several surfaces."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import picture, rows_without_seconds, save, trained, words

import omniconv as oc
from omniconv.cli import main
from omniconv.data.images import read_header, read_image, read_layers
from omniconv.data.layouts.dataset_folder import Sample
from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import FileError, InputError
from omniconv.surfaces import Cubemap, Equirectangular, Healpix, Icosahedron, Icosphere, Plane
from omniconv.tasks import get_task
from omniconv.tasks.inpaint.base import HOLE, KNOWN, OUTSIDE
from omniconv.training.preflight import check_settings
from omniconv.training.settings import RunConfig, read_config

TASK = get_task("inpaint")
SIZE = (16, 32)
SURFACES = [Plane(), Equirectangular(), Equirectangular(height=16, kernels="tangent"), Cubemap(8), Healpix(4),
            Icosphere(2), Icosahedron(2)]  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Six pictures in two folders."""
    root = tmp_path_factory.mktemp("photos") / "photos"
    for index in range(6):
        save(root / ("a" if index % 2 else "b") / f"{index}.png", picture(index)[0])
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory, photos):
    return trained(tmp_path_factory.mktemp("run") / "flat", "inpaint", photos, width=4, epochs=2, sample_every=1)


@pytest.fixture(scope="module")
def sphere(tmp_path_factory, photos):
    settings = {"width": 4, "surface": "equirectangular", "method": "partial"}
    return trained(tmp_path_factory.mktemp("run") / "round", "inpaint", photos, **settings)


def box(height=16, width=32, top=4, left=8):
    mask = np.zeros((height, width), np.uint8)
    mask[top : top + height // 3, left : left + width // 3] = 255
    return mask


@pytest.mark.parametrize("surface", SURFACES, ids=str)
def test_training_draws_anew_and_validation_draws_the_same(photos, surface):
    sample = Sample(photos / "b/0.png")
    preprocessing = Preprocessing(surface, SIZE, holes="thick")
    grid = SIZE if surface.any_size else surface.shape
    target = TASK.resize_with_image(sample, TASK.load_target(sample, preprocessing), preprocessing)
    first, second = (TASK.draw_target(target, sample, preprocessing, np.random.default_rng(seed)) for seed in (0, 1))
    held_out, again = (TASK.draw_target(target, sample, preprocessing, None) for _ in range(2))
    assert first.shape == held_out.shape == (1, *grid)
    assert first.dtype == np.uint8
    assert set(np.unique(first)) == {KNOWN, HOLE}
    assert (first != second).any()
    assert np.array_equal(held_out, again)
    other = Sample(photos / "b/2.png")
    assert (TASK.draw_target(target, other, preprocessing, None) != held_out).any()


def test_the_hole_of_a_sample_depends_on_its_content_only(photos, tmp_path):
    copy = tmp_path / "copy.png"
    shutil.copy(photos / "b/0.png", copy)
    for surface, size in ((Plane(), (8, 8)), (Healpix(4), SIZE)):
        preprocessing = Preprocessing(surface, size, holes="lama")
        holes = [TASK.hole_of(Sample(path), preprocessing) for path in (photos / "b/0.png", copy)]
        assert holes[0].shape == (16, 32)
        assert np.array_equal(*holes)


def test_given_masks_are_the_holes(tmp_path):
    save(tmp_path / "images/a.png", picture(0)[0])
    save(tmp_path / "masks/a.png", box())
    folder = TASK.scan(tmp_path, ())
    (sample,) = folder.samples
    preprocessing = Preprocessing(Plane(), SIZE, holes="lama")
    target = TASK.load_target(sample, preprocessing)
    assert TASK.count_target(sample, target, ())[HOLE] == (box() > 0).sum()
    drawn = TASK.draw_target(target, sample, preprocessing, np.random.default_rng(0))
    assert np.array_equal(drawn[0] == HOLE, box() > 0)
    assert np.array_equal(TASK.hole_of(sample, preprocessing), box() > 0)


def test_what_a_part_of_a_panorama_does_not_show_is_neither_known_nor_hole(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "data")
    from xmp import crop_fields, packet, save_with

    path = save_with(tmp_path / "part.png", Image.fromarray(picture(0, 16, 32)[0]),
                     packet(crop_fields((32, 64), 8, 16, (16, 32))))  # fmt: skip
    sample = Sample(path)
    preprocessing = Preprocessing(Equirectangular(), (32, 64), holes="thin")
    target = TASK.resize_with_image(sample, TASK.load_target(sample, preprocessing), preprocessing)
    drawn = TASK.draw_target(target, sample, preprocessing, np.random.default_rng(0))[0]
    shown = np.zeros((32, 64), bool)
    shown[8:24, 16:48] = True
    assert (drawn[~shown] == OUTSIDE).all()
    assert set(np.unique(drawn[shown])) == {KNOWN, HOLE}
    assert TASK.hole_of(sample, preprocessing).shape == (16, 32)
    hole = TASK.hole_of(sample, preprocessing)
    x, small = preprocessing.masked(read_image(path), hole, read_header(path))
    assert small[~shown].all()
    assert np.array_equal(small[8:24, 16:48], hole)
    assert (x[:, small] == 0).all()


@pytest.mark.parametrize("surface", SURFACES, ids=str)
def test_what_the_hole_contains_has_no_effect(surface):
    pixels, _ = picture(0, 24, 48)
    hole = box(24, 48) > 0
    other = np.where(hole[..., None], 255 - pixels, pixels)
    preprocessing = Preprocessing(surface, SIZE)
    header = read_header(Image.fromarray(pixels))
    first, second = (preprocessing.masked(image, hole, header) for image in (pixels, other))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert 0 < first[1].mean() < 1


def test_a_run_has_measures_pictures_and_a_report(run):
    evaluation = json.loads(run.evaluation.read_text())
    assert evaluation["method"] == "gated"
    assert 0 < evaluation["l1"] < 1
    assert sum(part["images"] for part in evaluation["by_share"]) == 1
    assert {"val_l1", "val_psnr"} <= rows_without_seconds(run.metrics)[0].keys()
    page = run.report.read_text()
    assert "l1 in the hole (%)" in page
    assert ">filled<" in page
    assert ">truth<" in page
    best = min(float(row["val_l1"]) for row in rows_without_seconds(run.metrics))
    assert best < 1


def test_a_killed_run_resumes_with_the_same_holes(run, photos, tmp_path):
    half = trained(tmp_path / "half", "inpaint", photos, width=4, epochs=1, sample_every=1)
    assert main(["train", "--resume", str(half.path), "--epochs", "2"]) == 0
    other = trained(tmp_path / "whole", "inpaint", photos, width=4, epochs=2, sample_every=1)
    first, second = (oc.load(folder.model).state_dict() for folder in (run, other))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert rows_without_seconds(half.metrics)[0] == rows_without_seconds(other.metrics)[0]


@pytest.mark.parametrize(("method", "weight"), [("gated", 6.0), ("plain", 6.0), ("partial", 6.4), ("deepfill", 1.0)])
def test_one_wrong_sample_in_the_hole_costs_its_weight(method, weight):
    """Partial convolutions add 0.1 times the total variation: 4 differences of 1 to the neighbours."""
    task, x, codes = get_task("inpaint", method), torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    codes[..., 3, 4] = HOLE
    predicted = torch.where(codes == HOLE, 1.0, x)
    loss = task.image_loss(SimpleNamespace(surface=Plane()), task.criterion(None, None), x, codes, [predicted])
    assert loss.item() == pytest.approx(weight / 64)  # the mean over 64 samples
    outside = torch.where(codes == HOLE, codes, OUTSIDE)  # nothing known: a constant prediction varies nowhere
    ones = torch.ones_like(x)
    loss = task.image_loss(SimpleNamespace(surface=Plane()), task.criterion(None, None), 0 * x, outside, [ones])
    assert loss.item() == pytest.approx(1.0 if method == "deepfill" else 6.0)


@pytest.mark.parametrize("method", ["gated", "partial", "plain"])
def test_every_method_is_measured_in_the_same_holes(run, photos, method):
    task = get_task("inpaint", method)
    preprocessing = Preprocessing(Plane(), SIZE, holes="lama")
    samples = [Sample(photos / "b/0.png"), Sample(photos / "a/1.png")]
    for sample in samples:
        assert np.array_equal(task.hole_of(sample, preprocessing), TASK.hole_of(sample, preprocessing))


def test_deepfill_is_trained_against_patches(photos, tmp_path):
    settings = {"width": 2, "depth": 2, "method": "deepfill", "surface": "icosphere:2"}
    deep = trained(tmp_path / "run", "inpaint", photos, **settings)
    assert "adversary_loss" in rows_without_seconds(deep.metrics)[0]
    assert oc.load(deep.model).arguments["kind"] == "deepfill"
    task = get_task("inpaint", "deepfill")
    network = oc.models.Inpainter(3, kind="deepfill", width=2)
    adversary, criterion = task.adversary(network), task.criterion(None, None)
    codes = torch.zeros(2, 1, 32, 32, dtype=torch.uint8)
    codes[..., 8:16] = HOLE
    batch = torch.randn(2, 3, 32, 32), codes
    loss = task.adversary_loss(network, adversary, criterion, batch)
    loss.backward()
    assert all(parameter.grad is None for parameter in network.parameters())
    assert 0 < loss.item() < 2
    task.training_loss(network, criterion, batch, adversary).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def images_of_every_kind(folder):
    """Write images of several formats and sizes, each of which a mask of its size fits."""
    pixels, _ = picture(3, 23, 37)
    save(folder / "odd.png", pixels)
    save(folder / "grey.png", pixels[..., 0])
    save(folder / "sub/alpha.png", np.dstack([pixels, np.arange(23 * 37).reshape(23, 37).astype(np.uint8)]))
    Image.fromarray(pixels).quantize(16).save(folder / "palette.png")
    Image.fromarray(pixels).save(folder / "photo.jpg")
    Image.fromarray(pixels[..., 0] > 127).save(folder / "bits.png")
    return folder


def test_pixels_outside_of_the_hole_are_those_of_the_file(run, tmp_path, capsys):
    images = images_of_every_kind(tmp_path / "images")
    mask = save(tmp_path / "mask.png", box(23, 37))
    out = tmp_path / "out"
    assert main(["predict", str(run.path), str(images), "--masks", str(mask), "--out", str(out)]) == 0
    hole = box(23, 37) > 0
    for file in images.rglob("*.*"):
        before = read_layers(file)
        after = read_layers(out / "inpainted" / file.relative_to(images).with_suffix(".png"))
        assert after.shape == before.shape
        assert np.array_equal(after[~hole], before[~hole])
        assert (after[hole] != before[hole]).any()
        assert np.array_equal(after, oc.open_run(run.path).inpaint(file, mask))
    assert read_image(out / "overview.png").shape[1] > 300
    assert "6 images with filled holes written into" in capsys.readouterr().out


def test_a_part_of_a_panorama_keeps_its_size_and_metadata(sphere, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "data")
    from xmp import crop_fields, packet, save_with

    path = save_with(tmp_path / "part.png", Image.fromarray(picture(0, 15, 31)[0]),
                     packet(crop_fields((32, 64), 8, 16, (15, 31))))  # fmt: skip
    mask = save(tmp_path / "mask.png", box(15, 31))
    assert main(["predict", str(sphere.path), str(path), "--masks", str(mask), "--out", str(tmp_path / "out")]) == 0
    written = tmp_path / "out/inpainted/part.png"
    assert read_header(written).crop == read_header(path).crop
    assert np.array_equal(read_image(written)[box(15, 31) == 0], read_image(path)[box(15, 31) == 0])


def test_a_hole_across_the_seam_is_filled_as_any_other(sphere):
    predictor = oc.Predictor(sphere.path)
    pixels, hole = picture(2, 16, 32)[0], box() > 0
    filled = predictor.predict(pixels, hole)
    for columns in (16, 20):  # multiples of the total stride
        rolled = predictor.predict(np.roll(pixels, columns, 1), np.roll(hole, columns, 1))
        assert np.abs(rolled.astype(int) - np.roll(filled, columns, 1)).max() <= 1


def test_masks_of_other_kinds_in_python(run):
    predictor, pixels = oc.Predictor(run.path), picture(4, 20, 28)[0]
    hole = box(20, 28) > 0
    expected = predictor.predict(pixels, hole)
    for mask in (box(20, 28), torch.from_numpy(hole)[None], Image.fromarray(box(20, 28)), hole.astype(float)):
        assert np.array_equal(predictor.predict(pixels, mask), expected)
    assert np.array_equal(predictor.predict(pixels, ~hole & hole), pixels)
    with pytest.raises(InputError, match="mask='sparse_coo tensor on cpu': must be dense and have values"):
        predictor.predict(pixels, torch.zeros(20, 28).to_sparse())
    with pytest.raises(InputError, match="mask=None: is required: a network of the task inpaint with method=gated"):
        predictor.predict(pixels)


def test_errors_are_one_line_and_nothing_is_written(run, segment_run, photos, tmp_path, capsys):
    def refused(*arguments, mask=None, of=run.path):
        given = ["--masks", str(mask)] if mask is not None else []
        assert main(["predict", str(of), str(photos), *given, "--out", str(tmp_path / "out"), *arguments]) == 2
        assert not (tmp_path / "out").exists()
        error = capsys.readouterr().err.strip()
        assert "\n" not in error
        return error

    white = save(tmp_path / "white.png", np.full((16, 32), 255, np.uint8))
    small = save(tmp_path / "small.png", box(8, 8))
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty").mkdir()
    save(tmp_path / "some/b/0.png", box())
    assert "--masks=None: is required: a network of the task inpaint with method=gated fills the holes" in refused()
    assert "6 of 6 masks cannot be used, the first: " in refused(mask=white)
    assert "the mask is 8 x 8 but its image is 16 x 32 (height x width)" in refused(mask=small)
    assert "is not a PNG, JPEG, BMP, TIFF or WebP image" in refused(mask=tmp_path / "text.png")
    assert "empty: contains no masks" in refused(mask=tmp_path / "empty")
    assert "5 of 6 images lack one" in refused(mask=tmp_path / "some")
    assert "nowhere: does not exist" in refused(mask=tmp_path / "nowhere")
    shown = refused(mask=white, of=segment_run.path)
    assert f"--masks='{white}': cannot be used: a network of the task segment does not fill holes" in shown
    black = save(tmp_path / "black.png", np.zeros((16, 32), np.uint8))
    words_ = ["predict", str(run.path), str(photos / "b/0.png"), "--masks", str(black), "--out", str(tmp_path / "same")]
    assert main(words_) == 0
    assert "0.png: its mask is black, so that it is written unchanged" in capsys.readouterr().out
    assert np.array_equal(read_image(tmp_path / "same/inpainted/0.png"), read_image(photos / "b/0.png"))
    assert main(words_) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("task", "flag", "text"),
    [
        ("segment", "--holes=thin", "--holes='thin': is not used by the task segment; leave it out, or choose another"),
        ("classify", "--binary", "--binary=True: is not used by the task classify"),
        ("inpaint", "--balance", "--balance=True: is not used by the task inpaint"),
        ("generate", "--balance", "--balance=True: is not used by the task generate"),
        ("segment", "--sample-every=2", "--sample-every=2: is not used by the task segment"),
    ],
)
def test_settings_of_other_tasks_are_refused(task, flag, text, photos, tmp_path, capsys):
    assert main(["train", task, str(photos), flag, "--out", str(tmp_path / "run")]) == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_settings_of_other_tasks_are_not_in_config_yaml_and_may_be_in_that_of_earlier_runs(run, tmp_path):
    settings = read_config(run.path / "config.yaml")
    assert not {"balance", "binary"} & set(settings)
    assert settings["holes"] == "lama"
    earlier = RunConfig(**settings, balance=False, binary=False)
    check_settings(earlier)
    with pytest.raises(InputError, match="binary=True: is not used by the task inpaint"):
        check_settings(earlier.replace(binary=True))


def test_small_images_are_named(tmp_path, capsys):
    save(tmp_path / "data/a.png", np.zeros((4, 6, 3), np.uint8))
    assert main(["train", "inpaint", str(tmp_path / "data"), "--out", str(tmp_path / "run")]) == 2
    text = "data: has images of 4 × 6 pixels; images for training have at least 8 rows and columns; enlarge them by "
    assert f"{text}--size 8x12, or give larger images" in capsys.readouterr().err


def test_bad_data(tmp_path, segment_data, capsys):
    (tmp_path / "none").mkdir()
    save(tmp_path / "one/a.png", picture(0)[0])
    save(tmp_path / "black/images/a.png", picture(0)[0])
    save(tmp_path / "black/masks/a.png", np.zeros((16, 32), np.uint8))

    def train(data, *arguments):
        result = main(["train", "inpaint", str(data), "--out", str(tmp_path / "run"), *words(width=4), *arguments])
        return result, capsys.readouterr()

    code, shown = train(tmp_path / "none")
    assert (code, "contains no images; expected images in it" in shown.err) == (2, True)
    code, shown = train(tmp_path / "black")
    assert (code, "has black masks only, without a hole; paint the holes white" in shown.err) == (2, True)
    code, shown = train(segment_data)
    assert (code, "has no white pixels, its largest value is 1" in shown.err) == (2, True)
    code, shown = train(tmp_path / "one", "--holes", "thik")
    assert (code, "--holes='thik': must be one of deepfill, lama, thin, medium, thick" in shown.err) == (2, True)
    assert not (tmp_path / "run").exists()
    code, shown = train(tmp_path / "one")
    assert (code, "none, so quality is not measured" in shown.out) == (0, True)


def test_images_smaller_than_the_stride_are_trained_on(tmp_path):
    for index in range(3):
        save(tmp_path / f"data/{index}.png", picture(index, 9, 11)[0])
    trained(tmp_path / "run", "inpaint", tmp_path / "data", width=4, depth=3, method="partial")


def test_damaged_measures_are_named(run, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(run.path, path)
    content = json.loads((path / "evaluation.json").read_text())
    for change in ({"l1": "x"}, {"by_share": [{}]}, {"psnr": {}}):
        (path / "evaluation.json").write_text(json.dumps(content | change))
        with pytest.raises(FileError, match="is damaged"):
            oc.open_run(path).evaluation  # noqa: B018
