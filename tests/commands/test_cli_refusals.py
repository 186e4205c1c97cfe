"""Wrong input ends with one line on stderr, exit code 2, and no partly written file."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import claim_size, cut, picture, save, segment_folder, words

from omniconv.cli import main
from omniconv.models import models_for
from omniconv.models.registry import MODELS
from omniconv.tasks import TASKS

TASK_NAMES = ", ".join(TASKS)
DENSE_MODELS = ", ".join(models_for("dense"))


@pytest.fixture
def refused(here, capsys):
    """Run a command that must be refused, and return its line on stderr."""

    def run(*arguments, leaves=None):
        before = leaves if leaves is not None else set(here.rglob("*"))
        capsys.readouterr()
        assert main([str(word) for word in arguments]) == 2
        captured = capsys.readouterr()
        said = [line for line in captured.err.splitlines() if line]
        assert len(said) == 1
        assert said[0].startswith("omniconv: ")
        assert "Traceback" not in captured.err + captured.out
        assert "OSError" not in said[0]
        assert "Errno" not in said[0]
        if leaves is None:
            assert set(here.rglob("*")) == before
        return said[0]

    return run


@pytest.fixture
def data(here):
    return segment_folder(here / "data", 4)


def train(*arguments, **settings):
    return ["train", "segment", "data", *arguments, *words(**settings)]


# Words


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["predict", "run", "", "--out", "out"], "IMAGES"),
        (["predict", "run", "data", "--out", ""], "--out"),
        (["evaluate", "run", ""], "DATA"),
        (["audit", "run", "data", "--labels", ""], "--labels"),
    ],
)
def test_empty_paths(arguments, name, refused):
    assert refused(*arguments) == f"omniconv: {name}='': must not be empty; give a path, or . for the working folder"


@pytest.mark.parametrize(
    ("arguments", "cure"),
    [
        (["trian", "segment", "data"], "did you mean train?"),
        (["predct"], "did you mean predict?"),
        (
            ["xyz"],
            "the commands are audit, convert, demo, evaluate, explain, export, predict, report, sample, summary, train",
        ),
        (["train", "segment", "data", "--surfce", "plane"], "--surface"),
        (["train", "segment", "data", "--epoch", "3"], "--epochs"),
        (["summary", "segment", "--dept", "3"], "--depth"),
        (["train", "segment", "data", "--epochs", "two"], "'two' is not a valid integer"),
        (["train", "segment", "data", "--surface"], "requires an argument"),
        (["train", "segment", "data", "extra"], "unexpected extra argument (extra)"),
        (["predict", "run", "--out", "x"], "Missing argument 'IMAGES...'"),
        (["predict", "run", "data"], "Missing option '--out'"),
        (["report"], "Missing argument 'RUN'"),
        (["summary", "segment", "--classes", "0"], "0 is not in the range"),
    ],
)
def test_usage(refused, data, arguments, cure):
    assert cure in refused(*arguments)


def test_resume_excludes_other_options(refused, data):
    for option in ("--out", "--name", "--config"):
        assert "--resume takes its settings from the run" in refused("train", "--resume", "run", option, "x")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["train"], f"TASK=None: is required; write: omniconv train {'|'.join(TASKS)} DATA"),
        (["train", "segment"], "DATA=None: is required; write: omniconv train segment DATA"),
        (["train", "segmnt", "data"], f"TASK='segmnt': must be one of {TASK_NAMES}; did you mean segment?"),
        (["summary", "clasify"], "did you mean classify?"),
        (["summary", "runs/none"], f"must be one of {TASK_NAMES} or the folder of a run"),
        (["train", "segment", "data", "--size", "big"], "size='big': must be N or HxW in pixels"),
        (["train", "segment", "data", "--config", "none.yaml"], "none.yaml: cannot be read"),
        (["report", "data"], "data: has no config.yaml, so it is not a run"),
        (["report", "none"], "none: does not exist; give the folder of a run"),
        (["evaluate", "none", "data"], "none: does not exist"),
        (["predict", "none", "data", "--out", "x"], "none: does not exist"),
        (["train", "--resume", "none"], "none: does not exist"),
    ],
)
def test_wrong_arguments(refused, data, arguments, line):
    assert line in refused(*arguments)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"surface": "icospher:2"}, "did you mean icosphere?"),
        ({"surface": "plan"}, "did you mean plane?"),
        ({"surface": "icosphere"}, "needs a level; write icosphere:5 for level 5"),
        ({"surface": "icosphere:99"}, "level 99 must be a whole number from 0 to 9; write icosphere:5"),
        ({"surface": "icosphere:x"}, "level x must be a whole number"),
        ({"surface": "icosphere:2,lapacian=mass"}, "has no option 'lapacian'; its options are level, laplacian"),
        ({"surface": "plane:border=odd"}, "border odd must be one of zeros, reflect, replicate, circular; write"),
        ({"surface": "plane:ndim=3"}, "is not a surface of images"),
        ({"surface": "plane:ndim=1"}, "is not a surface of images"),
        (
            {"surface": "icosphere:1", "depth": 3},
            "depth=3: must be at most 1, the number of coarser levels of icosphere",
        ),
        ({"depth": 0}, "depth=0: must be"),
        ({"width": 0}, "width=0: must be"),
        ({"model": "unett"}, f"model='unett': must be one of {', '.join(MODELS)}; did you mean unet?"),
        (
            {"model": "classifier"},
            f"model='classifier': must be one of {DENSE_MODELS} for the task segment; use --model unet",
        ),
        ({"device": "gpu"}, "device='gpu': must be one of auto, cpu, cuda"),
        ({"augment": "flpi"}, "did you mean flip?"),
        ({"augment": "rotate", "size": "16"}, "needs images twice as wide as high"),
        ({"down": "mx"}, "down='mx': must be one of stride, max, average"),
        ({"up": "odd"}, "up='odd': must be"),
        ({"precision": "33"}, "precision='33': must be one of 32, bf16, 16"),
        ({"size": "4"}, "size='4': must be rows and columns, each from 8 to 16,384"),
        ({"epochs": 0}, "epochs=0: must be a whole number from 1 to 1,000,000; use --epochs 20"),
        ({"batch_size": 0}, "--batch-size=0: must be a whole number from 1 to"),
        ({"learning_rate": -1}, "--learning-rate=-1.0: must be a number above 0 and below 10; use --learning-rate 0"),
        ({"weight_decay": "nan"}, "--weight-decay=nan: must be a number from 0 to 10"),
        ({"seed": 2**70}, f"seed={2**70}: must be a whole number from 0 to"),
        ({"validation": 2}, "validation=2.0: must be a number from 0 to 0.9; use --validation 0.2"),
    ],
)
def test_wrong_settings(refused, data, settings, line):
    assert line in refused(*train(**settings))


def test_an_unavailable_device(refused, data, monkeypatch, segment_run):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    line = "device='cuda': is not available; use --device auto or --device cpu"
    assert line in refused(*train(device="cuda"))
    for command in (["evaluate", segment_run.path, "data"], ["predict", segment_run.path, "data/images", "--out", "x"],
                    ["report", segment_run.path]):  # fmt: skip
        assert line in refused(*command, "--device", "cuda")


def test_resume_on_an_unavailable_device(refused, here, monkeypatch, segment_run):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    run = shutil.copytree(segment_run.path, here / "run")
    before = (run / "config.yaml").read_text()
    assert "device='cuda': is not available" in refused("train", "--resume", "run", "--device", "cuda")
    assert (run / "config.yaml").read_text() == before


def test_resume_with_other_settings(refused, here, segment_run):
    shutil.copytree(segment_run.path, here / "run")
    line = refused("train", "--resume", "run", "--width", "8")
    assert "width=8: cannot change in a resumed run; only epochs, device, devices, nodes, strategy, " in line
    assert "TASK='segment': cannot change" in refused("train", "segment", "--resume", "run")
    assert "epochs=1: must be at least 2, which are done" in refused("train", "--resume", "run", "--epochs", "1")


# Data


def test_no_such_folder(refused):
    assert "omniconv: data: does not exist; expected images/NAME.jpg" in refused(*train())


def test_a_file_for_a_folder(refused, here):
    (here / "data").touch()
    assert "data: is a file" in refused(*train())


def test_empty_folders(refused, here):
    (here / "data").mkdir()
    assert "data/images: does not exist; expected images/NAME.jpg with masks/NAME.png" in refused(*train())
    assert "data: has no class folders; expected CLASS/NAME.jpg with a folder for each class in it" in refused(
        "train", "classify", "data", *words()
    )
    for name in ("images", "masks"):
        (here / "data" / name).mkdir()
    assert "data/images: contains no images" in refused(*train())


def test_an_image_without_its_mask(refused, data):
    (data / "masks/2.png").unlink()
    line = refused(*train())
    assert "data/images/2.png: has no mask (1 of 4 images lack one); expected data/masks/2.png" in line


def break_mask(data, name):
    mask = data / "masks/1.png"
    labels = picture(1)[1]
    if name == "size":
        save(mask, labels[:, :-2])
    elif name == "label":
        (data / "classes.txt").write_text("sea\nland\n")
        labels[3, 4] = 7
        save(mask, labels)
    elif name == "jpeg":
        mask.unlink()
        save(mask.with_suffix(".jpg"), labels)
    elif name == "colour":
        save(mask, picture(1)[0])
    elif name == "binary":
        for path in (data / "masks").iterdir():
            save(path, labels * 255)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("size", ["masks/1.png: the mask is 16 x 30 but its image is 16 x 32", "save the mask at the size"]),
        ("label", ["masks/1.png: has the label 7 at row 3, column 4, but there are 2 classes", "classes.txt"]),
        ("jpeg", ["masks/1.jpg: is a lossy JPEG mask", "save masks as PNG"]),
        ("colour", ["masks/1.png: is a colour picture, not a mask", "save the class index"]),
        ("binary", ["data: the masks hold only the values 0 and 255", "add --binary if 255 marks the object"]),
    ],
)
def test_bad_masks(refused, data, segment_run, name, lines):
    break_mask(data, name)
    line = refused(*train())
    assert all(part in line for part in lines)
    if name != "binary":  # without its class 1 an evaluation is dull, not wrong
        line = refused("evaluate", segment_run.path, "data")
        assert line.startswith("omniconv: data")


def break_image(path, name):
    if name == "truncated":
        cut(save(path, np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)))
    elif name == "deep":
        Image.fromarray(np.zeros((16, 32), np.uint16)).save(path)
    elif name == "cmyk":
        Image.new("CMYK", (32, 16)).save(path, "JPEG")
    elif name == "tiny":
        save(path, np.zeros((1, 1, 3), np.uint8))
    elif name == "bomb":
        claim_size(save(path, picture(0)[0]), 40000, 40000)
    elif name == "empty":
        path.write_bytes(b"")
    elif name == "text":
        path.write_text("no image")


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("truncated", "is truncated or damaged"),
        ("deep", "is a 16-bit image: omniconv reads 8 bits per channel; scale it to 8 bits"),
        ("cmyk", "is a CMYK image: omniconv reads grey and RGB images; save it as RGB"),
        ("tiny", "is 1 x 1 (height x width): each side must have at least 2 pixels"),
        ("bomb", "megapixels, which are refused as unsafe to decode; shrink it"),
        ("empty", "is empty (0 bytes)"),
        ("text", "is not a PNG, JPEG, BMP, TIFF or WebP image"),
    ],
)
def test_bad_images(refused, here, data, segment_run, name, rule):
    image = data / "images/1.png"
    break_image(image, name)
    assert f"omniconv: data/images/1.png: {rule}" in refused(*train()).replace("has more than 178 ", "")
    line = refused("predict", segment_run.path, image, "--out", "out", leaves=()).replace("has more than 178 ", "")
    assert f"data/images/1.png: {rule}" in line
    assert not [path for path in here.glob("out/**/*") if path.is_file()]


def test_a_large_panorama_is_no_bomb(here):
    path = claim_size(save(here / "a.png", picture(0)[0]), 16384, 8192)
    from omniconv.data.images import read_header

    assert read_header(path).size == (8192, 16384)


# Runs and their files


def test_out_that_is_not_empty(refused, data, here):
    (here / "runs").mkdir()
    (here / "runs/mine.txt").write_text("mine")
    assert "runs: is not empty; choose another --out FOLDER, or continue that run" in refused(*train("--out", "runs"))


@pytest.mark.parametrize("command", ["predict", "evaluate", "report", "summary"])
def test_a_network_cut_in_half(refused, here, data, segment_run, command):
    cut(Path(shutil.copytree(segment_run.path, here / "run")) / "model.safetensors")
    more = {"predict": ["data", "--out", "x"], "evaluate": ["data"]}.get(command, [])
    assert "run/model.safetensors: is damaged or not a safetensors file" in refused(command, "run", *more)


@pytest.mark.parametrize("command", ["predict", "evaluate", "report", "summary"])
def test_a_run_without_a_network_yet(refused, here, data, segment_run, command):
    run = Path(shutil.copytree(segment_run.path, here / "run"))
    (run / "model.safetensors").unlink()
    more = {"predict": ["data", "--out", "x"], "evaluate": ["data"]}.get(command, [])
    line = refused(command, "run", *more)
    assert "run: has no trained network yet; train it: omniconv train --resume run" in line


def test_a_checkpoint_cut_in_half(refused, here, segment_run):
    run = Path(shutil.copytree(segment_run.path, here / "run"))
    cut(run / "checkpoints/last.ckpt")
    before = (run / "model.safetensors").read_bytes(), (run / "metrics.csv").read_bytes()
    line = refused("train", "--resume", "run", "--epochs", "3")
    assert "run/checkpoints/last.ckpt: is damaged; restore it from a copy" in line
    assert ((run / "model.safetensors").read_bytes(), (run / "metrics.csv").read_bytes()) == before


@pytest.mark.parametrize(("text", "rule"), [("epochs: [", "is not valid YAML"), ("epoch: 3", "did you mean epochs?")])
def test_damaged_settings(refused, here, segment_run, text, rule):
    run = Path(shutil.copytree(segment_run.path, here / "run"))
    (run / "config.yaml").write_text(text)
    for arguments in (["train", "--resume", "run"], ["report", "run"], ["train", "--config", "run/config.yaml"]):
        line = refused(*arguments)
        assert "run/config.yaml: " in line
        assert rule in line


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("up: linear", "up: near", "up='near': must be one of linear, transposed; did you mean linear?"),
        ("width: 2", "width: 0", "width=0: must be a whole number from 1 to 1024; use width: 32"),
        (
            "augment: [flip]",
            "augment: [flp]",
            "augment='flp': must be among flip, quarter, turn, rotate, colour, blur, noise, crop",
        ),
        ("size: [16, 32]", "size: [16, 64]", "size=(16, 64): is not that of the samples of the run, (16, 32)"),
    ],
)
def test_settings_of_a_file_are_refused_in_its_words(refused, here, segment_run, old, new, rule):
    shutil.copytree(segment_run.path, here / "run")
    path = here / "run/config.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    line = refused("train", "--resume", "run", "--epochs", "9")
    assert f"run/config.yaml: {rule}" in line
    assert "--" not in line
    if "size" not in new:  # the images of a new run are resized to it
        assert f"run/config.yaml: {rule}" in refused("train", "--config", "run/config.yaml", "--out", "new")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--name", "a/b"], "--name='a/b': must be a folder name without / and leading dot; use --out PATH"),
        (["--out", "file"], "file: is a file, not a folder; choose another --out FOLDER"),
        (["--out", "file/run"], "file/run: cannot be written (not a directory); choose another path"),
        (["--out", "full"], "full: is not empty; choose another --out FOLDER"),
        (["--out", "x" * 5000], "cannot be used (file name too long); give a shorter path"),
        (["--name", "x" * 5000], "must be a folder name of at most 255 bytes; shorten it"),
    ],
)
def test_the_folder_of_a_run_is_checked_before_the_data_is_read(refused, here, words, message):
    (here / "file").touch()
    (here / "full").mkdir()
    (here / "full/thesis.txt").touch()
    assert message in refused("train", "segment", "no-data", *words)


def test_evaluate_with_other_classes(refused, here, segment_run):
    segment_folder(here / "data", 2, "sea land")
    line = refused("evaluate", segment_run.path, "data")
    assert "data: has the classes sea, land, unknown to the network (class 0, class 1); rename or remove them" in line


def test_evaluate_with_another_layout(refused, segment_run, classify_run, classify_data, segment_data):
    line = refused("evaluate", segment_run.path, classify_data)
    assert "looks like a data set for the task classify, not segment; expected images/NAME.jpg with masks/" in line
    line = refused("evaluate", classify_run.path, segment_data)
    assert "looks like a data set for the task segment, not classify; expected CLASS/NAME.jpg" in line


def test_predict_without_images(refused, here, segment_run):
    (here / "empty").mkdir()
    assert "empty: contains no images; put files in it" in refused("predict", segment_run.path, "empty", "--out", "x")
    assert "none.png: does not exist" in refused("predict", segment_run.path, "none.png", "--out", "x")


def test_predict_onto_the_images(refused, here, segment_run):
    save(here / "photos/labels/a.png", picture(0)[0])
    line = refused("predict", segment_run.path, "photos/labels", "--out", "photos")
    assert "photos: contains the images to predict; choose another --out FOLDER" in line


# Disks


def full(*arguments):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_only(*arguments, **options):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_while_predicting(refused, here, segment_run, segment_data, monkeypatch, call):
    monkeypatch.setattr(os, call, full)
    arguments = ["predict", segment_run.path, segment_data / "images", "--out", "out"]
    assert "out/labels/0.png: cannot be written (no space left on device)" in refused(*arguments, leaves=())
    assert not [path for path in here.rglob("*") if path.is_file()]


def test_a_full_disk_keeps_earlier_predictions(refused, here, segment_run, segment_data, monkeypatch):
    arguments = ["predict", segment_run.path, segment_data / "images/0.png", "--out", "out", "--overwrite"]
    assert main([str(word) for word in arguments]) == 0
    before = (here / "out/labels/0.png").read_bytes()
    monkeypatch.setattr(os, "replace", full)
    assert "no space left on device" in refused(*arguments)
    assert (here / "out/labels/0.png").read_bytes() == before


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_while_training(refused, here, data, monkeypatch, call):
    monkeypatch.setattr(os, call, full)
    assert "cannot be written (no space left on device); free some space" in refused(*train(), leaves=())
    assert not [path for path in (here / "runs").rglob("*") if path.is_file()]


def test_a_full_disk_in_the_last_epoch(refused, here, data, monkeypatch):
    def fill(trainer, path, weights_only=None):
        monkeypatch.setattr(os, "replace", full)
        original(trainer, path)

    import lightning.pytorch as L

    original = L.Trainer.save_checkpoint
    monkeypatch.setattr(L.Trainer, "save_checkpoint", fill)
    line = refused(*train(), leaves=())
    assert "last.ckpt: cannot be written (no space left on device); free some space, then resume with: " in line
    assert line.endswith("omniconv train --resume runs/data")
    assert {path.name for path in (here / "runs/data").iterdir() if path.name.startswith(".")} == set()


def test_a_read_only_folder(refused, data, segment_run, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", read_only)
        line = refused(*train())
        assert "runs/data: cannot be written (read-only file system); choose another path" in line
        assert "out: cannot be written (read-only file system)" in refused(*train("--out", "out"))
        assert "out: cannot be written" in refused("predict", segment_run.path, "data/images", "--out", "out")
    original = os.open
    monkeypatch.setattr(
        os, "open", lambda path, flags, *rest: (read_only if flags & os.O_CREAT else original)(path, flags, *rest)
    )
    line = refused("evaluate", segment_run.path, "data", "--json", "found.json")
    assert "found.json: cannot be written (read-only file system)" in line


def test_a_report_on_a_full_disk_keeps_the_old_one(refused, here, segment_run, monkeypatch):
    run = Path(shutil.copytree(segment_run.path, here / "run"))
    before = (run / "report.html").read_bytes()
    monkeypatch.setattr(os, "replace", full)
    assert "run/report.html: cannot be written" in refused("report", "run")
    assert (run / "report.html").read_bytes() == before


def test_no_memory_left(refused, data, monkeypatch):
    def none_left(*arguments):
        raise MemoryError

    monkeypatch.setattr("omniconv.runs.start.summarize_dataset", none_left)
    assert refused(*train()).startswith("omniconv: out of memory: use a smaller")
