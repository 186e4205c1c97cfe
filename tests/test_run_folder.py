from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from omniconv.errors import FileError, InputError
from omniconv.locks import LOCK, OwnedError
from omniconv.run_folder import (
    RunFolder,
    check_run_name,
    default_run_name,
    find_run,
    new_run,
    own_run,
    read_metrics,
    read_optional_json,
    write_json,
)


def begun(run):
    """Make a run that holds what is written before training."""
    for path in (run.config, run.environment, run.data, run.samples):
        path.touch()
    return run


def killed(folder, *files):
    """Make a folder as a killed process leaves it: with its lock file, which nobody has locked."""
    for name in (LOCK, "checkpoints/.last.ckpt.0123456789ab", *files):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_names_that_are_taken_get_numbers(here):
    paths = []
    for _ in range(3):
        with new_run("boxes", None) as run:
            paths.append(str(begun(run).path))
            assert run.checkpoint.parent.is_dir()
    assert paths == ["runs/boxes", "runs/boxes-2", "runs/boxes-3"]


def claim(name):
    with new_run(name, None) as run:
        begun(run)
        return run.path


@pytest.mark.parametrize(
    "workers",
    [ThreadPoolExecutor, lambda count: ProcessPoolExecutor(count, mp_context=get_context("spawn"))],
    ids=["threads", "processes"],
)
def test_two_at_once_never_get_the_same_folder(here, workers):
    with workers(2) as pool:
        claimed = list(pool.map(claim, ["run"] * 20))
    assert len(set(claimed)) == 20
    assert all((folder / "config.yaml").is_file() for folder in claimed)


def test_a_name_that_another_process_trains_in_gets_a_number(here):
    with new_run("boxes", None), new_run("boxes", None) as second:
        assert str(second.path) == "runs/boxes-2"


def test_out_that_another_process_trains_in(here):
    with new_run("boxes", "out") as run:
        begun(run)
        with pytest.raises(OwnedError, match=rf"^out: is being trained by process {os.getpid()} on "):
            new_run("boxes", "out").__enter__()
        assert run.config.is_file()


def test_out_is_exactly_that_folder(here):
    with new_run("boxes", "deep/place") as run:
        assert str(run.path) == "deep/place"
        assert set(os.listdir("deep/place")) == {LOCK, "checkpoints"}
        assert os.listdir(here) == ["deep"]
    assert os.listdir("deep/place") == ["checkpoints"]


def test_an_empty_folder_may_be_there(here):
    (here / "empty").mkdir()
    with new_run("boxes", "empty") as run:
        assert run.path.is_dir()


def test_a_full_folder_is_refused_and_left_alone(here):
    (here / "full").mkdir()
    (here / "full/thesis.txt").touch()
    with pytest.raises(FileError, match=r"^full: is not empty; choose another out=FOLDER, or continue"):
        new_run("boxes", "full").__enter__()
    assert os.listdir("full") == ["thesis.txt"]


START = ("config.yaml", "environment.json", "data.json", "samples.png")


@pytest.mark.parametrize("written", range(len(START) + 1))
@pytest.mark.parametrize("out", ["runs/boxes", None])
def test_leftovers_of_a_run_that_was_killed_before_training_are_removed(here, written, out):
    folder = killed(here / "runs/boxes", *START[:written], f".{START[written % 4]}.0123456789ab")
    with new_run("boxes", out) as run:
        assert run.path.resolve() == folder
        assert set(os.listdir(folder)) == {LOCK, "checkpoints"}
        assert not os.listdir(folder / "checkpoints")


@pytest.mark.parametrize("file", ["checkpoints/last.ckpt", "metrics.csv", "model.safetensors", "thesis.txt"])
def test_a_killed_run_that_was_trained_is_no_leftover(here, file):
    folder = killed(here / "runs/boxes", *START, file)
    with pytest.raises(FileError, match="is not empty"):
        new_run("boxes", "runs/boxes").__enter__()
    with new_run("boxes", None) as run:
        assert str(run.path) == "runs/boxes-2"
    assert (folder / file).is_file()


def test_settings_of_the_user_are_no_leftover(here):
    (here / "out").mkdir()
    (here / "out/config.yaml").write_text("epochs: 3")
    with pytest.raises(FileError, match="is not empty"):
        new_run("boxes", "out").__enter__()
    assert os.listdir("out") == ["config.yaml"]


@pytest.mark.parametrize("out", ["file", "file/run", "file/deeper/run"])
def test_out_below_a_file(here, out):
    (here / "file").touch()
    with pytest.raises(FileError, match=r"is a file, not a folder|cannot be written"):
        new_run("boxes", out).__enter__()


