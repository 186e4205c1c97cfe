"""A task with methods: each is a task of its own with the same name, chosen by ``--method``."""

from __future__ import annotations

import json
import re

import pytest
import torch
from test_toy_task import Brightness, data  # noqa: F401  # a fixture
from tiny import words

import omniconv as oc
from omniconv.cli import main
from omniconv.errors import InputError
from omniconv.tasks import TASKS, TaskEntry, get_task, register_task
from omniconv.tasks.data_folder import check_layout
from omniconv.training.settings import RunConfig


class Absolute(Brightness):
    name, method = "glow", "absolute"
    searched_folders = ()
    any_folder = True
    defaults = {"width": 4, "depth": 1, "epochs": 2, "learning_rate": 0.05}  # noqa: RUF012


class Squared(Absolute):
    method = "squared"
    betas = (0.0, 0.99)
    defaults = {"width": 6, "depth": 1}  # noqa: RUF012

    def network_arguments(self, in_channels, classes, size=()):
        return super().network_arguments(in_channels, classes, size) | {"out_channels": 1}

    def training_loss(self, network, criterion, batch):
        x, target = batch
        return (network(x) - target).square().mean()


@pytest.fixture(autouse=True)
def registered():
    TASKS["glow"] = TaskEntry("images/ and values/", "its own files", methods={"absolute": f"{__name__}:Absolute"})
    register_task(Squared(), "images/ and values/")
    yield
    TASKS.pop("glow")


def test_the_registry_returns_one_object_per_method():
    assert get_task("glow") is get_task("glow", "absolute")
    assert get_task("glow", "squared").method == "squared"
    with pytest.raises(InputError, match=r"method='cubed': must be one of absolute, squared; use method='absolute'"):
        get_task("glow", "cubed")
    with pytest.raises(InputError, match=r"method='edm': must not be given for the task segment, which has one only"):
        get_task("segment", "edm")


def test_a_method_is_registered_once():
    with pytest.raises(InputError, match="method='squared': is another method of the task glow; choose another name"):
        register_task(Squared(), "")
    with pytest.raises(InputError, match="task='glow': is the name of another task"):
        register_task(type("Plain", (Absolute,), {"method": ""})(), "")
    register_task(type("Third", (Absolute,), {"method": "third"})(), "")
    assert list(TASKS["glow"].methods) == ["absolute", "squared", "third"]


def test_settings_name_the_methods_of_the_task():
    with pytest.raises(InputError, match=r"method='x': must be one of absolute, squared for the task glow; use method"):
        RunConfig(task="glow", method="x")
    with pytest.raises(InputError, match=r"method='x': must not be given for the task segment, which has one only"):
        RunConfig(task="segment", method="x")


def test_defaults_of_the_task_yield_to_given_settings():
    assert RunConfig.with_task_defaults(task="glow").width == 4
    assert RunConfig.with_task_defaults(task="glow", method="squared", depth=2).depth == 2
    assert RunConfig.with_task_defaults(task="glow", method="squared").width == 6
    assert (
        RunConfig.with_task_defaults(task="glow", method="squared").epochs == RunConfig.model_fields["epochs"].default
    )


def test_any_folder_is_accepted_only_by_the_task_that_says_so(classify_data):
    check_layout(get_task("glow"), classify_data)
    with pytest.raises(oc.errors.FileError, match="looks like a data set for the task classify, not segment"):
        check_layout(get_task("segment"), classify_data)


def test_every_file_of_a_run_keeps_the_method(here, data, capsys):  # noqa: F811
    assert main(["train", "glow", str(data), "--method", "squared", "--out", "run", *words(epochs=2)]) == 0
    assert json.loads((here / "run/data.json").read_text())["method"] == "squared"
    assert "method: squared\n" in (here / "run/config.yaml").read_text()
    network = oc.load("run/model.safetensors")
    assert network.preprocessing["method"] == "squared"
    groups = torch.load(here / "run/checkpoints/last.ckpt", weights_only=True)["optimizer_states"][0]["param_groups"]
    assert groups[0]["betas"] == (0.0, 0.99)
    run = oc.open_run("run")
    assert run.predictor.task is get_task("glow", "squared")
    assert run.evaluation["method"] == "squared"
    assert len(run.predictor.training.samples) == 4
    assert main(["train", "--resume", "run", "--epochs", "3"]) == 0
    assert main(["evaluate", "run"]) == 0
    assert main(["report", "run"]) == 0
    capsys.readouterr()
    assert main(["train", "--resume", "run", "--method", "absolute"]) == 2
    assert "--method='absolute': cannot change in a resumed run" in capsys.readouterr().err
    (here / "run/config.yaml").write_text(
        re.sub("method: squared", "method: absolute", (here / "run/config.yaml").read_text())
    )
    assert main(["train", "--resume", "run"]) == 2
    assert "is not that of the samples of the run, squared" in capsys.readouterr().err


def test_help_shows_the_defaults_of_the_task_and_the_method(capsys):
    assert main(["train", "glow", "--method", "squared", "--help"]) == 0
    assert capsys.readouterr().out.endswith("Defaults of glow squared that differ:\n  --width  6\n  --depth  1\n")
    assert main(["train", "glow", "--help"]) == 0
    assert "Defaults of glow absolute that differ:\n  --width          4\n" in capsys.readouterr().out
    assert main(["train", "classify", "--help"]) == 0
    assert "that differ" not in capsys.readouterr().out


def test_summary_takes_a_method(here, capsys):
    assert main(["summary", "glow", "--method", "squared"]) == 0
    assert main(["summary", "glow", "--method", "x"]) == 2
    assert "--method='x': must be one of absolute, squared for the task glow; use --method absolute" in (
        capsys.readouterr().err
    )
