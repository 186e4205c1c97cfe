"""Errors are in the words that the user typed, and about arguments before any file of the data is read."""

from __future__ import annotations

import click
import pytest

from omniconv.checks import check_extra
from omniconv.cli import commands, main
from omniconv.commands.command import in_command_words, translate
from omniconv.errors import FileError, InputError

OWN = """
import torch
network = torch.nn.Conv2d(3, 2, 3, padding=1)
four = torch.nn.Conv2d(4, 2, 3, padding=1)
class Two(torch.nn.Module):
    def forward(self, x):
        return {"out": x * 2, "mean": x.mean((2, 3))}
def raises():
    raise RuntimeError("boom")
"""


@pytest.fixture
def broken(here):
    """A folder of which no file can be read."""
    for folder in ("images", "masks"):
        (here / "broken" / folder).mkdir(parents=True)
        for number in range(3):
            (here / f"broken/{folder}/{number}.png").write_bytes(b"broken")
    return "broken"


@pytest.fixture
def own(here, monkeypatch, request):
    """A module with networks of the user's own."""
    name = f"own_{abs(hash(request.node.nodeid))}"
    (here / f"{name}.py").write_text(OWN)
    return name


@pytest.fixture
def refused(capsys):
    def run(*words):
        capsys.readouterr()
        assert main([str(word) for word in words]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        return lines[0].removeprefix("omniconv: ")

    return run


TRAIN = {
    "--surface equirectangular:kernels=rows": "--surface='equirectangular:kernels=rows': height must be a whole number "
    "from 1 with kernels=rows; write equirectangular:kernels=rows,height=64",
    "--surface plane:border=mirror": "border mirror must be one of zeros, reflect, replicate, circular; write plane:",
    "--surface cubemap:0": "--surface='cubemap:0': size 0 must be a whole number from 1 to 4096; write cubemap:64",
    "--surface icosphere:1 --depth 3": "--depth=3: must be at most 1",
    "--surface plane:ndim=3": "is not a surface of images",
    "--model classifier": "must be one of deeplab, fpn, linknet, segnet, unet for the task segment; use --model unet",
    "--down foo": "--down='foo': must be one of stride, max, average; use --down stride",
    "--width 0": "--width=0: must be a whole number from 1",
    "--augment flpi": "kornia:NAME; did you mean flip?",
    "--augment tilt --surface icosphere:2": "--augment='tilt': is an augmentation of flat images, and the surface is",
    "--augment mixup --loss dice": "has no meaning for the loss dice, which measures regions; use --augment cutmix or",
    "--augment rotate --size 16x16": "needs images twice as wide as high; they are resized to 16x16; use --size 16x32",
    "--learning-rate 0.1 --rate 0.2": "--learning-rate=(0.1, 0.2): is given 2 times (--learning-rate and --rate are",
    "--batch-size 0": "--batch-size=0: must be a whole number from 1 to 65,536; use --batch-size 8",
    "--loss ce+dize": "--loss='ce+dize': must be one of ce, bce, focal, dice, tversky, lovasz, or a sum of them; did",
    "--loss dice --label-smoothing 0.1": "--label-smoothing=0.1: is not used by the loss dice; use --loss ce",
    "--label-smoothing 1": "--label-smoothing=1.0: must be a number from 0 and below 1; use --label-smoothing 0",
    "--epochs two": "Invalid value for '--epochs': 'two' is not a valid integer; use --epochs 20",
}


@pytest.mark.parametrize("words", TRAIN)
def test_settings_before_data(refused, broken, words):
    assert TRAIN[words] in refused("train", "segment", broken, *words.split())


@pytest.mark.parametrize("value", ["linear", "transposed"])
def test_settings_that_the_model_does_not_use(refused, broken, value):
    line = "--up='{}': is not used by the model classifier; leave it out, or choose another model"
    assert refused("train", "classify", broken, "--up", value) == line.format(value)
    assert refused("summary", "classify", "--up", value) == line.format(value)


def test_settings_of_a_file_are_named_with_it(refused, broken, here):
    (here / "mine.yaml").write_text(f"task: segment\ndata: {broken}\nup: foo\n")
    assert "mine.yaml: up='foo': must be one of linear, transposed" in refused("train", "--config", "mine.yaml")


OPTIONS = {
    "evaluate RUN broken --split foo": "--split='foo': must be one of train, val, test; use --split train",
    "evaluate RUN --split val": "--split='val': is a part of DATA, which is missing; write: omniconv evaluate",
    "evaluate RUN broken --json a.txt": "--json='a.txt': must be a file named *.json; use --json measures.json",
    "evaluate RUN broken --json file/a.json": "file/a.json: cannot be written (not a directory); choose another path",
    "evaluate RUN broken --device gpu": "--device='gpu': is not available; use --device auto or --device cpu",
    "predict RUN broken --out file": "file: is a file, not a folder; choose another --out FOLDER",
    "predict RUN broken --out file/out": "file/out: cannot be written (not a directory); choose another path",
    "audit RUN broken --rotations 0": "--rotations=0: must be a number from 1",
    "audit RUN broken --bands 0": "--bands=0: must be a number from 1",
    "audit RUN broken --most 0": "--most=0: must be a whole number from 1; use --most 16",
    "audit RUN broken --stride 0": "--stride=0: must be a whole number from 1; leave it out",
    "audit RUN broken --out file": "file: is a file, not a folder; choose another --out FOLDER",
    "export none --format onnx --out a.pt2": "--out='a.pt2': must end with .onnx for --format onnx",
    "summary RUN --classes 3": "--classes=3: cannot be changed for a trained network",
    "predict RUN": "Missing argument 'IMAGES...'; write: omniconv predict RUN IMAGES... --out PATH (see omniconv",
    "report RUN extra": "Got unexpected extra argument (extra); write: omniconv report RUN (see omniconv report",
    "train segment --balanced": "No such option '--balanced'",
}


@pytest.mark.parametrize("words", OPTIONS)
def test_options_before_data(refused, broken, here, segment_run, words):
    (here / "file").write_text("a file")
    assert OPTIONS[words] in refused(*(segment_run.path if word == "RUN" else word for word in words.split()))


def test_own_networks_mean_the_same_in_every_command(refused, here, own, segment_data, capsys):
    audit = ["--rotations", "1", "--bands", "1", "--most", "1"]
    for words in (["summary", f"{own}:network"], ["export", f"{own}:Two", "--format", "torch", "--out", "a.pt2"],
                  ["audit", f"{own}:network", str(segment_data), *audit]):  # fmt: skip
        assert main(words) == 0
    assert "out: largest relative difference" in capsys.readouterr().out
    export = ["export", "--format", "torch", "--out", "b.pt2"]
    for words in (["summary"], export, ["audit", segment_data, "--overwrite"]):
        command, *more = words
        assert f"MODEL='{own}:raises': cannot be made (RuntimeError: boom)" in refused(command, f"{own}:raises", *more)
        assert f"MODEL='{own}:four': cannot" in refused(command, f"{own}:four", *more)
        assert "has no attribute 'netwrk'); name a module" in refused(command, f"{own}:netwrk", *more)
    for words in (["evaluate", "data"], ["predict", "data", "--out", "x"], ["report"]):
        command, *more = words
        assert "is a network without the classes and the preprocessing" in refused(command, f"{own}:network", *more)


def test_plain_command_prints_the_help(capsys):
    assert main([]) == 0
    plain = capsys.readouterr()
    assert main(["--help"]) == 0
    assert plain == capsys.readouterr()
    assert plain.out.startswith("Usage: omniconv")


def test_words_of_python_become_flags():
    flags = {"size": "--size", "overwrite": "--overwrite", "task": "TASK"}
    assert translate("add overwrite=True or size='8x16'; a:size=3", flags) == "add --overwrite or --size 8x16; a:size=3"
    assert translate("use task='segment'", flags) == "use segment"
    train = commands.commands["train"]
    assert isinstance(train, click.Command)
    error = FileError("runs/epochs=3", "is not empty", "use epochs=4")
    assert in_command_words(error, train, {}) == "runs/epochs=3: is not empty; use --epochs 4"
    read = FileError.from_input_error("config.yaml", InputError("epochs", 0, "must be", "use epochs: 20"))
    assert in_command_words(read, train, {}) == "config.yaml: epochs=0: must be; use epochs: 20"
    assert str(InputError("epochs", 0, "must be", "use epochs=20")) == "epochs=0: must be; use epochs=20"


def test_extras_are_named_with_a_cure_for_a_clone():
    with pytest.raises(InputError, match=r"packages='no_such_package': is not installed, which the page needs; python"):
        check_extra("app", "the page", ["click", "no_such_package"])