@pytest.mark.parametrize(
    ("name", "out", "rule"),
    [
        ("", None, "must be a folder name"),
        ("  ", None, "must be a folder name"),
        ("a/b", None, "must be a folder name"),
        (".a", None, "must be a folder name"),
        ("a\nb", None, "must be a folder name"),
        ("a", "b", "cannot be given with out"),
        (None, "", "must not be empty"),
    ],
)
def test_names_that_are_refused(name, out, rule):
    with pytest.raises(InputError, match=rule):
        check_run_name(name, out)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("/data/street views", "street views"),
        ("/data/.hidden", "hidden"),
        ("/data/é", "é"),
        (b"/data/\xff\xfe".decode(errors="surrogateescape"), "__"),
        ("/data/a\nb\x1b", "a_b_"),
        ("/data/" + "é" * 127, "é" * 100),
        ("..", "run"),
        (".", "run"),
    ],
)
def test_the_default_name_can_be_a_folder(here, data, name):
    assert default_run_name(data) == name
    with new_run(default_run_name(data), None) as run:
        assert run.path.name == name


def test_open_run(here):
    with pytest.raises(FileError, match=r"^runs/boxes: does not exist; give the folder of a run"):
        find_run("runs/boxes")
    with new_run("boxes", None) as run:
        pass
    with pytest.raises(FileError, match=r"^runs/boxes: has no config\.yaml, so it is not a run"):
        find_run(run.path)
    killed(run.path)
    with pytest.raises(FileError, match=r"was stopped before its settings were written; start it again with"):
        find_run(run.path)
    run.config.touch()
    assert find_run("runs/boxes") == run


def test_a_run_has_one_owner(here):
    with new_run("boxes", None) as run:
        begun(run)
    with own_run(run.path), pytest.raises(OwnedError, match=r"is being trained by process .*; wait until it ends$"):
        own_run(run.path).__enter__()
    with own_run(run.path):
        pass
    assert LOCK not in os.listdir(run.path)


def test_everything_lies_in_the_folder(here):
    run = RunFolder(here)
    places = [run.config, run.environment, run.checkpoint, run.metrics, run.model, run.samples, run.evaluation]
    assert len(set(places)) == 7
    assert all(place.is_relative_to(run.path) for place in [*places, run.report])


def test_json(tmp_path):
    path = tmp_path / "a.json"
    assert read_optional_json(path, "restore it") is None
    write_json(path, {"a": [1, 2.5], "b": {"c": None}})
    assert read_optional_json(path, "restore it") == {"a": [1, 2.5], "b": {"c": None}}
    path.write_text('{"a": ')
    with pytest.raises(FileError, match="is damaged"):
        read_optional_json(path, "restore it")


def test_metrics(tmp_path):
    path = tmp_path / "metrics.csv"
    assert read_metrics(path) == []
    path.write_text("epoch,train_loss,val_loss,seconds\n0,0.5,,2\n1,0.25,0.75,3\n")
    assert read_metrics(path) == [
        {"epoch": 0, "train_loss": 0.5, "seconds": 2},
        {"epoch": 1, "train_loss": 0.25, "val_loss": 0.75, "seconds": 3},
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("epoch,train_loss,val_loss,seconds\n0,0.5", "it does not have one value for each column, in line 2"),
        ("epoch,seconds\n0,1\n1,2,3\n", "it does not have one value for each column, in line 3"),
        ("epoch,epoch,seconds\n0,0,1\n", "it does not have one value for each column, in line 2"),
        ("train_loss,seconds\n0.5,1\n", "epoch 0 is expected, in line 2"),
        ("epoch,seconds\n0,1\n2,1\n", "epoch 1 is expected, in line 3"),
        ("epoch,seconds\nnan,1\n", "epoch 0 is expected, in line 2"),
        ("epoch,loss\n0,1\n", "seconds must be a number from 0, in line 2"),
        ("epoch,seconds\n0,inf\n", "seconds must be a number from 0, in line 2"),
        ("epoch,seconds\n0,a\\nb\n", r"could not convert string to float: 'a\\\\nb', in line 2"),
        ("epoch,seconds\n0," + "x" * 200_000, r"field larger than field limit \(131072\), in line 2"),
    ],
)
def test_damaged_metrics(tmp_path, text, reason):
    path = tmp_path / "metrics.csv"
    path.write_text(text)
    with pytest.raises(FileError, match=rf"metrics\.csv: is damaged \({reason}\); delete it$"):
        read_metrics(path)


@pytest.mark.parametrize("text", ["[]", '"x"', "7", "null", "[" * 100_000])
def test_json_that_is_no_object(tmp_path, text):
    path = tmp_path / "evaluation.json"
    path.write_text(text)
    with pytest.raises(FileError, match=r"evaluation\.json: is damaged \(.*\); restore it$"):
        read_optional_json(path, "restore it")


def test_only_files_are_read(tmp_path):
    with pytest.raises(FileError, match="is a folder, not a file"):
        read_metrics(tmp_path)
    with pytest.raises(FileError, match="is a folder, not a file"):
        read_optional_json(tmp_path, "restore it")
