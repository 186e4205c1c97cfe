from __future__ import annotations

import os

import pytest

from omniconv.errors import FileError
from omniconv.run_folder import find_run, new_run, read_json, read_metrics, write_json


def test_names_that_are_taken_get_numbers(here):
    paths = [str(new_run("boxes", None).path) for _ in range(3)]
    assert paths == ["runs/boxes", "runs/boxes-2", "runs/boxes-3"]
    assert all((here / path / "checkpoints").is_dir() for path in paths)


def test_out_is_exactly_that_folder(here):
    assert str(new_run("boxes", "deep/place").path) == "deep/place"
    assert os.listdir("deep/place") == ["checkpoints"]
    assert os.listdir(here) == ["deep"]


def test_an_empty_folder_may_be_there(here):
    (here / "empty").mkdir()
    assert new_run("boxes", "empty").path.is_dir()


def test_a_full_folder_is_refused_and_left_alone(here):
    (here / "full").mkdir()
    (here / "full/thesis.txt").touch()
    with pytest.raises(FileError, match=r"^full: is not empty; choose another out=FOLDER, or continue"):
        new_run("boxes", "full")
    assert os.listdir("full") == ["thesis.txt"]


def test_out_below_a_file(here):
    (here / "file").touch()
    with pytest.raises(FileError, match="cannot be written"):
        new_run("boxes", "file/run")


def test_open_run(here):
    with pytest.raises(FileError, match=r"^runs/boxes: does not exist; give the folder of a run"):
        find_run("runs/boxes")
    run = new_run("boxes", None)
    with pytest.raises(FileError, match=r"^runs/boxes: has no config\.yaml, so it is not a run"):
        find_run(run.path)
    run.config.touch()
    assert find_run("runs/boxes") == run


def test_everything_lies_in_the_folder(here):
    run = new_run("boxes", None)
    places = [run.config, run.environment, run.checkpoint, run.metrics, run.model, run.samples, run.evaluation]
    assert len(set(places)) == 7
    assert all(place.is_relative_to(run.path) for place in [*places, run.report])


def test_json(tmp_path):
    path = tmp_path / "a.json"
    assert read_json(path) is None
    write_json(path, {"a": [1, 2.5], "b": {"c": None}})
    assert read_json(path) == {"a": [1, 2.5], "b": {"c": None}}
    path.write_text('{"a": ')
    with pytest.raises(FileError, match="is damaged"):
        read_json(path)


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
    with pytest.raises(FileError, match=r"evaluation\.json: is damaged \(.*\); delete it and evaluate again$"):
        read_json(path)


def test_only_files_are_read(tmp_path):
    for reader in (read_metrics, read_json):
        (tmp_path / reader.__name__).mkdir()
        with pytest.raises(FileError, match="is a folder, not a file"):
            reader(tmp_path / reader.__name__)
